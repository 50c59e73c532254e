package compile

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// A range of ports is one member of each set that a port is in, and one IPVS service, which
// takes packets by a mark: an IPVS service by address has one port. The mark is set in the
// mesh's namespace, by the range's own VIP, where the packet is about to meet IPVS, and taken
// off again where it leaves. IPVS keeps the port that a packet has, so a shift is done before,
// by the rule that translates to the VIP. So each range has a rule in the chain that leads into
// the mesh and one that marks, both of no effect on other ports' packets but that they are
// passed; and with allowed_cidrs one for each network. There are none without ranges.

// rangesOn are the ranges that may be open on the node. Their rules say where they lead, the
// members of the sets open them.
func rangesOn(rec *mesh.Record, self *mesh.Node) (ranges []*mesh.PublishedPort) {
	for _, p := range rec.Ranges() {
		if p.Nodes.Has(self.Name) {
			ranges = append(ranges, p)
		}
	}
	return ranges
}

// sameRanges says that the records have the same ranges, but for their services.
func sameRanges(was, is *mesh.Record) bool {
	a, b := was.Ranges(), is.Ranges()
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && *a[i] != *b[i] {
			return false
		}
	}
	return true
}

// changesRange says that the change has a range in it.
func changesRange(c *mesh.Change, was *mesh.Record) bool {
	for key, p := range c.Ports {
		if old := was.Ports[key]; p != nil && p.IsRange() || old != nil && old.IsRange() {
			return true
		}
	}
	return false
}

// rangeVIP is the VIP that new connections to the range get.
func rangeVIP(p *mesh.PublishedPort) netip.Addr { return p.RangeVIP(p.ClientAddress == mesh.Preserve) }

// rangeRoutes lead to the VIPs of all ranges.
func rangeRoutes(s state.State, self *mesh.Node) {
	s.Put(
		state.Route{NS: state.Host, Table: state.MainTable, Dst: mesh.RangeVIPs, Via: self.MeshAddress(), Dev: state.HostLink, Src: self.HostAddress()},
		state.Route{NS: state.Mesh, Table: state.LocalTable, Dst: mesh.RangeVIPs, Dev: "lo", Local: true},
	)
}

// translatedRanges sends what is for a range to its VIP, and each port to its target.
func translatedRanges(ranges []*mesh.PublishedPort) (lines []string) {
	for _, p := range ranges {
		lines = append(lines, state.RangeRule{
			Proto: string(p.Protocol), First: p.Published, Last: p.Last, Set: OpenSet(p), VIP: rangeVIP(p), Target: p.Target,
		}.String())
	}
	return lines
}

// limitedRanges says who may connect to ranges. The rules that follow them know ports by
// their numbers, which a shifted range has not.
func limitedRanges(self *mesh.Node, ranges []*mesh.PublishedPort) (lines []string) {
	for _, p := range ranges {
		if p.AllowedCIDRs == "" {
			continue
		}
		vip := rangeVIP(p)
		for _, from := range append(p.AllowedCIDRs.Prefixes(), only(self.SelfTestAddress())) {
			lines = append(lines, fmt.Sprintf("-s %s -d %s/32 -o %s -m conntrack --ctstate DNAT -j ACCEPT", from, vip, state.HostLink))
		}
		refusal := "tcp-reset"
		if p.Protocol == mesh.UDP {
			refusal = "icmp-port-unreachable"
		}
		lines = append(lines, fmt.Sprintf("-d %s/32 -o %s -p %s -j REJECT --reject-with %s", vip, state.HostLink, p.Protocol, refusal))
	}
	if len(ranges) > 0 {
		lines = append(lines, fmt.Sprintf("-d %s -o %s -m conntrack --ctstate DNAT -j ACCEPT", mesh.RangeVIPs, state.HostLink))
	}
	return lines
}

// sourcesOfRanges are as the rules of S, P and C.
func sourcesOfRanges(self *mesh.Node, ranges []*mesh.PublishedPort, keeps bool) (lines []string) {
	if len(ranges) == 0 {
		return nil
	}
	S, H := self.MeshAddress(), self.HostAddress()
	lines = append(lines,
		fmt.Sprintf("-m conntrack --ctorigdst %s -j SNAT --to-source %s", mesh.BalancedRangeVIPs, S),
		fmt.Sprintf("-s %s/32 -m conntrack --ctorigdst %s -j SNAT --to-source %s", H, mesh.HostRangeVIPs, S))
	if keeps {
		lines = append(lines, fmt.Sprintf("-s %s/32 -m conntrack --ctorigdst %s -j SNAT --to-source %s", H, mesh.PreserveRangeVIPs, S))
	}
	return lines
}

// trackedRanges is as the rules of S, P and C.
func trackedRanges(ranges []*mesh.PublishedPort) []string {
	if len(ranges) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("-d %s -j ACCEPT", mesh.RangeVIPs)}
}

// marks has what is for a range, or for a VIP that leads to every port, marked for IPVS. The
// mark of a range is taken off before the packet leaves: VXLAN would ask the host's routing
// with it. That of a VIP is changed to an identity before (addNetworks).
func marks(s state.State, rec *mesh.Record, ranges []*mesh.PublishedPort) {
	marked := forEach(rec.VIPBlocks(), "-d %s -j SET --map-set "+state.VIPSet+" dst --map-mark")
	if len(ranges) == 0 {
		if len(marked) > 0 {
			s.Put(state.Chain{NS: state.Mesh, Table: "mangle", Name: "INPUT", Rules: rules(marked...)})
		}
		return
	}
	marked = append(marked, fmt.Sprintf("! -d %s -j RETURN", mesh.RangeVIPs))
	for _, p := range ranges {
		vip := rangeVIP(p)
		mark, _ := mesh.RangeMark(vip)
		marked = append(marked, fmt.Sprintf("-d %s/32 -j MARK --set-xmark %#x/0xffffffff", vip, mark))
	}
	all, mask := mesh.RangeMarks()
	s.Put(
		state.Chain{NS: state.Mesh, Table: "mangle", Name: "INPUT", Rules: rules(marked...)},
		state.Chain{NS: state.Mesh, Table: "mangle", Name: "POSTROUTING", Rules: rules(fmt.Sprintf("-m mark --mark %#x/%#x -j MARK --set-xmark 0x0/0xffffffff", all, mask))},
	)
}

// overlapping adds to the keys those of ranges, and of ports in them, that have ports of
// theirs: what is taken out of the one must stay where it is in the other.
func (d *Desired) overlapping(touched map[state.Key]bool, after [][]state.Object) {
	var members []state.SetMember
	ranges := false
	note := func(o state.Object) {
		if m, ok := o.(state.SetMember); ok && strings.HasPrefix(m.Set, endpointSetPrefix) {
			members, ranges = append(members, m), ranges || m.Last != 0
		}
	}
	for key := range touched {
		note(d.State[key])
	}
	for _, objects := range after {
		for _, o := range objects {
			note(o)
		}
	}
	if len(members) == 0 || !ranges && !d.ranges {
		return
	}
	for key, o := range d.State {
		m, ok := o.(state.SetMember)
		for i := 0; ok && !touched[key] && i < len(members); i++ {
			if m.Overlaps(members[i]) {
				touched[key] = true
			}
		}
	}
}

const endpointSetPrefix = state.SetPrefix + "ep-"
