// Package web answers programs that are none of the mesh: load balancers in front
// of the nodes (GET /healthz) and Prometheus (GET /metrics). It only tells; nothing
// can be changed through it.
package web

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/health"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/reconcile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// State is what the reconciler knows; nothing of it waits for a pass that is under
// way.
type State interface {
	// Conditions is what the kernel was last brought under.
	Conditions() compile.Conditions
	// Stats has the generations as the last apply left them.
	Stats() reconcile.Stats
}

// Health is what the checks of endpoints have come to.
type Health interface {
	Results() map[compile.Check]health.Result
}

// Options are what a Front works with.
type Options struct {
	State  State
	Health Health
	// Counters reads what the kernel has counted, in the record's names.
	Counters func(ctx context.Context) (mesh.Counters, error)
	// Warnings is what keeps traffic from flowing, as far as it is known by now.
	Warnings func() []mesh.Warning
	// Queries counts the queries for names by what became of them; nil is for none. It may be
	// nil itself.
	Queries func() map[string]uint64
	// Version is the agent's.
	Version string
	Log     *slog.Logger
}

// The cluster's attributes that have the addresses.
const (
	healthAddress  = "health_address"
	metricsAddress = "metrics_address"
)

// Front listens where the record has it.
type Front struct {
	options  Options
	metrics  http.Handler
	handlers map[string]http.Handler // by attribute
	// listen is net.Listen's; tests replace it.
	listen func(address netip.AddrPort) (net.Listener, error)

	place atomic.Pointer[place]

	mu        sync.Mutex
	listeners map[string]*listener // by attribute
}

// place is which node this is, of which record.
type place struct {
	rec  *mesh.Record
	node string
}

// self is nil on a host that is no node.
func (p *place) self() *mesh.Node {
	if p.rec == nil {
		return nil
	}
	return p.rec.Nodes[p.node]
}

// New returns a Front that listens nowhere yet.
func New(o Options) *Front {
	f := &Front{options: o, listen: listen, listeners: map[string]*listener{}}
	f.place.Store(&place{})
	f.metrics = f.metricsHandler()
	f.handlers = map[string]http.Handler{healthAddress: f.healthHandler(), metricsAddress: f.pathMetrics()}
	return f
}

// Metrics answers with Prometheus's text format, whatever the path.
func (f *Front) Metrics() http.Handler { return f.metrics }

// Follow answers for the named node of rec from now on, and listens where that has
// it: where it does already, it goes on without a gap. A host that is no node
// ("" for its name) listens nowhere.
func (f *Front) Follow(rec *mesh.Record, node string) {
	f.place.Store(&place{rec, node})
	f.mu.Lock()
	defer f.mu.Unlock()
	wanted := addresses(rec, node)
	for attribute, d := range f.listeners {
		if wanted[attribute] != d.address {
			d.close()
			delete(f.listeners, attribute)
		}
	}
	for attribute, address := range wanted {
		if f.listeners[attribute] == nil {
			f.listeners[attribute] = &listener{attribute: attribute, address: address}
			f.open(f.listeners[attribute])
		}
	}
}

// addresses is where a node listens, by attribute.
func addresses(rec *mesh.Record, node string) map[string]netip.AddrPort {
	if rec == nil || rec.Nodes[node] == nil {
		return nil
	}
	wanted := map[string]netip.AddrPort{}
	for attribute, text := range map[string]string{healthAddress: rec.Cluster.HealthAddress, metricsAddress: rec.Cluster.MetricsAddress} {
		if address, err := mesh.ListenAddress(text, rec.Nodes[node].Address); err == nil { // no record has one that is wrong
			wanted[attribute] = address
		}
	}
	return wanted
}

// Problems says where the node should listen and does not, sorted.
func (f *Front) Problems() []mesh.Problem {
	node := f.place.Load().node
	f.mu.Lock()
	defer f.mu.Unlock()
	var problems []mesh.Problem
	for _, d := range f.listeners {
		if d.fault != "" {
			problems = append(problems, mesh.Problem{Code: mesh.ProblemListener, Object: mesh.NodeRef(node), Attribute: d.attribute, Text: d.fault})
		}
	}
	slices.SortFunc(problems, func(a, b mesh.Problem) int { return cmp.Compare(a.Text, b.Text) })
	return problems
}
