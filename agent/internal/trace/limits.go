package trace

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// userRules names the administrator's rules, which are asked before ours accept.
func (t *tracer) userRules() []string {
	const most = 5
	rules := chainOf(t.HostChains, "filter", state.UserChain).Rules
	var lines []string
	for i, r := range rules[:min(len(rules), most)] {
		lines = append(lines, fmt.Sprintf("asked first, %s rule %d: %s (%d packets)", state.UserChain, i+1, r.Text, r.Packets))
	}
	if len(rules) > most {
		lines = append(lines, fmt.Sprintf("and %d more rules of %s", len(rules)-most, state.UserChain))
	}
	return lines
}

// limits is a step of a port that not everybody may connect to, as the kernel has it.
// It is broken where the client that is asked about may not.
func (t *tracer) limits() {
	if t.toRange() {
		t.limitsOfRange()
		return
	}
	key := t.trace.Port
	limit, allow := state.SetPrefix+"limit-"+string(key.Protocol), state.SetPrefix+"allow-"+string(key.Protocol)
	text := "filter " + state.ForwardChain + ": allowed_cidrs"
	match := []string{"--match-set " + limit + " dst", "-j REJECT"}
	limited := t.inSet(limit, key.Port)
	if key.VIP != 0 { // its set has everybody, where everybody may
		allow = state.AllowSet(key.VIP)
		limit, match = allow, []string{"--match-set " + allow + " src,dst", "-j REJECT"}
		limited = !slices.ContainsFunc(t.networksOf(allow), func(n netip.Prefix) bool { return n.Bits() == 1 })
	}
	if !limited {
		if t.port != nil && t.port.AllowedCIDRs != "" {
			t.broken(hostSpace, text, "The port has allowed_cidrs, but is not in %s: everybody may connect. %s", limit, repair)
		}
		return
	}
	rule, _, ok := find(t.HostChains, "filter", state.ForwardChain, match...)
	if !ok {
		t.broken(hostSpace, text, "No rule refuses what is in %s and not in %s: everybody may connect. %s", limit, allow, repair)
		return
	}
	t.mayConnect(text, t.networks(allow), Count{"packets of all limited ports refused", rule.Packets})
}

// mayConnect is the step of a port that clients from some networks may connect to.
func (t *tracer) mayConnect(text string, networks []netip.Prefix, refused Count) {
	s := t.step(hostSpace, fmt.Sprintf("%s: from %s only", text, listed(networks)), refused)
	switch {
	case !t.From.IsValid():
		s.Details = []string{"whether a client may connect: `routingmesh-agent trace " + t.argument() + " --from ADDRESS`"}
	case t.isThisNode(t.From):
		s.Details = []string{t.From.String() + " is this node, which may always connect"}
	case slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(t.From) }):
		s.Details = []string{t.From.String() + " may connect"}
	default:
		s.Broken = fmt.Sprintf("%s may not connect: it is in none of the port's allowed_cidrs, so it is refused. Add its network to allowed_cidrs if it should.", t.From)
	}
}

// networks are those that the set lets in to the port, without the self-test's address.
func (t *tracer) networks(set string) []netip.Prefix {
	var selfTest netip.Addr
	if self := t.self(); self != nil {
		selfTest = self.SelfTestAddress()
	}
	return slices.DeleteFunc(t.networksOf(set), func(n netip.Prefix) bool { return n.Addr() == selfTest })
}

// argument is what a trace of the port is asked for with.
func (t *tracer) argument() string {
	if t.At.IsValid() {
		return netip.AddrPortFrom(t.At, t.trace.Port.Port).String() + "/" + string(t.trace.Port.Protocol)
	}
	return t.trace.Port.Plain().String()
}

// isThisNode says that what comes from the address does not pass the forward hook.
func (t *tracer) isThisNode(a netip.Addr) bool {
	self := t.self()
	return a.IsLoopback() || self != nil && (a == self.Address || a == self.HostAddress())
}

// listed is a list for people, cut where it gets long.
func listed(networks []netip.Prefix) string {
	const most = 8
	var texts []string
	for _, n := range networks[:min(len(networks), most)] {
		texts = append(texts, n.String())
	}
	if len(networks) > most {
		texts = append(texts, fmt.Sprintf("%d more", len(networks)-most))
	}
	if len(texts) == 0 {
		return "nowhere"
	}
	return strings.Join(texts, ", ")
}
