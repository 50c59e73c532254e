package compile

import (
	"fmt"
	"net/netip"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// A port that is open at some addresses of a node is not in the sets of ports, but with each
// network in a set of networks and ports, one for each pair of VIPs. The rules are a few for
// each pair that is in use, whatever the number of ports, and there are none on the nodes of a
// cluster without such ports.

var _ [state.MaxPairs]struct{} = [mesh.MaxVIPs]struct{}{}

// everyAddress is two networks, because a set does not take one of length 0.
var everyAddress = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/1"), netip.MustParsePrefix("128.0.0.0/1")}

// opened puts what leads to the port: its number, or the addresses at which it is open.
func opened(put func(state.Object), p *mesh.PublishedPort) {
	if set := OpenSet(p); state.IsListenSet(set) {
		networks(put, p, set, p.Listen.Prefixes())
	} else {
		put(state.SetMember{Set: set, Port: p.Published, Last: p.Last})
	}
}

// networks puts members of a set of both protocols; none stand for all.
func networks(put func(state.Object), p *mesh.PublishedPort, set string, list []netip.Prefix) {
	if len(list) == 0 {
		list = everyAddress
	}
	for _, n := range list {
		put(state.SetMember{Set: set, Addr: n.Addr(), Bits: uint8(n.Bits()), Port: p.Published, Proto: string(p.Protocol)})
	}
}

// translatedByAddress sends what is for the addresses of ports to their VIPs.
func translatedByAddress(self *mesh.Node, pairs int) (lines []string) {
	for pair := range uint8(pairs) {
		for _, hostMode := range []bool{false, true} {
			lines = append(lines, fmt.Sprintf("-m set --match-set %s dst,dst -j DNAT --to-destination %s", state.ListenSet(pair, hostMode), self.VIP(pair, hostMode)))
		}
	}
	return lines
}

// furtherPairs says who may connect to ports of the further pairs of VIPs. The rules that
// follow them know ports by their numbers, which these share.
func furtherPairs(self *mesh.Node, pairs int) (lines []string) {
	for pair := 1; pair < pairs; pair++ {
		vips, allow := self.FurtherVIPs(uint8(pair)), state.AllowSet(uint8(pair))
		for _, refusal := range []struct {
			protocol mesh.Protocol
			with     string
		}{{mesh.TCP, "tcp-reset"}, {mesh.UDP, "icmp-port-unreachable"}} {
			lines = append(lines, fmt.Sprintf("-d %s -o %s -p %s -m set ! --match-set %s src,dst -j REJECT --reject-with %s", vips, state.HostLink, refusal.protocol, allow, refusal.with))
		}
		lines = append(lines, fmt.Sprintf("-d %s -o %s -m conntrack --ctstate DNAT -j ACCEPT", vips, state.HostLink))
	}
	return lines
}

// sourcesOfFurtherPairs are as the rules of S and P.
func sourcesOfFurtherPairs(self *mesh.Node, pairs int) (lines []string) {
	for pair := 1; pair < pairs; pair++ {
		lines = append(lines,
			fmt.Sprintf("-m conntrack --ctorigdst %s -j SNAT --to-source %s", self.VIP(uint8(pair), false), self.MeshAddress()),
			fmt.Sprintf("-s %s/32 -m conntrack --ctorigdst %s -j SNAT --to-source %s", self.HostAddress(), self.VIP(uint8(pair), true), self.MeshAddress()))
	}
	return lines
}

// trackedFurtherPairs are as those of S and P.
func trackedFurtherPairs(self *mesh.Node, pairs int) (lines []string) {
	for pair := 1; pair < pairs; pair++ {
		lines = append(lines, fmt.Sprintf("-d %s -j ACCEPT", self.FurtherVIPs(uint8(pair))))
	}
	return lines
}

// furtherVIPs adds the addresses themselves.
func furtherVIPs(s state.State, self *mesh.Node, pairs int) {
	for pair := 1; pair < pairs; pair++ {
		for _, hostMode := range []bool{false, true} {
			s.Put(state.Addr{NS: state.Mesh, Link: "lo", Prefix: only(self.VIP(uint8(pair), hostMode))})
		}
	}
}

// samePairs says that the ports of the change make no difference to the rules by address.
// Only where one of them is open by address all ports have to be looked at.
func samePairs(c *mesh.Change, was, is *mesh.Record) bool {
	for key := range c.Ports {
		for _, p := range []*mesh.PublishedPort{was.Ports[key], is.Ports[key]} {
			if p != nil && p.ByAddress() {
				return was.PairsInUse() == is.PairsInUse()
			}
		}
	}
	return true
}
