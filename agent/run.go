package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/reconcile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/server"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// run serves until SIGTERM. It then just ends: what is in the kernel stays, so
// that an update of the agent interrupts no connection.
func (p *program) run(ctx context.Context) error {
	if err := p.needRoot("running the agent"); err != nil {
		return err
	}
	for _, dir := range []string{p.stateDir(), p.runDir()} {
		if err := privateDir(dir); err != nil {
			return err
		}
	}
	release, err := p.acquire()
	if err != nil {
		return err
	}
	defer release()
	k, err := p.openKernel()
	if err != nil {
		return err
	}
	defer k.Close()
	srv, rec, err := p.newServer(k)
	if err != nil {
		return err
	}
	listener, err := p.listen(ctx)
	if err != nil {
		return err
	}
	hs := srv.HTTPServer()
	served := make(chan error, 1)
	go func() { served <- hs.Serve(listener) }()
	if err := notifySystemd(ctx, "READY=1"); err != nil {
		p.log.Warn("cannot tell systemd that the agent is ready", "error", err)
	}
	go func() {
		srv.Start(ctx)
		rec.Run(ctx)
	}()
	select {
	case err = <-served:
		return fmt.Errorf("the agent's socket: %w", err)
	case <-ctx.Done():
		return p.shutdown(context.WithoutCancel(ctx), hs)
	}
}

// shutdownGrace lets a commit that is under way reach the kernel.
const shutdownGrace = 10 * time.Second

func (p *program) shutdown(ctx context.Context, hs *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownGrace)
	defer cancel()
	if err := hs.Shutdown(ctx); err != nil {
		p.log.Warn("ended while a call was under way; the record on disk is applied at the next start", "error", err)
	}
	return nil
}

func (p *program) openKernel() (*kernel.Kernel, error) {
	originals, err := host.OpenOriginals(p.originals(), p.log)
	if err != nil {
		return nil, err
	}
	k, err := kernel.New(kernel.Options{Originals: originals})
	if err != nil {
		return nil, fmt.Errorf("open the kernel's interfaces: %w", err)
	}
	return k, nil
}

func (p *program) newServer(k *kernel.Kernel) (*server.Server, *reconcile.Reconciler, error) {
	digest, err := fileDigest(ownExecutable)
	if err != nil {
		return nil, nil, err
	}
	release, err := host.KernelRelease()
	if err != nil {
		return nil, nil, err
	}
	rec := reconcile.New(k, state.ParseKernelVersion(release), p.log)
	srv, err := server.New(server.Options{
		Store: server.NewStore(p.stateDir()), Reconciler: rec,
		Host: &host.Host{Proc: p.path("proc"), Requirements: requirements},
		Log:  p.log, Version: version, BinarySHA256: digest, Now: time.Now,
	})
	return srv, rec, err
}

// requirements puts what the host lacks into sentences.
func requirements(ctx context.Context) []string {
	var texts []string
	for _, m := range kernel.Requirements(ctx) {
		texts = append(texts, fmt.Sprintf("The host lacks %s: %s. %s.", m.What, strings.TrimSuffix(m.Why, "."), strings.TrimSuffix(m.Fix, ".")))
	}
	return texts
}

// listen makes the socket, in place of one that a crashed agent left: the lock
// says that no other agent is there.
func (p *program) listen(ctx context.Context) (net.Listener, error) {
	if err := os.Remove(p.socket()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	old := unix.Umask(0o177) // the socket is 0600 from its first moment
	var config net.ListenConfig
	l, err := config.Listen(ctx, "unix", p.socket())
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

// acquire takes the lock that keeps a second agent out; it is the process's,
// so a crash gives it back.
func (p *program) acquire() (release func(), err error) {
	f, err := os.OpenFile(p.lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another routingmesh-agent runs on this host (it holds %s): %w", p.lock(), err)
	}
	return func() { f.Close() }, nil
}

func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chmod(dir, 0o700)
}

// notifySystemd sends a message to the service manager, if there is one that
// asked for it (sd_notify(3)).
func notifySystemd(ctx context.Context, message string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unixgram", name) // a leading @ is the abstract namespace, to Go too
	if err != nil {
		return err
	}
	_, err = conn.Write([]byte(message))
	return errors.Join(err, conn.Close())
}
