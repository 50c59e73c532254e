package compile

import (
	"net/netip"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// portObjects hands on what one published port asks of this node: an IPVS service, its
// destinations and a set member if it is open here, and a member of
// routingmesh-ep-* for each port on which an endpoint of this node answers, or is
// checked. What two ports ask for both, as shared tells, is handed on by each.
//
// Endpoints answer what comes in through other nodes, whether the port is open on their own
// or not. An ingress port whose service has no live endpoint stays open: IPVS without
// a destination answers "port unreachable", which the client sees as
// connection refused, also through a firewall that drops what no rule accepts.
// And a UDP client that keeps sending meanwhile leaves no conntrack entry past
// the DNAT that would hold it off once an endpoint is back.
func portObjects(put func(state.Object), rec *mesh.Record, self *mesh.Node, p *mesh.PublishedPort, now Conditions) {
	key, service := p.Key(), rec.Services[p.Service]
	dests := destinations(rec, self, p, now)
	open := p.Nodes.Has(self.Name)
	if p.Mode == mesh.Host && (!open || len(dests) == 0) {
		return
	}
	if preserves(p) {
		clientsReturn(put, self)
	}
	for _, d := range dests {
		switch {
		case !d.local:
		case self.SlotBlock().Contains(d.addr.Addr()):
			openedSlot(put, service, p.Protocol, d.addr)
		default:
			put(answered(p, d.addr.Port()))
		}
	}
	containers(put, self, service)
	checkedPort(put, self, service)
	if !open {
		return
	}
	if hostTCP(p) && p.ClientAddress != mesh.Preserve {
		answersReturn(put, self)
	}
	server := ServerAddress(self, p)
	put(virtualServer(service, p, server))
	opened(put, p)
	allowed(put, self, p)
	for _, d := range dests {
		if d.out {
			continue
		}
		at := serverOf(self, p, d.addr)
		if at != server {
			// It drains from before client_address was changed, or the port became a range.
			put(virtualServer(service, p, at))
		}
		put(state.RealServer{Proto: string(key.Protocol), Server: at, Addr: d.addr, Weight: d.weight})
	}
}

// answered is what lets other nodes through to an endpoint here that answers p on the port; 0
// stands for the targets of a range.
func answered(p *mesh.PublishedPort, port uint16) state.SetMember {
	m := state.SetMember{Set: endpointSet(p.Protocol), Port: port}
	if port == 0 {
		targets := p.TargetRange()
		m.Port, m.Last = targets.First, targets.Last
	}
	return m
}

// allowed puts who may connect to the port, if that is not everybody. The self-test is
// a client as others are.
func allowed(put func(state.Object), self *mesh.Node, p *mesh.PublishedPort) {
	if p.IsRange() {
		return // see limitedRanges
	}
	var from []netip.Prefix
	if p.AllowedCIDRs != "" {
		from = append(p.AllowedCIDRs.Prefixes(), only(self.SelfTestAddress()))
	}
	switch {
	case p.VIP != 0:
		networks(put, p, state.AllowSet(p.VIP), from)
		return
	case len(from) == 0:
		return
	}
	put(state.SetMember{Set: limitSet(p.Protocol), Port: p.Published})
	for _, from := range from {
		put(state.SetMember{Set: allowSet(p.Protocol), Addr: from.Addr(), Bits: uint8(from.Bits()), Port: p.Published})
	}
}

// ServerAddress is where IPVS has the published port on the node.
func ServerAddress(self *mesh.Node, p *mesh.PublishedPort) netip.AddrPort {
	if p.IsRange() {
		return netip.AddrPortFrom(rangeVIP(p), p.Published)
	}
	if p.ClientAddress == mesh.Preserve {
		return netip.AddrPortFrom(self.PreserveAddress(), p.Published)
	}
	return netip.AddrPortFrom(self.VIP(p.VIP, hostTCP(p)), p.Published)
}

// serverOf is Frontend.ServerOf for a published port.
func serverOf(self *mesh.Node, p *mesh.PublishedPort, destination netip.AddrPort) netip.AddrPort {
	preserved := mesh.EntryAddresses.Contains(destination.Addr())
	if destination.Port() == 0 {
		return netip.AddrPortFrom(p.RangeVIP(preserved), p.Published)
	}
	if preserved {
		return netip.AddrPortFrom(self.PreserveAddress(), p.Published)
	}
	return netip.AddrPortFrom(self.VIP(p.VIP, hostTCP(p)), p.Published)
}

// OpenSet is the set that leads the published port into the mesh.
func OpenSet(p *mesh.PublishedPort) string {
	switch {
	case p.ClientAddress == mesh.Preserve:
		return keepSet(p.Protocol)
	case p.ByAddress():
		return state.ListenSet(p.VIP, hostTCP(p))
	case hostTCP(p):
		return hostModeSet
	}
	return ingressSet(p.Protocol)
}

// hostTCP: its endpoints see the client's own address, as those of host mode do with tcp. A
// udp server that is bound to 0.0.0.0 would answer a client outside the mesh from the
// underlay address, past IPVS, so it must see S instead.
func hostTCP(p *mesh.PublishedPort) bool { return p.Mode == mesh.Host && p.Protocol == mesh.TCP }

// preserves says that connections of the port, from now or from before, have the client's
// own address.
func preserves(p *mesh.PublishedPort) bool {
	return p.ClientAddress == mesh.Preserve || p.PreservedBefore
}

// shared says that several published ports may ask for the object.
func shared(key state.Key) bool {
	switch key.Kind {
	case state.KindRoute, state.KindRule, state.KindAddr:
		return true
	case state.KindSetMember:
		switch key.Name {
		case endpointSet(mesh.TCP), endpointSet(mesh.UDP), state.OpenSet, state.PeerSet:
			return true
		}
	}
	return false
}

func virtualServer(service *mesh.Service, p *mesh.PublishedPort, server netip.AddrPort) state.VirtualServer {
	v := state.VirtualServer{Proto: string(p.Protocol), Addr: server, Scheduler: service.SchedulerName(), OnePacket: p.OnePacket}
	if a := service.Affinity; a != nil {
		v.AffinitySeconds, v.AffinityBits = a.TimeoutSeconds, a.PrefixLength
	}
	return v
}

// checkedPort lets the other nodes' checks through to a port that no published
// port leads to.
func checkedPort(put func(state.Object), self *mesh.Node, service *mesh.Service) {
	if service.HealthCheck == nil || service.HealthCheck.Port == 0 {
		return
	}
	for _, e := range endpointsOn(service, self.Name) {
		if e.Container == nil {
			put(state.SetMember{Set: endpointSet(mesh.TCP), Port: service.HealthCheck.Port})
			continue
		}
		for slot := range e.SlotAddresses(self) {
			openedSlot(put, service, mesh.TCP, netip.AddrPortFrom(slot, service.HealthCheck.Port))
		}
	}
}

// answersReturn leads what an endpoint answers to a client outside the mesh back
// through IPVS. It is there only while a host-mode tcp port is open: any policy
// rule of one's own takes every packet of the host off the kernel's short way
// through the routing tables (fib_has_custom_rules).
func answersReturn(put func(state.Object), self *mesh.Node) {
	put(state.Route{NS: state.Host, Table: state.Table, Dst: everywhere(), Via: self.MeshAddress(), Dev: state.HostLink})
	put(state.Rule{From: only(self.HostAddress()), Table: state.Table, Priority: state.RulePriority})
}

// Opens reports whether the port is open on the node: everywhere in ingress
// mode, where an endpoint is in host mode, and only on the nodes that it names.
func Opens(rec *mesh.Record, node string, p *mesh.PublishedPort) bool {
	if rec == nil || rec.Nodes[node] == nil || !p.Nodes.Has(node) {
		return false
	}
	return p.Mode == mesh.Ingress || hasEndpointOn(rec.Services[p.Service], node)
}

func hasEndpointOn(service *mesh.Service, node string) bool {
	if service != nil {
		for _, e := range service.Endpoints {
			if e.Node == node {
				return true
			}
		}
	}
	return false
}

// AnswersItself reports whether an endpoint of the port's own service on the
// node listens on the published port itself, of a range on the one that is named, or one of a
// service that has the port at other addresses: then a listener there is no conflict, the mesh
// brings it its traffic.
func AnswersItself(rec *mesh.Record, node string, p *mesh.PublishedPort, published uint16) bool {
	for _, one := range rec.PortsAt(p.Key()) {
		if slices.ContainsFunc(localTargets(rec, node, one), func(r mesh.PortRange) bool { return r.Has(published) }) {
			return true
		}
	}
	return false
}

// localTargets are the ports of this host on which processes answer what comes to p.
func localTargets(rec *mesh.Record, node string, p *mesh.PublishedPort) []mesh.PortRange {
	service := rec.Services[p.Service]
	if service == nil {
		return nil
	}
	var targets []mesh.PortRange
	for _, e := range service.Endpoints {
		switch target := p.TargetFor(e); {
		case e.Node != node || e.Container != nil:
		case p.IsRange():
			targets = append(targets, p.TargetRange())
		default:
			targets = append(targets, mesh.PortRange{First: target, Last: target})
		}
	}
	return targets
}
