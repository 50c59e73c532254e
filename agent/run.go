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

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/firewall"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/health"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/probe"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/reconcile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/selftest"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/server"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/web"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
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
	watch := p.watch(k)
	firewalld, err := p.firewalld(ctx, watch)
	if err != nil {
		return err
	}
	a, err := p.newAgent(k, watch, firewalld)
	if err != nil {
		return err
	}
	defer a.front.Follow(nil, "")
	listener, err := p.listen(ctx)
	if err != nil {
		return err
	}
	hs := a.server.HTTPServer()
	served := make(chan error, 1)
	go func() { served <- hs.Serve(listener) }()
	if err := notifySystemd(ctx, "READY=1"); err != nil {
		p.log.Warn("cannot tell systemd that the agent is ready", "error", err)
	}
	go func() {
		if a.server.IsNode() {
			p.loadModules(ctx, k)
		}
		a.server.Start(ctx)
		a.reconciler.Run(ctx)
	}()
	go a.health.Run(ctx)
	go a.selftest.Run(ctx)
	if watch != nil {
		go watch.Run(ctx)
	}
	go firewalld.Run(ctx)
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

// watch is nil where the kernel cannot be watched; what others break is then found
// on the slow timer.
func (p *program) watch(k *kernel.Kernel) *kernel.Watch {
	w, err := k.NewWatch()
	if err != nil {
		p.log.Error("cannot watch the kernel: what others break is found up to 30 s later", "error", err)
		return nil
	}
	return w
}

// loadModules is for a boot. What is missing all the same shows when the record is
// applied.
func (p *program) loadModules(ctx context.Context, k *kernel.Kernel) {
	if err := k.LoadModules(ctx); err != nil {
		p.log.Warn("modprobe has not loaded all of "+kernel.NeededModules()+"; the kernel may have them all the same", "error", err)
	}
}

// agent is what runs.
type agent struct {
	reconciler *reconcile.Reconciler
	health     *health.Checker
	selftest   *selftest.Tester
	front      *web.Front
	server     *server.Server
}

func (p *program) newAgent(k *kernel.Kernel, watch *kernel.Watch, firewalld *firewall.Firewalld) (*agent, error) {
	digest, err := fileDigest(ownExecutable)
	if err != nil {
		return nil, err
	}
	release, err := host.KernelRelease()
	if err != nil {
		return nil, err
	}
	store := server.NewStore(p.stateDir())
	foreign := &firewall.Foreign{Firewalld: firewalld, Record: firewalld.Kept}
	a := &agent{health: health.New(health.Options{Spaces: k, File: p.health(), Version: version, Log: p.log})}
	options := reconcile.Options{
		Kernel: k, Version: state.ParseKernelVersion(release), Log: p.log,
		Files:  append(p.ownFiles(digest), store),
		Memory: reconcile.Memory{Applied: p.applied(), Repairs: p.repairs()}, Hash: store.Hash,
		Health: a.health, Drains: p.drains(), Firewall: firewalld,
	}
	if watch != nil {
		options.Watch = watch
	}
	a.reconciler = reconcile.New(options)
	a.front = web.New(web.Options{
		State: a.reconciler, Health: a.health, Version: version, Log: p.log,
		Counters: func(ctx context.Context) (mesh.Counters, error) { return a.server.Counters(ctx) },
		Warnings: func() []mesh.Warning { return a.server.Warned() },
	})
	address := &host.AddressWatch{Facts: p.host().Facts, Current: func() (*mesh.Record, string) { return a.server.Current() }}
	routing := &host.Warner{Node: func() string { _, node := a.server.Current(); return node }, Proc: p.path("proc")}
	prober := probe.New(k)
	a.selftest = a.newSelfTest(k, prober, p.log)
	a.server, err = server.New(server.Options{
		Store: store, Reconciler: a.reconciler,
		Health: a.health, Front: a.front, Metrics: a.front.Metrics(),
		Host:      p.host(),
		Inspector: inspector{k, prober},
		Warnings:  []func() []mesh.Warning{a.selftest.Warnings, firewalld.Warnings, foreign.Warnings, address.Warnings, routing.Warnings},
		SelfTest:  a.selftest,
		Log:       p.log, Version: version, BinarySHA256: digest, Now: time.Now,
	})
	return a, err
}

// inspector looks at what the mesh does on this host.
type inspector struct {
	*kernel.Kernel
	*probe.Prober
}

func (p *program) host() *host.Host {
	return &host.Host{Proc: p.path("proc"), Root: p.root, Requirements: requirements, Translated: firewall.Translated}
}

// requirements puts what the host lacks into sentences, and what the mesh cannot
// work beside.
func requirements(ctx context.Context) []string {
	var texts []string
	if b, err := kernel.ReadBackends(ctx); err == nil && b.Mixed() != "" { // an error is one of a missing program, see below
		texts = append(texts, b.Mixed())
	}
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
