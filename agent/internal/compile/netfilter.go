package compile

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

const (
	// peersSet holds the other nodes' underlay addresses.
	peersSet = state.SetPrefix + "peers"
	// hostModeSet holds the tcp ports of host mode that are open here; their
	// clients keep their addresses.
	hostModeSet = state.SetPrefix + "host-tcp"
)

func ingressSet(p mesh.Protocol) string  { return state.SetPrefix + string(p) }
func endpointSet(p mesh.Protocol) string { return state.SetPrefix + "ep-" + string(p) }

// limitSet has the published ports that not everybody may connect to, allowSet who may.
func limitSet(p mesh.Protocol) string { return state.SetPrefix + "limit-" + string(p) }
func allowSet(p mesh.Protocol) string { return state.SetPrefix + "allow-" + string(p) }

// keepSet has the ports that preserve the client's address.
func keepSet(p mesh.Protocol) string { return state.SetPrefix + "keep-" + string(p) }

func sets(s state.State, pairs int) {
	for _, set := range append(state.Sets(), state.SetsByAddress(pairs)...) {
		s.Put(set)
	}
}

// hostChains adds the chains in the host's namespace. Rules are spelled as
// iptables-save prints them (-s -d -i -o -p first, then matches, then target),
// so that what is read back compares equal.
func hostChains(s state.State, rec *mesh.Record, self *mesh.Node, others state.Forwarding, has special) {
	S, H, P := self.MeshAddress(), self.HostAddress(), self.HostModeAddress()
	var arriving, entering, post []string
	if has.keeps {
		arriving, entering = preserveDNAT(rec, self)
		post = nodesAreLocal(self, has.ranges)
	}
	s.Put(
		state.Chain{
			Table: "nat", Name: state.ChainPrefix, Hooks: "PREROUTING,OUTPUT", JumpMatch: "-m addrtype --dst-type LOCAL",
			Rules: rules(slices.Concat(arriving, []string{
				// What comes out of the mesh is for a process here, even if that
				// listens on a published port: no second round.
				"-i " + state.HostLink + " -j RETURN",
			}, translatedRanges(has.ranges), []string{
				dnat(mesh.TCP, ingressSet(mesh.TCP), S),
				dnat(mesh.UDP, ingressSet(mesh.UDP), S),
				dnat(mesh.TCP, hostModeSet, P),
			}, entering, translatedByAddress(self, has.pairs))...),
		},
		state.Chain{
			Table: "nat", Name: state.ChainPrefix + "-POST", Hooks: "POSTROUTING",
			// A client on this host (127.0.0.1, its own addresses) is H to the mesh.
			Rules: rules(append([]string{
				fmt.Sprintf("! -s %s/32 -o %s -m addrtype --src-type LOCAL -j SNAT --to-source %s", H, state.HostLink, H),
			}, post...)...),
		},
		inputChain(rec, self, has.pairs, has.keeps),
		forwardChain(rec, self, others, has),
	)
}

func dnat(p mesh.Protocol, set string, to netip.Addr) string {
	return fmt.Sprintf("-p %s -m set --match-set %s dst -j DNAT --to-destination %s", p, set, to)
}

// inputChain says what comes in to the host itself: VXLAN, and over the mesh what is
// for endpoints.
func inputChain(rec *mesh.Record, self *mesh.Node, pairs int, keeps bool) state.Chain {
	answers := func(p mesh.Protocol) string {
		return fmt.Sprintf("-p %s -m set --match-set %s dst -j ACCEPT", p, endpointSet(p))
	}
	// What the host's conntrack calls INVALID (a segment outside of the window) is
	// not translated. It must not leave half translated, nor meet the host's own
	// stack, whose reset would end a connection that works (kubernetes#74839).
	invalid := func(set, match string) string {
		return fmt.Sprintf("! -d %s/32 -p tcp -m conntrack --ctstate INVALID -m set --match-set %s %s -j DROP", self.HostAddress(), set, match)
	}
	lines := []string{
		// First what comes most often, and what is not ours next: the name of
		// the link is what costs most to match, so it is matched once.
		fmt.Sprintf("-p udp -m udp --dport %d -m set --match-set %s src -j ACCEPT", rec.Cluster.VXLANPort, peersSet),
		// The device takes a frame from anyone, and INPUT may accept everything.
		overlayFrame(rec) + " -j DROP",
	}
	if keeps {
		lines = append(lines, preserveInput(self), invalid(keepSet(mesh.TCP), "dst"))
	}
	lines = append(lines, invalid(ingressSet(mesh.TCP), "dst"), invalid(hostModeSet, "dst"))
	for pair := range uint8(pairs) {
		lines = append(lines, invalid(state.ListenSet(pair, false), "dst,dst"), invalid(state.ListenSet(pair, true), "dst,dst"))
	}
	return state.Chain{
		Table: "filter", Name: state.ChainPrefix + "-IN", Hooks: "INPUT",
		Rules: rules(append(lines,
			"! -i "+state.HostLink+" -j RETURN",
			// route_localnet would let other nodes reach what listens on
			// 127.0.0.1 only (CVE-2020-8558).
			"-d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP",
			answers(mesh.TCP),
			answers(mesh.UDP),
			// Other nodes reach the endpoints only. Everything else that listens here is
			// reached by the host's own addresses, if its firewall lets them. INVALID
			// answers to clients on this host must not meet its stack; those for an
			// endpoint are accepted above, and its own stack knows what to do.
			"! -p icmp -m conntrack --ctstate INVALID,NEW -j DROP",
		)...),
	}
}

// forwardChain says what passes between the host's other links and the mesh, and, where
// the host forwards for the mesh alone, that nothing passes between the others.
func forwardChain(rec *mesh.Record, self *mesh.Node, others state.Forwarding, has special) state.Chain {
	limit := func(p mesh.Protocol, refusal string) string {
		return fmt.Sprintf("-o %s -p %s -m set --match-set %s dst -m set ! --match-set %s src,dst -j REJECT --reject-with %s",
			state.HostLink, p, limitSet(p), allowSet(p), refusal)
	}
	return state.Chain{
		Table: "filter", Name: state.ForwardChain, Hooks: "FORWARD",
		Rules: rules(slices.Concat([]string{
			// A container behind this node, whose packets the host masquerades, would
			// speak to the other nodes with this node's address, which they trust.
			overlayFrame(rec) + fmt.Sprintf(" -m set --match-set %s dst -j DROP", peersSet),
			// Before anything is accepted, so that what the administrator drops is dropped,
			// open connections too. The self-test asks whether the mesh works, not who may
			// use it, so its packets are left out, as allowed_cidrs does.
			fmt.Sprintf("! -s %s/32 -o %s -j %s", self.SelfTestAddress(), state.HostLink, state.UserChain),
			// The rules after this one cost new connections only.
			fmt.Sprintf("-o %s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", state.HostLink),
		}, furtherPairs(self, has.pairs), limitedRanges(self, has.ranges), []string{
			limit(mesh.TCP, "tcp-reset"),
			limit(mesh.UDP, "icmp-port-unreachable"),
			// Only published ports lead into the mesh, and only answers leave it: a node
			// forwards packets, and must be neither a router into the overlay nor the
			// overlay's way out. DNAT on the way out is another program's, for an
			// endpoint that is a container's published port.
			fmt.Sprintf("-o %s -m conntrack --ctstate DNAT -j ACCEPT", state.HostLink),
			fmt.Sprintf("-o %s -j DROP", state.HostLink),
			fmt.Sprintf("-i %s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", state.HostLink),
			fmt.Sprintf("-i %s -m conntrack ! --ctstate DNAT -j DROP", state.HostLink),
		}, betweenOthers(others))...),
	}
}

// betweenOthers is for a host that forwarded nothing before: that we have switched
// ip_forward on makes it no router between its other links. What stays on one bridge
// is not forwarded.
func betweenOthers(others state.Forwarding) (lines []string) {
	if !others.OnlyMesh {
		return nil
	}
	for bridge := range strings.FieldsSeq(others.Bridges) {
		lines = append(lines, fmt.Sprintf("-i %[1]s -o %[1]s -j RETURN", bridge))
	}
	return append(lines, fmt.Sprintf("! -i %[1]s ! -o %[1]s -j DROP", state.HostLink))
}

// SameButForwarding says that the two are one chain, of a host that forwards for others and of
// one that does not.
func SameButForwarding(a, b state.Object) bool {
	was, ok := a.(state.Chain)
	is, both := b.(state.Chain)
	if !ok || !both {
		return false
	}
	was.Rules, is.Rules = withoutBetween(was.Rules), withoutBetween(is.Rules)
	return was == is
}

// withoutBetween takes what betweenOthers returns from the end of a chain.
func withoutBetween(chain string) string {
	lines := strings.Split(chain, "\n")
	last := betweenOthers(state.Forwarding{OnlyMesh: true})
	n := len(lines) - 1
	if lines[n] != last[0] {
		return chain
	}
	for n > 0 && toItself.MatchString(lines[n-1]) {
		n--
	}
	return rules(lines[:n]...)
}

var toItself = regexp.MustCompile(`^-i \S+ -o \S+ -j RETURN$`)

// meshChains adds the rules of the mesh namespace, whose built-in chains are
// ours themselves.
func meshChains(s state.State, rec *mesh.Record, self *mesh.Node, has special) {
	S, H, P, C := self.MeshAddress(), self.HostAddress(), self.HostModeAddress(), self.PreserveAddress()
	nat := slices.Concat([]string{
		// What was addressed to S is balanced: the endpoint answers us,
		// not the client.
		fmt.Sprintf("-m conntrack --ctorigdst %s -j SNAT --to-source %s", S, S),
		// Host mode keeps the client's address, except where client and
		// endpoint are both H and the answer would not come back here.
		fmt.Sprintf("-s %s/32 -m conntrack --ctorigdst %s -j SNAT --to-source %s", H, P, S),
	}, sourcesOfFurtherPairs(self, has.pairs), sourcesOfRanges(self, has.ranges, has.keeps))
	var raw []string
	if rec.HasNetworks() {
		raw = trackedHosts(rec, self)
	}
	raw = slices.Concat(raw, []string{
		// Transit to and from this node's endpoints needs no connection
		// tracking: +30 % new connections per second. What is for IPVS here
		// (S, and P for a client on this node) must be tracked. Addresses tell
		// the links apart: every packet meets these rules, and to match a
		// link's name costs several times as much.
		fmt.Sprintf("-s %s -d %s/32 -j CT --notrack", rec.Cluster.AddressPool, H),
		fmt.Sprintf("-d %s/32 -j ACCEPT", H),
		fmt.Sprintf("-d %s/32 -j ACCEPT", S),
		fmt.Sprintf("-d %s/32 -j ACCEPT", P),
	}, trackedFurtherPairs(self, has.pairs), trackedRanges(has.ranges))
	if has.keeps {
		nat = append(nat, fmt.Sprintf("-s %s/32 -m conntrack --ctorigdst %s -j SNAT --to-source %s", H, C, S))
		raw = append(raw, fmt.Sprintf("-d %s/32 -j ACCEPT", C))
	}
	raw = append(raw,
		fmt.Sprintf("-s %s/32 -d %s -j CT --notrack", H, rec.Cluster.AddressPool),
		fmt.Sprintf("-s %s/32 -j ACCEPT", H))
	if has.keeps {
		raw = append(raw, preserveRaw(rec, self)...)
	}
	if hasContainers(s, self) {
		raw = append(raw, containersRaw(rec, self)...)
	}
	// Another node that sends what is for none of these would have this one
	// pass it on. rp_filter judges its sources.
	raw = append(raw, "-j DROP")
	s.Put(
		state.Chain{NS: state.Mesh, Table: "nat", Name: "POSTROUTING", Rules: rules(nat...)},
		state.Chain{NS: state.Mesh, Table: "raw", Name: "PREROUTING", Rules: rules(raw...)},
	)
}

func rules(lines ...string) string { return strings.Join(lines, "\n") }
