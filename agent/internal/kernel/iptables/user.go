package iptables

import (
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// The administrator's chain comes and goes with the chain that asks it, in the same
// transaction, so it is not an object of its own: while there is a jump to it, the
// kernel lets nobody delete it. It stays when the mesh leaves if it has rules, or is
// asked by others.

// userTable is the table that has it.
const userTable = "filter"

// jumpsToUser says that a chain asks the administrator's.
func jumpsToUser(c state.Chain) bool {
	return c.NS == state.Host && c.Table == userTable &&
		slices.ContainsFunc(strings.Split(c.Rules, "\n"), func(rule string) bool { return leadsTo(rule, state.UserChain) })
}

func isUserChain(c state.Chain) bool { return c.Table == userTable && c.Name == state.UserChain }

// askedAgain says that there is a chain of ours that asks the administrator's, or will be:
// one that was left alone is then not left any more.
func askedAgain(ops []state.Op, now Ruleset) bool {
	return now[userTable][state.ForwardChain] != nil || slices.ContainsFunc(ops, func(op state.Op) bool {
		c, ok := op.New.(state.Chain)
		return ok && jumpsToUser(c)
	})
}

// userChainUnused says that the administrator's chain is there, is empty, and only
// our own chain asks it.
func (t table) userChainUnused() bool {
	if t[state.UserChain] == nil || len(t[state.UserChain].rules) > 0 {
		return false
	}
	for name, c := range t {
		if name != state.ForwardChain && slices.ContainsFunc(c.rules, func(rule string) bool { return leadsTo(rule, state.UserChain) }) {
			return false
		}
	}
	return true
}

// leadsTo says that a rule jumps to a chain, or goes to it.
func leadsTo(rule, chain string) bool {
	words := strings.Fields(rule)
	for i := 1; i < len(words); i++ {
		if words[i] == chain && (words[i-1] == "-j" || words[i-1] == "-g") {
			return true
		}
	}
	return false
}
