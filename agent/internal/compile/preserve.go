package compile

import (
	"fmt"
	"net/netip"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// What a port needs that preserves the client's address, beside what every port has. It
// has a VIP of its own, C, and IPVS sends it to the entry address that an endpoint's node
// has for this one (mesh.Node.EntryAddress). There is no SNAT, so the endpoint sees the
// client; what it answers leaves by its source address: out of the host into the mesh, and
// there to the entry node, whose IPVS undoes the translation.
//
// Two answers do not have the entry address as their source when they are routed: those of a
// udp server that is bound to 0.0.0.0, which answers from the underlay address and so is
// asked there, and those of a container, which a rule of its engine translates. Their
// connections have our mark, and so have they.

// clientsReturn leads answers from entry addresses back into the mesh. As answersReturn, it
// is there only while a port needs it.
func clientsReturn(put func(state.Object), self *mesh.Node) {
	put(state.Route{NS: state.Host, Table: state.Table, Dst: everywhere(), Via: self.MeshAddress(), Dev: state.HostLink})
	put(entryRule(self))
}

func entryRule(self *mesh.Node) state.Rule {
	return state.Rule{From: self.EntryBlock(), Table: state.Table, Priority: state.RulePriority}
}

// preserving says that a port in s needs it.
func preserving(s state.State, self *mesh.Node) bool {
	_, asked := s[entryRule(self).Key()]
	return asked
}

// preserve adds what all such ports need together.
func preserve(s state.State, rec *mesh.Record, self *mesh.Node) {
	H, C, E := self.HostAddress(), self.PreserveAddress(), self.EntryBlock()
	mark := rec.Cluster.Mark()
	s.Put(
		state.Addr{NS: state.Mesh, Link: "lo", Prefix: only(C)},
		state.Route{NS: state.Host, Table: state.LocalTable, Dst: E, Dev: state.HostLink, Local: true},
		state.Rule{Mark: mark, Table: state.Table, Priority: state.RulePriority},
		state.Chain{
			Table: "mangle", Name: state.ChainPrefix, Hooks: "PREROUTING,OUTPUT", JumpMatch: fmt.Sprintf("-m connmark --mark %#x/%#[1]x", mark),
			Rules: rules(state.MarkAnswers + fmt.Sprintf("%#x/%#[1]x", mark)),
		},
		// One client's udp port that comes in by two nodes at once is two connections to one
		// address, which conntrack tells apart by another source port: with a chain here.
		state.Chain{Table: "nat", Name: state.ChainPrefix + "-IN", Hooks: "INPUT", JumpMatch: "-i " + state.HostLink, Rules: rules("-i " + state.HostLink + " -j RETURN")},
		state.Route{NS: state.Mesh, Table: state.MainTable, Dst: E, Via: H, Dev: state.MeshLink, OnLink: true},
		// All that is not such an answer passes one rule, however many nodes there are.
		state.Rule{NS: state.Mesh, From: E, Except: true, Priority: state.RulePriority, Goto: state.MainRule},
	)
}

// preservePeer adds the way to the endpoints of another node, and back to the clients that
// came in by it. It is by the route back that rp_filter lets their addresses in from there.
func preservePeer(s state.State, self, other *mesh.Node) {
	s.Put(
		state.Route{
			NS: state.Mesh, Table: state.MainTable, Dst: other.EntryBlock(), Via: other.MeshAddress(),
			Dev: state.OverlayLink, Src: self.MeshAddress(), OnLink: true,
		},
		state.Route{NS: state.Mesh, Table: entryTable(other), Dst: everywhere(), Via: other.MeshAddress(), Dev: state.OverlayLink, OnLink: true},
		state.Rule{NS: state.Mesh, From: only(self.EntryAddress(other)), Table: entryTable(other), Priority: state.RulePriority + 1},
	)
}

func entryTable(entry *mesh.Node) int { return state.EntryTables + entry.EntryNumber() }

// preserveDNAT is the part of the chain that leads packets into the mesh. What comes out
// of it for an entry address is marked, and udp asked where the answer will come from: H
// for a client on a node, which is in the pool, else the underlay address.
func preserveDNAT(rec *mesh.Record, self *mesh.Node) (arriving, entering []string) {
	from := fmt.Sprintf("-d %s -i %s ", self.EntryBlock(), state.HostLink)
	arriving = []string{
		from + fmt.Sprintf("-j CONNMARK --set-xmark %#x/%#[1]x", rec.Cluster.Mark()),
		fmt.Sprintf("-s %s %s-p udp -j DNAT --to-destination %s", rec.Cluster.AddressPool, from, self.HostAddress()),
		from + fmt.Sprintf("-p udp -j DNAT --to-destination %s", self.Address),
	}
	for _, p := range []mesh.Protocol{mesh.TCP, mesh.UDP} {
		entering = append(entering, dnat(p, keepSet(p), self.PreserveAddress()))
	}
	return arriving, entering
}

// nodesAreLocal gives a client on another node the source that one on this node has: an
// endpoint's own host would keep what is for an address of its own to itself.
func nodesAreLocal(self *mesh.Node, ranges []*mesh.PublishedPort) (lines []string) {
	vips := []netip.Prefix{only(self.PreserveAddress())}
	if len(ranges) > 0 {
		vips = append(vips, mesh.PreserveRangeVIPs)
	}
	for _, vip := range vips {
		lines = append(lines, fmt.Sprintf("-d %s -o %s -m set --match-set %s src -j SNAT --to-source %s", vip, state.HostLink, peersSet, self.HostAddress()))
	}
	return lines
}

// preserveInput lets endpoints judge what conntrack calls INVALID, as at H.
func preserveInput(self *mesh.Node) string {
	return fmt.Sprintf("-d %s -i %s -p tcp -m set --match-set %s dst -j ACCEPT", self.EntryBlock(), state.HostLink, endpointSet(mesh.TCP))
}

// preserveRaw is the part of the mesh's raw table: the client's address may be any. What
// another node brings to endpoints here, and their answers, only pass through.
func preserveRaw(rec *mesh.Record, self *mesh.Node) []string {
	E, all := self.EntryBlock(), mesh.EntryAddresses
	return []string{
		fmt.Sprintf("-s %s/32 -j ACCEPT", self.EntryAddress(self)),
		fmt.Sprintf("-s %s -j CT --notrack", E),
		fmt.Sprintf("-s %s -j ACCEPT", E),
		fmt.Sprintf("-d %s -j CT --notrack", E),
		fmt.Sprintf("-d %s -j ACCEPT", E),
		// Answers of other nodes' endpoints, for IPVS here: to the self-test, and to clients.
		fmt.Sprintf("-s %s -d %s/32 -j ACCEPT", all, self.SelfTestAddress()),
		fmt.Sprintf("-s %s ! -d %s -j ACCEPT", all, rec.Cluster.AddressPool),
	}
}
