package trace

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// setOf is the set that has the port, or else the one that should.
func (t *tracer) setOf(key mesh.PortKey) string {
	sets := possible(key)
	wanted := sets[0]
	if t.port != nil {
		wanted = compile.OpenSet(t.port)
	}
	if i := slices.IndexFunc(sets, t.hasPort); i >= 0 && !t.hasPort(wanted) {
		return sets[i]
	}
	return wanted
}

// possible are the sets that may let the port in, the usual one first.
func possible(key mesh.PortKey) (sets []string) {
	if key.VIP == 0 {
		sets = append(sets, state.SetPrefix+string(key.Protocol))
		if key.Protocol == mesh.TCP {
			sets = append(sets, hostTCP)
		}
		sets = append(sets, state.SetPrefix+"keep-"+string(key.Protocol))
	}
	sets = append(sets, state.ListenSet(key.VIP, false))
	if key.Protocol == mesh.TCP {
		sets = append(sets, state.ListenSet(key.VIP, true))
	}
	return sets
}

// hasPort says that the set in the kernel has the port, at the address that is asked
// about, if any.
func (t *tracer) hasPort(set string) bool {
	if !state.IsListenSet(set) {
		return t.inSet(set, t.trace.Port.Port)
	}
	return slices.ContainsFunc(t.networksOf(set), func(n netip.Prefix) bool { return !t.At.IsValid() || n.Contains(t.At) })
}

// inSet says that the set of ports in the kernel has the port, alone or in a range.
func (f *Facts) inSet(set string, port uint16) bool {
	if _, in := has(f, state.SetMember{Set: set, Port: port}); in {
		return true
	}
	for _, o := range f.State {
		if m, ok := o.(state.SetMember); ok && m.Set == set && m.Last != 0 && m.HasPort(port) {
			return true
		}
	}
	return false
}

// networksOf are those that the set has for the port.
func (t *tracer) networksOf(set string) (all []netip.Prefix) {
	proto := ""
	if _, both := state.PairOfSet(set); both {
		proto = string(t.trace.Port.Protocol)
	}
	for _, o := range t.State {
		m, ok := o.(state.SetMember)
		if ok && m.Set == set && m.Port == t.trace.Port.Port && m.Proto == proto {
			all = append(all, netip.PrefixFrom(m.Addr, int(m.Bits)))
		}
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return all
}

// toHostMode says that the set's ports are of host mode and tcp.
func toHostMode(set string) bool { return set == hostTCP || strings.HasPrefix(set, hostListens) }

var hostListens = strings.TrimSuffix(state.ListenSet(0, true), "0")
