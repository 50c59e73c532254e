package compile

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// What networks need. Each packet of a member has the identity of its networks as its mark,
// over the overlay too, and the node of whom it is for lets it through if the two meet. So a
// node has to know its own members only, and nothing between members is tracked. A cluster
// without networks has nothing of this.

// addNetworks adds what a node has while the record has networks, but for VIPs (vipObjects) and
// for the rules of raw, which come among others'.
func addNetworks(s state.State, rec *mesh.Record, self *mesh.Node, now Conditions) {
	for _, set := range state.NetworkSets() {
		s.Put(set)
	}
	for _, setting := range state.NetworkSysctls() {
		s.Put(setting.Sysctl)
	}
	for _, block := range rec.VIPBlocks() {
		s.Put(state.Route{NS: state.Mesh, Table: state.LocalTable, Dst: block, Dev: "lo", Local: true})
	}
	identities(s, rec, self, now)
	s.Put(
		state.Chain{NS: state.Mesh, Table: "mangle", Name: "PREROUTING", Rules: rules(identified(rec, self)...)},
		state.Chain{NS: state.Mesh, Table: "mangle", Name: "OUTPUT", Rules: rules(identifiedAgain(rec, self)...)},
		state.Chain{NS: state.Mesh, Table: "raw", Name: "OUTPUT", Rules: rules(forEach(rec.VIPBlocks(), "-s %s -j CT --notrack")...)},
		state.Chain{NS: state.Mesh, Table: "filter", Name: "INPUT", Rules: rules(
			refused(self, "-m mark ! --mark 0x0 -m conntrack --ctstate NEW ")...)},
		state.Chain{NS: state.Mesh, Table: "filter", Name: "FORWARD", Rules: rules(toMembers(self)...)},
		state.Chain{NS: state.Mesh, Table: "filter", Name: "OUTPUT", Rules: rules(slices.Concat(
			forEach(rec.VIPBlocks(), "-s %s -j ACCEPT"),
			[]string{fmt.Sprintf("-s %s/32 -j ACCEPT", self.MeshAddress()), fmt.Sprintf("-s %s/32 -j ACCEPT", self.PresenceAddress())},
			toMembers(self))...)},
	)
}

func forEach(blocks []netip.Prefix, format string) (lines []string) {
	for _, b := range blocks {
		lines = append(lines, fmt.Sprintf(format, b))
	}
	return lines
}

// identified gives packets of local members their mark. The host's own has it only on its way
// to members: what it sends to published ports is a node's.
func identified(rec *mesh.Record, self *mesh.Node) (lines []string) {
	const mapped = " -j SET --map-set " + state.IdentitySet + " src --map-mark"
	H, slots := self.HostAddress(), self.SlotBlock()
	if slots.IsValid() {
		lines = append(lines,
			fmt.Sprintf("-s %s -j MARK --set-xmark %#x/0xffffffff", slots, mesh.NoNetworks),
			fmt.Sprintf("-s %s%s", slots, mapped),
			fmt.Sprintf("-s %s/32 -d %s%s", H, everySlot(rec, self), mapped))
	}
	return append(lines, forEach(rec.VIPBlocks(), "-s "+H.String()+"/32 -d %s"+mapped)...)
}

// identifiedAgain takes off the mark by which IPVS has found a service of many ports: what
// came to a VIP gets its identity back. What is of nobody with one, or came to a range of
// published ports, is a node's: the lower half of such a mark would be somebody's identity.
func identifiedAgain(rec *mesh.Record, self *mesh.Node) (lines []string) {
	for _, block := range rec.VIPBlocks() {
		mask := mesh.VIPMark(netip.AddrFrom4([4]byte(net.CIDRMask(block.Bits(), block.Addr().BitLen()))))
		lines = append(lines, fmt.Sprintf("-s %s -m mark --mark %#x/%#x -j SET --map-set %s src --map-mark", self.Block, mesh.VIPMark(block.Addr()), mask, state.IdentitySet))
	}
	return append(lines, fmt.Sprintf("-m mark ! --mark 0x0/%#x -j MARK --set-xmark 0x0/0xffffffff", uint32(mesh.HighMarks)))
}

// toMembers lets through what is for a member of this node and may reach it, and refuses the
// rest. What any node may reach has no mark. Tracked is what this node balances, and what its
// own processes begin.
func toMembers(self *mesh.Node) []string {
	return append([]string{
		fmt.Sprintf("-d %s -m set --match-set %s dst,dst -j ACCEPT", self.Block, state.PeerSet),
		fmt.Sprintf("-d %s -m mark --mark 0x0 -m set --match-set %s dst,dst -j ACCEPT", self.Block, state.OpenSet),
		fmt.Sprintf("-d %s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", self.Block),
	}, refused(self, "")...)
}

// refused has the client know at once.
func refused(self *mesh.Node, match string) []string {
	return []string{
		fmt.Sprintf("-d %s -p tcp %s-j REJECT --reject-with tcp-reset", self.Block, match),
		fmt.Sprintf("-d %s %s-j REJECT --reject-with icmp-admin-prohibited", self.Block, match),
	}
}

// trackedHosts tracks what processes of nodes begin towards members, and what they answer: an
// answer of a member to a node that is none is told from a request by that only. It comes
// before the rules that track nothing to and from H.
func trackedHosts(rec *mesh.Record, self *mesh.Node) []string {
	H := self.HostAddress()
	lines := forEach(rec.VIPBlocks(), "-s "+H.String()+"/32 -d %s -j ACCEPT")
	for _, others := range []string{everySlot(rec, self), everyHost(rec)} {
		if others != "" {
			lines = append(lines,
				fmt.Sprintf("-s %s/32 -d %s -j ACCEPT", H, others),
				fmt.Sprintf("-s %s -d %s/32 -j ACCEPT", others, H))
		}
	}
	return lines
}

// membersRaw is the part of the mesh's raw table for containers where there are networks.
// What they send into the pool is judged by whom it is for; one in no network only answers.
func membersRaw(rec *mesh.Record, self *mesh.Node) []string {
	pool, slots := rec.Cluster.AddressPool, self.SlotBlock()
	return []string{
		fmt.Sprintf("-s %s ! -d %s -j ACCEPT", slots, pool),
		fmt.Sprintf("-s %s -d %s/32 -j ACCEPT", slots, self.SelfTestAddress()),
		fmt.Sprintf("-s %s -d %s -j CT --notrack", slots, everyMeshAddress(rec)),
		fmt.Sprintf("-s %s -d %s -j ACCEPT", slots, everyMeshAddress(rec)),
		fmt.Sprintf("-s %s -m set ! --match-set %s src -j DROP", slots, state.IdentitySet),
		fmt.Sprintf("-s %s -d %s -j CT --notrack", slots, pool),
		fmt.Sprintf("-s %s -d %s -j ACCEPT", slots, pool),
		fmt.Sprintf("-s %s -d %s -j CT --notrack", pool, slots),
		fmt.Sprintf("-d %s -j ACCEPT", slots),
	}
}

// identities says who the local members are, and who reaches them.
func identities(s state.State, rec *mesh.Record, self *mesh.Node, now Conditions) {
	put := func(o state.Object) { s.Put(o) }
	peers := map[mesh.NetworkSet][]uint16{}
	member := func(a netip.Addr, networks mesh.NetworkSet, anyNode bool) {
		if id, ok := rec.Identity(networks); ok {
			put(state.SetMember{NS: state.Mesh, Set: state.IdentitySet, Addr: a, Mark: uint32(id)})
		}
		known, ok := peers[networks]
		if !ok {
			known = rec.Peers(networks)
			peers[networks] = known
		}
		for _, id := range known {
			put(state.SetMember{NS: state.Mesh, Set: state.PeerSet, Addr: a, Mark: uint32(id)})
		}
		if anyNode {
			reachedByNodes(put, a)
		}
	}
	member(self.HostAddress(), rec.HostNetworks(self.Name), true)
	recorded := map[netip.Addr]bool{}
	for _, service := range rec.Services {
		for _, e := range service.Endpoints {
			if e.Node != self.Name || e.Container == nil {
				continue
			}
			for slot := range e.SlotAddresses(self) {
				recorded[slot] = true
				member(slot, service.NetworkSet(), len(service.Networks) == 0)
			}
		}
	}
	leaves := func(slot netip.Addr) {
		if !recorded[slot] && self.SlotBlock().Contains(slot) {
			member(slot, now.Leaving[slot], true)
		}
	}
	for slot := range now.Leaving {
		leaves(slot)
	}
	for slot := range now.Containers {
		leaves(slot)
	}
}

// reachedByNodes lets whatever a node itself sends through to a local address.
func reachedByNodes(put func(state.Object), a netip.Addr) {
	put(state.SetMember{NS: state.Mesh, Set: state.PeerSet, Addr: a})
}

// openedSlot lets nodes through to a container in networks where a port leads to it, or where
// it is checked: a range of ports opens all of it, whose ports would be a member each.
func openedSlot(put func(state.Object), service *mesh.Service, proto mesh.Protocol, at netip.AddrPort) {
	switch {
	case len(service.Networks) == 0:
	case at.Port() == 0:
		reachedByNodes(put, at.Addr())
	default:
		put(state.SetMember{NS: state.Mesh, Set: state.OpenSet, Addr: at.Addr(), Port: at.Port(), Proto: string(proto)})
	}
}

// memberNetworks has the networks that a container of the node, or its own processes, are members of.
func memberNetworks(rec *mesh.Record, node string) map[string]bool {
	if !rec.HasNetworks() {
		return nil
	}
	members := map[string]bool{}
	for _, name := range rec.HostNetworks(node).Names() {
		members[name] = true
	}
	for _, service := range rec.Services {
		if len(service.Networks) > 0 && slices.ContainsFunc(endpointsOn(service, node), func(e mesh.Endpoint) bool { return e.Container != nil }) {
			for name := range service.Networks {
				members[name] = true
			}
		}
	}
	return members
}

func endpointsOn(service *mesh.Service, node string) (on []mesh.Endpoint) {
	for _, e := range service.Endpoints {
		if e.Node == node {
			on = append(on, e)
		}
	}
	return on
}

// vipObjects hands on what a service in networks asks of this node for the sake of its VIP,
// as portObjects does for a published port: IPVS services with destinations, and what lets
// clients and checks through to the endpoints here. A node without a member of one of its
// networks has nothing of it, so that what is sent to the VIP there is refused. members are
// those of the node (memberNetworks).
func vipObjects(put func(state.Object), rec *mesh.Record, self *mesh.Node, service *mesh.Service, members map[string]bool, now Conditions) {
	containers(put, self, service)
	here := false
	for name := range service.Networks {
		here = here || members[name]
	}
	if !here {
		return
	}
	checkedPort(put, self, service)
	for _, f := range vipFrontends(service) {
		p := f.port(rec)
		server := netip.AddrPortFrom(service.VIP, p.Published)
		put(virtualServer(service, p, server))
		for _, d := range destinationsOf(rec, self, f, p, now) {
			if d.local && d.addr.Addr() == self.HostAddress() {
				put(answered(p, d.addr.Port()))
			}
			if !d.out {
				put(state.RealServer{Proto: string(p.Protocol), Server: server, Addr: d.addr, Weight: d.weight})
			}
		}
		if !service.VIPByPort() {
			put(state.SetMember{NS: state.Mesh, Set: state.VIPSet, Addr: service.VIP, Mark: mesh.VIPMark(service.VIP)})
		}
		checkedSlots(put, self, service, p)
	}
}

// checkedSlots lets the nodes' checks through to containers here, for a port that no
// published port leads to.
func checkedSlots(put func(state.Object), self *mesh.Node, service *mesh.Service, p *mesh.PublishedPort) {
	if service.HealthCheck == nil {
		return
	}
	for _, e := range endpointsOn(service, self.Name) {
		port := checkPort(service, p, e)
		if e.Container == nil || port == 0 {
			continue
		}
		for slot := range e.SlotAddresses(self) {
			openedSlot(put, service, mesh.TCP, netip.AddrPortFrom(slot, port))
		}
	}
}
