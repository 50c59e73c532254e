// Package daemon is the agent that runs on a node: it puts the parts together and
// serves the API on the socket.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/containers"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/engine"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/firewall"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/health"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/hostsfile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/installer"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/node"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/presence"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/probe"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/reconcile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/resolver"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/selftest"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/server"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/web"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Daemon is how the agent runs.
type Daemon struct {
	layout.Layout
	Version string
	Log     *slog.Logger
}

// Run serves until SIGTERM. It then just ends: what is in the kernel stays, so
// that an update of the agent interrupts no connection.
func (d *Daemon) Run(ctx context.Context) error {
	if err := d.NeedRoot("running the agent"); err != nil {
		return err
	}
	for _, dir := range []string{d.StateDir(), d.RunDir()} {
		if err := layout.PrivateDir(dir); err != nil {
			return err
		}
	}
	release, err := d.HoldAgent()
	if err != nil {
		return err
	}
	defer release()
	k, err := node.OpenKernel(d.Layout, d.Log)
	if err != nil {
		return err
	}
	defer k.Close()
	watch := d.watch(k)
	firewalld, err := node.Firewalld(ctx, d.Layout, watch, d.Log)
	if err != nil {
		return err
	}
	a, err := d.newAgent(k, watch, firewalld)
	if err != nil {
		return err
	}
	defer a.front.Follow(nil, "")
	listener, err := d.listen(ctx)
	if err != nil {
		return err
	}
	hs := a.server.HTTPServer()
	served := make(chan error, 1)
	go func() { served <- hs.Serve(listener) }()
	if err := notifySystemd(ctx, "READY=1"); err != nil {
		d.Log.Warn("cannot tell systemd that the agent is ready", "error", err)
	}
	go func() {
		if a.server.IsNode() {
			d.loadModules(ctx, k)
		}
		a.server.Start(ctx)
		a.reconciler.Run(ctx)
	}()
	go d.newWatchdog(a).run(ctx)
	go a.health.Run(ctx)
	go a.containers.Run(ctx)
	go a.selftest.Run(ctx)
	if watch != nil {
		go watch.Run(ctx)
	}
	go firewalld.Run(ctx)
	select {
	case err = <-served:
		return fmt.Errorf("the agent's socket: %w", err)
	case <-ctx.Done():
		return d.shutdown(context.WithoutCancel(ctx), hs, a.resolver)
	}
}

// answerTime is how long queries for names that were read may take to be answered.
const answerTime = 3 * time.Second

// shutdown lets a commit that is under way reach the kernel, and queries for names be
// answered.
func (d *Daemon) shutdown(ctx context.Context, hs *http.Server, names *resolver.Resolver) error {
	ctx, cancel := context.WithTimeout(ctx, installer.ShutdownGrace)
	defer cancel()
	answering, stop := context.WithTimeout(ctx, answerTime)
	defer stop()
	names.Close(answering)
	if err := hs.Shutdown(ctx); err != nil {
		d.Log.Warn("ended while a call was under way; the record on disk is applied at the next start", "error", err)
	}
	return nil
}

// watch is nil where the kernel cannot be watched; what others break is then found
// on the slow timer.
func (d *Daemon) watch(k *kernel.Kernel) *kernel.Watch {
	w, err := k.NewWatch()
	if err != nil {
		d.Log.Error("cannot watch the kernel: what others break is found up to 30 s later", "error", err)
		return nil
	}
	return w
}

// loadModules is for a boot. What is missing all the same shows when the record is
// applied.
func (d *Daemon) loadModules(ctx context.Context, k *kernel.Kernel) {
	if err := k.LoadModules(ctx); err != nil {
		d.Log.Warn("modprobe has not loaded all of "+kernel.NeededModules()+"; the kernel may have them all the same", "error", err)
	}
}

// agent is what runs.
type agent struct {
	reconciler *reconcile.Reconciler
	health     *health.Checker
	containers *containers.Keeper
	selftest   *selftest.Tester
	front      *web.Front
	resolver   *resolver.Resolver
	server     *server.Server
}

func (d *Daemon) newAgent(k *kernel.Kernel, watch *kernel.Watch, firewalld *firewall.Firewalld) (*agent, error) {
	digest, err := layout.FileDigest(layout.OwnExecutable)
	if err != nil {
		return nil, err
	}
	release, err := host.KernelRelease()
	if err != nil {
		return nil, err
	}
	store := server.NewStore(d.StateDir())
	foreign := &firewall.Foreign{Firewalld: firewalld, Record: firewalld.Kept}
	a := &agent{health: health.New(health.Options{Spaces: k, File: d.Health(), Version: d.Version, Log: d.Log})}
	a.containers = containers.New(containers.Options{
		Engines:  engine.New(engine.Options{Root: d.Path(""), Log: d.Log}),
		Presence: presence.New(presence.Options{Kernel: k, Log: d.Log}),
		Kernel:   k, Log: d.Log,
	})
	a.resolver = resolver.New(resolver.Options{
		Kernel: k, Log: d.Log, Resolv: d.Path("etc/resolv.conf"),
		Store: fdStore{}, Inherited: activation.FilesWithNames(),
	})
	hosts := hostsfile.New(d.HostsFile())
	options := reconcile.Options{
		Kernel: k, Version: state.ParseKernelVersion(release), Log: d.Log,
		Files:  append(d.ownFiles(digest), store),
		Memory: reconcile.Memory{Applied: d.Applied(), Repairs: d.Repairs()}, Hash: store.Hash,
		Health: a.health, Slots: a.containers, Names: a.resolver, Drains: d.Drains(), Firewall: firewalld, HostsFile: hosts,
	}
	if watch != nil {
		options.Watch = watch
	}
	a.reconciler = reconcile.New(options)
	a.front = web.New(web.Options{
		State: a.reconciler, Health: a.health, Version: d.Version, Log: d.Log,
		Counters: func(ctx context.Context) (mesh.Counters, error) { return a.server.Counters(ctx) },
		Warnings: func() []mesh.Warning { return a.server.Warned() },
		Queries:  a.resolver.Queries,
	})
	address := &host.AddressWatch{Facts: node.Host(d.Layout).Facts, Current: func() (*mesh.Record, string) { return a.server.Current() }}
	routing := &host.Warner{Node: func() string { _, name := a.server.Current(); return name }, Proc: d.Path("proc")}
	prober := probe.New(k)
	a.selftest = a.newSelfTest(k, prober, d.Log)
	a.server, err = server.New(server.Options{
		Store: store, Reconciler: a.reconciler,
		Health: a.health, Front: a.front, Metrics: a.front.Metrics(),
		Host:      node.Host(d.Layout),
		Inspector: inspector{k, prober},
		Warnings:  []func() []mesh.Warning{a.selftest.Warnings, firewalld.Warnings, foreign.Warnings, address.Warnings, routing.Warnings, a.containers.Warnings, a.resolver.Warnings, hosts.Warnings},
		SelfTest:  a.selftest, Slots: a.containers.Slots,
		Log: d.Log, Version: d.Version, BinarySHA256: digest, Now: time.Now,
	})
	return a, err
}

// ownFiles are those that the install of this program has put in place.
func (d *Daemon) ownFiles(digest string) []reconcile.File {
	return (&installer.Installer{Layout: d.Layout, Log: d.Log}).OwnFiles(digest)
}

// inspector looks at what the mesh does on this host.
type inspector struct {
	*kernel.Kernel
	*probe.Prober
}

// listen makes the socket, in place of one that a crashed agent left: the lock
// says that no other agent is there.
func (d *Daemon) listen(ctx context.Context) (net.Listener, error) {
	if err := os.Remove(d.Socket()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	old := unix.Umask(0o177) // the socket is 0600 from its first moment
	var config net.ListenConfig
	l, err := config.Listen(ctx, "unix", d.Socket())
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}
