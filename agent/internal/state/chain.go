package state

import (
	"fmt"
	"slices"
	"strings"
)

// Chain is an iptables chain with all its rules. A chain of ours in the host's
// namespace is jumped to from the first place of a built-in chain (Hooks, comma
// separated); in the mesh namespace the built-in chains are ours themselves.
type Chain struct {
	NS    NS
	Table string // nat, filter, raw, mangle
	Name  string
	// Hooks are the built-in chains that jump here, as "PREROUTING,OUTPUT", in
	// the order PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING. A jump is put in
	// the first place; once there, others may be put before it.
	Hooks string
	// JumpMatch is what every jump matches on, in iptables-save's spelling.
	JumpMatch string
	// Rules holds one rule per line in iptables-save's own spelling, without
	// "-A CHAIN ", so that what is read back compares equal.
	Rules string
}

// MarkAnswers begins the rule that marks what answers connections with our mark.
const MarkAnswers = "-m conntrack --ctdir REPLY -j MARK --set-xmark "

// Key implements Object.
func (c Chain) Key() Key       { return Key{Kind: KindChain, NS: c.NS, Name: c.Table + "/" + c.Name} }
func (c Chain) String() string { return fmt.Sprintf("chain %s %s (%s)", c.Table, c.Name, c.NS) }

// Parent implements Object.
func (c Chain) Parent() Key { return parentOf(c.NS, "") }

// Missing implements Object.
func (c Chain) Missing() string { return missing(c) }

// Extra implements Object.
func (c Chain) Extra() string { return extra("a", c) }

// Differs implements Object: it names the first rule or jump that differs.
func (c Chain) Differs(have Object) string {
	was, ok := have.(Chain)
	if !ok {
		return differs(c, have)
	}
	if was.Rules == "" && c.Rules != "" {
		return fmt.Sprintf("The %s is empty.", c)
	}
	rules, wanted := strings.Split(was.Rules, "\n"), strings.Split(c.Rules, "\n")
	if rule, ok := firstNotIn(wanted, rules); ok {
		return fmt.Sprintf("The %s lacks the rule `%s`.", c, rule)
	}
	if rule, ok := firstNotIn(rules, wanted); ok {
		return fmt.Sprintf("The %s has a rule that is not ours: `%s`.", c, rule)
	}
	haveHooks, wantHooks := strings.Split(was.Hooks, ","), strings.Split(c.Hooks, ",")
	if hook, ok := firstNotIn(wantHooks, haveHooks); ok {
		return fmt.Sprintf("The %s is not jumped to from %s.", c, hook)
	}
	if hook, ok := firstNotIn(haveHooks, wantHooks); ok {
		return fmt.Sprintf("The %s is jumped to from %s as well, which it should not be.", c, hook)
	}
	if was.JumpMatch != c.JumpMatch {
		return fmt.Sprintf("The %s is jumped to by a rule that matches on `%s`; it should be `%s`.", c, was.JumpMatch, c.JumpMatch)
	}
	if was.Hooks != c.Hooks {
		return fmt.Sprintf("The %s is jumped to more than once from the same chain.", c)
	}
	return fmt.Sprintf("The %s has its rules in another order, or one of them twice.", c)
}

// Difference names the rule or the jump that tells the chain from the one that there
// is, "" when it is their order.
func (c Chain) Difference(was Chain) string {
	have, want := strings.Split(was.Rules, "\n"), strings.Split(c.Rules, "\n")
	if rule, ok := firstNotIn(want, have); ok {
		return fmt.Sprintf("the rule `%s`", rule)
	}
	if rule, ok := firstNotIn(have, want); ok {
		return fmt.Sprintf("the rule `%s`", rule)
	}
	if hook, ok := firstNotIn(strings.Split(c.Hooks, ","), strings.Split(was.Hooks, ",")); ok {
		return "the jump from " + hook
	}
	if was.Hooks != c.Hooks || was.JumpMatch != c.JumpMatch {
		return "the jumps to it"
	}
	return ""
}

// firstNotIn is the first line that the others do not have; an empty one is none.
func firstNotIn(lines, others []string) (string, bool) {
	for _, line := range lines {
		if line != "" && !slices.Contains(others, line) {
			return line, true
		}
	}
	return "", false
}
