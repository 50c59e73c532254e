package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/server"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// agent is one host's.
type agent struct {
	dir     string
	address netip.Addr
	sha256  string
	calls   *calls
	handler atomic.Value // of the API, an http.Handler in a struct of one type
}

type current struct {
	http.Handler
	*server.Server
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.calls.add(r.URL.Path)
	a.current().ServeHTTP(w, r)
}

func (a *agent) current() current {
	now, _ := a.handler.Load().(current)
	return now
}

// forget starts the agent anew, with an empty folder.
func (a *agent) forget() error {
	if err := os.RemoveAll(a.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return err
	}
	return a.restart()
}

// restart starts the agent with what its folder has.
func (a *agent) restart() error {
	s, err := server.New(server.Options{
		Store: server.NewStore(a.dir), Reconciler: &reconciler{}, Host: host{a.address}, Inspector: inspector{},
		Log: slog.New(slog.DiscardHandler), Version: "bench", BinarySHA256: a.sha256, Now: time.Now,
	})
	if err != nil {
		return err
	}
	s.Start(context.Background())
	a.handler.Store(current{s.Handler(), s})
	return nil
}

func (a *agent) serve(listener net.Listener) {
	// The error is that the listener was closed: the program ends.
	_ = (&http.Server{Handler: a, ReadHeaderTimeout: time.Minute}).Serve(listener)
}

// reconciler stands where the kernel is: all is at once as the record asks.
type reconciler struct{ applied atomic.Uint64 }

func (r *reconciler) Announce(*mesh.Record, string, *mesh.Origin) error { return nil }

func (r *reconciler) Commit(_ context.Context, rec *mesh.Record, _ string) []mesh.Problem {
	r.applied.Store(rec.Generation)
	return nil
}

func (r *reconciler) Resume(ctx context.Context, rec *mesh.Record, node string) []mesh.Problem {
	return r.Commit(ctx, rec, node)
}

func (r *reconciler) RepairObjects(context.Context, []mesh.Ref) []mesh.Problem { return nil }
func (r *reconciler) Status(context.Context) (uint64, []mesh.Problem)          { return r.applied.Load(), nil }
func (r *reconciler) Repairs() uint64                                          { return 0 }
func (r *reconciler) Drains(context.Context) (*mesh.Drains, error) {
	return &mesh.Drains{Drains: []mesh.Drain{}}, nil
}
func (r *reconciler) Draining() int                  { return 0 }
func (r *reconciler) Conditions() compile.Conditions { return compile.Conditions{} }

// host has one link, with the node's address.
type host struct{ address netip.Addr }

func (h host) Facts() (mesh.HostFacts, error) {
	return mesh.HostFacts{Hostname: h.address.String(), KernelRelease: "6.1.0-bench", Arch: runtime.GOARCH,
		Interfaces: []mesh.Interface{{Name: "eth0", MTU: 1500, Addresses: []netip.Prefix{netip.PrefixFrom(h.address, 24)}}}}, nil
}

func (h host) Preflight(context.Context, *mesh.Record, *mesh.Record, string) []mesh.Problem {
	return nil
}

// inspector finds every peer well, as in a network without faults.
type inspector struct{}

func (inspector) Servers(context.Context) ([]kernel.Server, error) { return nil, nil }

func (inspector) Probe(_ context.Context, rec *mesh.Record, node string, peers []string) (*mesh.ProbeResponse, error) {
	report := &mesh.ProbeResponse{Peers: map[string]mesh.PeerProbe{}}
	if len(peers) == 0 {
		peers = rec.NodeNames()
	}
	for _, name := range peers {
		if peer := rec.Nodes[name]; peer != nil && name != node {
			report.Peers[name] = mesh.PeerProbe{Answered: rec.MTU(), Heard: rec.MTU(), Wire: []netip.Addr{peer.Address}, Underlay: true}
		}
	}
	return report, nil
}
