package state

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// RangeRule is the rule that sends what is for a range of published ports, which a set opens,
// to its VIP: each port to its target.
type RangeRule struct {
	Proto       string
	First, Last uint16
	Set         string
	VIP         netip.Addr
	Target      uint16 // of the first port
}

// String is the rule as iptables-save prints it.
func (r RangeRule) String() string {
	to := r.VIP.String()
	if r.Target != r.First {
		to += fmt.Sprintf(":%d-%d/%d", r.Target, r.Target+r.Last-r.First, r.First)
	}
	return fmt.Sprintf("-p %s -m %[1]s --dport %d:%d -m set --match-set %s dst -j DNAT --to-destination %s", r.Proto, r.First, r.Last, r.Set, to)
}

// ParseRangeRule reads what String writes; false for any other rule.
func ParseRangeRule(rule string) (r RangeRule, ok bool) {
	words := strings.Fields(rule)
	const proto, ports, set, to, all = 1, 5, 9, 14, 15
	if len(words) != all {
		return r, false
	}
	first, last, _ := strings.Cut(words[ports], ":")
	vip, targets, shifted := strings.Cut(words[to], ":")
	r = RangeRule{Proto: words[proto], Set: words[set]}
	var errs [3]error
	r.First, errs[0] = parsePort(first)
	r.Last, errs[1] = parsePort(last)
	r.VIP, errs[2] = netip.ParseAddr(vip)
	if r.Target = r.First; shifted {
		from, _, _ := strings.Cut(targets, "-")
		r.Target, _ = parsePort(from)
	}
	return r, errs == [3]error{} && r.String() == rule
}

func parsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err
}

// Leads says that the rule sends the published port to the target.
func (r RangeRule) Leads(published, target uint16) bool {
	return r.Has(published) && target == r.Target+published-r.First
}

// Has says that the published port is one of the rule's.
func (r RangeRule) Has(published uint16) bool { return r.First <= published && published <= r.Last }

// RangeRules are those of a chain.
func (c Chain) RangeRules() (all []RangeRule) {
	for rule := range strings.SplitSeq(c.Rules, "\n") {
		if r, ok := ParseRangeRule(rule); ok {
			all = append(all, r)
		}
	}
	return all
}
