package trace

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// destinations are where IPVS may send a connection: one step each.
func (t *tracer) destinations() {
	s, _ := t.ipvs()
	var names map[netip.AddrPort]string
	if t.Record != nil {
		names = compile.EndpointNames(t.Record, t.Node, compile.Published(t.key))
	}
	t.overlayLink(s.Destinations)
	for _, d := range s.Destinations {
		node := t.nodeAt(func(n *mesh.Node) bool { return n.HasEndpointsAt(d.Addr.Addr()) })
		where := "an unknown node"
		if node != nil {
			where = "node " + node.Name
		}
		text := fmt.Sprintf("%s, weight %d: endpoint %s on %s", netip.AddrPortFrom(d.Addr.Addr(), t.targetOf(d)), d.Weight, cmp.Or(names[d.Addr], "(unknown)"), where)
		step := t.step(destination, text,
			Count{"connections", d.Traffic.Connections}, Count{"active", uint64(d.Active)}, Count{"inactive", uint64(d.Inactive)},
			Count{"packets in", d.Traffic.PacketsIn}, Count{"packets out", d.Traffic.PacketsOut})
		quiet := t.quiet(d, names[d.Addr])
		switch {
		case d.Weight == 0 && quiet != "":
			step.Text += ": " + quiet
			continue
		case d.Weight == 0:
			step.Broken = "Its weight is 0: it gets no new connection. " + repair
		case t.self() != nil && t.self().SlotBlock().Contains(d.Addr.Addr()):
			t.container(step, d)
		case t.isLocal(d):
			t.local(step, d)
		default:
			t.overlay(step, d, node)
		}
		if t.Record != nil && names[d.Addr] == "" && step.Broken == "" {
			step.Broken = "The record has no such endpoint of this port: somebody has added the destination. " + repair
		}
	}
}

// quiet says in a few words why a destination is to get no new connections, ""
// where it is to get some for all that is known. A node that drains has none of
// its endpoints asked for, and one that drains on is in the counters only.
func (t *tracer) quiet(d kernel.Destination, name string) string {
	noted := t.noted(d.Addr)
	switch {
	case noted.Draining:
		return "drained"
	case noted.Health == mesh.Unhealthy:
		return "unhealthy (" + noted.Reason + ")"
	case t.port == nil || name == "":
		return ""
	}
	service := t.Record.Services[t.port.Service]
	switch {
	case service.Endpoints[name].Share() == 0:
		return "weight 0 is asked for"
	case t.port.Locality == mesh.PreferLocal && !t.isLocal(d):
		return "one on this node is preferred"
	case t.Counters == nil && service.HealthCheck != nil:
		return "perhaps unhealthy (without a running agent its checks are not known)"
	}
	return ""
}

// noted is what the running agent says of a destination.
func (t *tracer) noted(at netip.AddrPort) mesh.EndpointCounters {
	if t.Counters == nil {
		return mesh.EndpointCounters{}
	}
	for _, p := range t.Counters.Ports {
		for _, e := range p.Endpoints {
			if p.Port == t.key && e.Address == at {
				return e
			}
		}
	}
	return mesh.EndpointCounters{}
}

func (t *tracer) isLocal(d kernel.Destination) bool {
	if self := t.self(); self != nil && self.HasEndpointsAt(d.Addr.Addr()) {
		return true
	}
	_, ok := has(t.Facts, state.Addr{NS: state.Host, Link: state.HostLink, Prefix: netip.PrefixFrom(d.Addr.Addr(), d.Addr.Addr().BitLen())})
	return ok
}

// overlayLink is a step of what goes to other nodes, whichever. What is wrong
// with the link breaks those destinations, not the ones here.
func (t *tracer) overlayLink(all []kernel.Destination) {
	vx, ok := has(t.Facts, state.VXLAN{})
	if !ok || !slices.ContainsFunc(all, func(d kernel.Destination) bool { return !t.isLocal(d) }) {
		return
	}
	c := t.Links[state.OverlayLink]
	counts := []Count{{"packets sent", c.TxPackets}, {"received", c.RxPackets}}
	if c.Errors > 0 { // what it drops is IPv6's multicast, which has nowhere to go
		counts = append(counts, Count{"errors", c.Errors})
	}
	t.step(meshSpace, fmt.Sprintf("%s to the other nodes: VNI %d, UDP port %d, from %s, mtu %d", state.OverlayLink, vx.VNI, vx.Port, vx.Local, vx.MTU), counts...)
}

// local is the way from IPVS to a process of this host.
func (t *tracer) local(step *Step, d kernel.Destination) {
	target := mesh.PortKey{Port: t.targetOf(d), Protocol: t.trace.Port.Protocol}
	set := state.SetPrefix + "ep-" + string(target.Protocol)
	if r, ok := t.route(state.Mesh, d.Addr.Addr()); !ok || r.Dev != state.MeshLink {
		step.Broken = fmt.Sprintf("There is no route to %s over %s in the mesh's namespace. %s", d.Addr.Addr(), state.MeshLink, repair)
		return
	}
	if broken := t.entryAddress(d.Addr.Addr()); broken != "" {
		step.Broken = broken
		return
	}
	if broken := t.input(set, target); broken != "" {
		step.Broken = broken
		return
	}
	rule, _, _ := find(t.HostChains, "filter", state.ChainPrefix+"-IN", "--match-set "+set+" dst", "-j ACCEPT")
	step.Details = append(step.Details, fmt.Sprintf("%s → %s, filter INPUT accepts ports of %s: %d packets", state.MeshLink, state.HostLink, set, rule.Packets))
	if t.Listening == nil {
		return
	}
	who, err := t.Listening(target, t.askedAt(d.Addr.Addr(), target.Protocol))
	switch {
	case err != nil:
		step.Details = append(step.Details, fmt.Sprintf("who listens cannot be seen: %v", err))
	case len(who) > 0:
		step.Details = append(step.Details, "listening: "+strings.Join(who, "; "))
	default:
		t.nobody(step, d, target)
	}
}

// input is why this host's firewall may not let the packet in to the process.
func (t *tracer) input(set string, target mesh.PortKey) string {
	input := chainOf(t.HostChains, "filter", "INPUT")
	if input.Policy == "ACCEPT" && len(input.Rules) == 0 {
		return ""
	}
	const chain = state.ChainPrefix + "-IN"
	if _, _, ok := find(t.HostChains, "filter", "INPUT", "-j "+chain); !ok {
		return fmt.Sprintf("No rule of filter INPUT jumps to %s, so another rule or the policy (%s) may drop it. %s", chain, input.Policy, repair)
	}
	member := t.inSet(set, target.Port)
	_, _, rule := find(t.HostChains, "filter", chain, "--match-set "+set+" dst", "-j ACCEPT")
	if !member || !rule {
		return fmt.Sprintf("%s does not accept port %d of %s, so another rule or the policy (%s) may drop it. %s", chain, target.Port, set, input.Policy, repair)
	}
	return ""
}

// nobody tells a port on which no process listens; a container's may be handed
// on by a rule (Docker without its userland proxy).
func (t *tracer) nobody(step *Step, d kernel.Destination, target mesh.PortKey) {
	for _, c := range t.HostChains {
		for _, r := range c.Rules {
			if c.Table == "nat" && hasAll(r.Text, []string{fmt.Sprintf("--dport %d", target.Port), "-j DNAT"}) {
				step.Details = append(step.Details, fmt.Sprintf("no process listens; nat %s hands it on: %s", c.Name, r.Text))
				return
			}
		}
	}
	at := d.Addr.Addr().String() + " or 0.0.0.0"
	if mesh.EntryAddresses.Contains(d.Addr.Addr()) {
		at = "0.0.0.0, which it must where the client's address is preserved"
	}
	step.Broken = fmt.Sprintf("No process of this host listens on port %s at %s: the client is refused. Start the service, or have it listen there.", target, at)
}

// entryAddress is why this host does not take what is for the entry address, or does not
// lead back what is answered from it; "" for other addresses.
func (t *tracer) entryAddress(a netip.Addr) string {
	self := t.self()
	if self == nil || !mesh.EntryAddresses.Contains(a) {
		return ""
	}
	if _, ok := has(t.Facts, state.Route{Table: state.LocalTable, Dst: self.EntryBlock()}); !ok {
		return fmt.Sprintf("This host does not take %s as its own: there is no local route to %s. %s", a, self.EntryBlock(), repair)
	}
	_, rule := has(t.Facts, state.Rule{From: self.EntryBlock(), Priority: state.RulePriority})
	if _, ok := has(t.Facts, state.Route{Table: state.Table, Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}); !rule || !ok {
		return fmt.Sprintf("What is answered from %s does not come back through the mesh: the policy rule from %s, or the table %d that it looks up, is missing. %s", a, self.EntryBlock(), state.Table, repair)
	}
	return ""
}

// askedAt is where a process of this host is asked: udp for an entry address, at the
// address that it answers from.
func (t *tracer) askedAt(a netip.Addr, proto mesh.Protocol) netip.Addr {
	if self := t.self(); self != nil && proto == mesh.UDP && mesh.EntryAddresses.Contains(a) {
		return self.Address
	}
	return a
}

// overlay is the way to another node: route, neighbour, FDB entry.
func (t *tracer) overlay(step *Step, d kernel.Destination, node *mesh.Node) {
	vx, ok := has(t.Facts, state.VXLAN{})
	route, routed := t.route(state.Mesh, d.Addr.Addr())
	switch {
	case !ok:
		step.Broken = fmt.Sprintf("There is no link %s: no other node is reached. %s", state.OverlayLink, repair)
		return
	case vx.Fault != "":
		step.Broken = fmt.Sprintf("%s is not as it should be: %s. %s", state.OverlayLink, vx.Fault, repair)
		return
	case !routed || route.Dev != state.OverlayLink:
		step.Broken = fmt.Sprintf("There is no route to %s over %s: the packet goes elsewhere. %s", d.Addr.Addr(), state.OverlayLink, repair)
		return
	}
	neigh, ok := has(t.Facts, state.Neigh{Addr: route.Via})
	if !ok {
		step.Broken = fmt.Sprintf("There is no neighbour %s on %s: the packet finds no MAC address. %s", route.Via, state.OverlayLink, repair)
		return
	}
	fdb, ok := has(t.Facts, state.FDB{MAC: neigh.MAC})
	if !ok {
		step.Broken = fmt.Sprintf("There is no FDB entry of %s on %s: the packet is not sent to any host. %s", neigh.MAC, state.OverlayLink, repair)
		return
	}
	if node != nil && fdb.Dst != node.Address {
		step.Broken = fmt.Sprintf("The FDB entry of %s leads to %s, but node %s has %s. %s", neigh.MAC, fdb.Dst, node.Name, node.Address, repair)
		return
	}
	step.Details = append(step.Details, fmt.Sprintf("%s: %s via %s, %s, to %s", state.OverlayLink, route.Dst, route.Via, neigh.MAC, fdb.Dst))
}
