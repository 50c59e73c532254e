// Package selftest tries, all the time, what the mesh is for: the overlay to every
// other node, and the path that a client's packet takes through this one. What
// does not work is a mesh.Warning.
//
// Its cost is bounded whatever the number of nodes and ports: some 50 echoes and
// one SYN a second.
package selftest

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Kernel is what of kernel.Kernel the tests need.
type Kernel interface {
	InHost(fn func() error) error
	InMesh(fn func() error) error
	// MeshID tells namespaces of the mesh apart, 0 when there is none.
	MeshID() uint64
	FindFlow(ns state.NS, from, to netip.AddrPort) (f kernel.Flow, found bool, err error)
}

// Prober finds out why other nodes are not reached.
type Prober interface {
	Probe(ctx context.Context, rec *mesh.Record, node string, peers []string) (*mesh.ProbeResponse, error)
}

// Options are what a Tester works with.
type Options struct {
	Kernel Kernel
	Prober Prober
	// Record returns the record that the kernel has been brought to, nil for none, and
	// the node that this host is in it.
	Record func() (*mesh.Record, string)
	// Conditions are those that the kernel was last brought under.
	Conditions func() compile.Conditions
	// Broken says that something is missing in the kernel that concerns all traffic: the
	// node reports that by itself, and a test could only say it again.
	Broken func() bool
	// Addresses are those of the host, for ports that are not open at the node's own.
	Addresses func() ([]netip.Addr, error)
	Log       *slog.Logger
}

// Tester tests one node. Nothing is sent before Run.
type Tester struct {
	overlay *overlay
	path    *path
}

// New returns a Tester.
func New(o Options) *Tester {
	t := &Tester{overlay: newOverlay(o)}
	t.path = newPath(o, t.overlay.table.clean)
	return t
}

// Run tests until ctx ends.
func (t *Tester) Run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { t.overlay.run(ctx) })
	both.Go(func() { t.path.run(ctx) })
	both.Wait()
}

// Warnings says what does not work. A path that fails because another node is not
// reached is not said beside that.
func (t *Tester) Warnings() []mesh.Warning {
	return append(t.overlay.warnings(), t.path.warnings()...)
}

// Overlay returns what the node sees of those that it does not reach; nil when it
// reaches all.
func (t *Tester) Overlay() map[string]mesh.PeerProbe { return t.overlay.table.report() }

// Summary says what is covered; nil on a host that is no node.
func (t *Tester) Summary() *mesh.SelfTest {
	if rec, node := t.overlay.Record(); rec == nil || rec.Nodes[node] == nil {
		return nil
	}
	s := &mesh.SelfTest{}
	s.Peers, s.Answering = t.overlay.table.count()
	t.path.summary(s)
	return s
}
