// Package trace tells a packet's way through this node to a published port, step
// by step, with live counters: from what is in the kernel, not from what the
// record asks for. The record only gives names, and explains what is missing.
package trace

import (
	"context"
	"net/netip"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Facts is what a trace is made of.
type Facts struct {
	Record *mesh.Record // nil when there is none
	Node   string       // as which the host is in the record, "" for none
	// State is what is ours in the kernel.
	State state.State
	// HostChains and MeshChains are all chains of the two namespaces.
	HostChains, MeshChains []kernel.Chain
	Servers                []kernel.Server
	Links                  map[string]kernel.LinkCounters // rmesh0, vx0
	// From is the client that is asked about, the zero value for none.
	From netip.Addr
	// At is the address of the host that is asked about, the zero value for any. Addresses
	// are all of the host, nil where they are not known.
	At        netip.Addr
	Addresses []netip.Addr
	// Counters are the running agent's: it alone knows which endpoints fail their
	// checks, and which are being drained. nil without one.
	Counters *mesh.Counters
	// Warnings are all of the running agent's.
	Warnings []mesh.Warning
	// Listening names who takes what comes to a port at an address of the host's.
	Listening func(key mesh.PortKey, at netip.Addr) ([]string, error)
}

// Kernel is what Gather reads.
type Kernel interface {
	Observe(ctx context.Context, scope kernel.Scope) (state.State, error)
	Chains(ctx context.Context, ns state.NS) ([]kernel.Chain, error)
	Servers(ctx context.Context) ([]kernel.Server, error)
	LinkCounters(ns state.NS, name string) (c kernel.LinkCounters, ok bool, err error)
}

// Gather reads the kernel into f.
func (f *Facts) Gather(ctx context.Context, k Kernel) (err error) {
	if f.State, err = k.Observe(ctx, kernel.Traffic); err != nil {
		return err
	}
	if f.HostChains, err = k.Chains(ctx, state.Host); err != nil {
		return err
	}
	if f.MeshChains, err = k.Chains(ctx, state.Mesh); err != nil {
		return err
	}
	if f.Servers, err = k.Servers(ctx); err != nil {
		return err
	}
	f.Links = map[string]kernel.LinkCounters{}
	for ns, name := range map[state.NS]string{state.Host: state.HostLink, state.Mesh: state.OverlayLink} {
		c, ok, err := k.LinkCounters(ns, name)
		if err != nil {
			return err
		}
		if ok {
			f.Links[name] = c
		}
	}
	return nil
}

// has finds an object of the kernel by the key of one like it.
func has[T state.Object](f *Facts, like T) (T, bool) {
	o, ok := f.State[like.Key()].(T)
	return o, ok
}

// isOff says that a setting is known to be something else than 1.
func (f *Facts) isOff(ns state.NS, name string) bool {
	s, known := has(f, state.Sysctl{NS: ns, Name: name})
	return known && s.Value != "1"
}

func (f *Facts) nodeAt(is func(*mesh.Node) bool) *mesh.Node {
	if f.Record == nil {
		return nil
	}
	for _, n := range f.Record.Nodes {
		if is(n) {
			return n
		}
	}
	return nil
}

func (f *Facts) self() *mesh.Node {
	if f.Record == nil {
		return nil
	}
	return f.Record.Nodes[f.Node]
}

// route finds the route of a namespace that a packet takes: the narrowest.
func (f *Facts) route(ns state.NS, to netip.Addr) (best state.Route, ok bool) {
	for _, o := range f.State {
		r, is := o.(state.Route)
		if is && r.NS == ns && r.Table == state.MainTable && r.Dst.Contains(to) && (!ok || r.Dst.Bits() > best.Dst.Bits()) {
			best, ok = r, true
		}
	}
	return best, ok
}

// chainOf is empty when there is no such chain.
func chainOf(chains []kernel.Chain, table, name string) kernel.Chain {
	for _, c := range chains {
		if c.Table == table && c.Name == name {
			return c
		}
	}
	return kernel.Chain{}
}

// find returns the first rule of a chain that has all of the parts, and its
// place, from 1.
func find(chains []kernel.Chain, table, name string, parts ...string) (r kernel.Rule, place int, ok bool) {
	c := chainOf(chains, table, name)
	for i, rule := range c.Rules {
		if hasAll(rule.Text, parts) {
			return rule, i + 1, true
		}
	}
	return r, 0, false
}

// hasAll looks for parts as whole words: "-j ROUTINGMESH" is not in
// "-j ROUTINGMESH-IN".
func hasAll(rule string, parts []string) bool {
	padded := " " + rule + " "
	for _, p := range parts {
		if !strings.Contains(padded, " "+p+" ") {
			return false
		}
	}
	return true
}
