package trace

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// toRange says that the packet was sent to the VIP of a range of ports.
func (t *tracer) toRange() bool { return mesh.RangeVIPs.Contains(t.vip) }

// rangeNetwork is the network that the rule names which gives what is for a range's VIP its
// source.
func rangeNetwork(vip netip.Addr) netip.Prefix {
	for _, n := range []netip.Prefix{mesh.BalancedRangeVIPs, mesh.HostRangeVIPs} {
		if n.Contains(vip) {
			return n
		}
	}
	return mesh.PreserveRangeVIPs
}

// rangeTranslation is the step of a port that a rule of a range sends to its VIP; false where
// there is no such rule, though one may be missing.
func (t *tracer) rangeTranslation() bool {
	key := t.trace.Port
	for _, rule := range chainOf(t.HostChains, "nat", state.ChainPrefix).Rules {
		r, ok := state.ParseRangeRule(rule.Text)
		if !ok || r.Proto != string(key.Protocol) || r.Set != t.set || !r.Has(key.Port) {
			continue
		}
		t.vip, t.target = r.VIP, r.Target+key.Port-r.First
		text := fmt.Sprintf("nat %s: DNAT to %s, the port stays %d", state.ChainPrefix, t.vip, key.Port)
		if t.target != key.Port {
			text = fmt.Sprintf("nat %s: DNAT to %s, the port becomes %d", state.ChainPrefix, t.vip, t.target)
		}
		t.step(hostSpace, text, Count{fmt.Sprintf("packets of the ports %d-%d", r.First, r.Last), rule.Packets})
		return true
	}
	if t.port != nil && t.port.IsRange() {
		t.broken(hostSpace, "nat "+state.ChainPrefix, "No rule sends what is for the ports %s to their VIP. %s", t.port.Range(), repair)
		return true
	}
	return false
}

// mark is the step of a range's packets, by whose mark IPVS knows them.
func (t *tracer) mark() {
	mark, ok := mesh.RangeMark(t.vip)
	if !ok {
		return
	}
	rule, _, ok := find(t.MeshChains, "mangle", "INPUT", "-d "+t.vip.String()+"/32", fmt.Sprintf("--set-xmark %#x/0xffffffff", mark))
	if !ok {
		t.broken(meshSpace, "mangle INPUT", "No rule marks what is for %s: IPVS does not take it, and the client is refused. %s", t.vip, repair)
		return
	}
	t.step(meshSpace, fmt.Sprintf("mangle INPUT: mark %#x", mark), Count{"packets", rule.Packets})
}

// targetOf is the port on which the destination is asked.
func (t *tracer) targetOf(d kernel.Destination) uint16 {
	if d.Addr.Port() == 0 {
		return t.target
	}
	return d.Addr.Port()
}

// limitsOfRange is the step of a range that not everybody may connect to, which has rules of
// its own.
func (t *tracer) limitsOfRange() {
	text := "filter " + state.ForwardChain + ": allowed_cidrs"
	to := "-d " + t.vip.String() + "/32"
	rule, place, limited := find(t.HostChains, "filter", state.ForwardChain, to, "-j REJECT")
	if !limited {
		if t.port != nil && t.port.AllowedCIDRs != "" {
			t.broken(hostSpace, text, "The range has allowed_cidrs, but no rule refuses other clients: everybody may connect. %s", repair)
		}
		return
	}
	var from []netip.Prefix
	for _, r := range chainOf(t.HostChains, "filter", state.ForwardChain).Rules[:place] {
		source, ok := strings.CutPrefix(r.Text, "-s ")
		network, _, _ := strings.Cut(source, " ")
		if p, err := netip.ParsePrefix(network); ok && err == nil && hasAll(r.Text, []string{to, "-j ACCEPT"}) && !t.isSelfTest(p.Addr()) {
			from = append(from, p)
		}
	}
	slices.SortFunc(from, netip.Prefix.Compare)
	t.mayConnect(text, from, Count{"packets of the range refused", rule.Packets})
}

func (t *tracer) isSelfTest(a netip.Addr) bool {
	self := t.self()
	return self != nil && a == self.SelfTestAddress()
}
