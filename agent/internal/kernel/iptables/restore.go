package iptables

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// script is the input of one iptables-restore --noflush: each table in it is one
// transaction. Within a table the order is: clear chains, fill them, remove
// jumps, add jumps, delete chains; so no rule ever refers to a chain that is not
// there, and a jump leads to a chain that is filled.
type script map[string]*section

type section struct{ clear, fill, unhook, hook, drop []string }

// render makes the input that does ops on chains of one namespace. It is made of
// what is there now, not of what was when the ops were planned: deleting a rule
// that has gone would fail the whole transaction.
func render(ops []state.Op, now Ruleset) string {
	s := script{}
	for _, op := range ops {
		c, ok := op.Object().(state.Chain)
		if !ok {
			continue // callers give only chains
		}
		if s[c.Table] == nil {
			s[c.Table] = &section{}
		}
		switch {
		case c.NS == state.Mesh:
			s[c.Table].meshChain(c, now[c.Table], op.Action)
		case op.Action == state.Remove && isUserChain(c) && askedAgain(ops, now):
		case op.Action == state.Remove:
			s[c.Table].removeChain(c.Name, now[c.Table])
		default:
			s[c.Table].putChain(c, now[c.Table])
		}
	}
	return s.String()
}

// putChain replaces what is in a chain of the host's namespace, and sets its jumps
// right: one that is as asked for, and there once, stays where it is.
func (s *section) putChain(c state.Chain, now table) {
	s.clear = append(s.clear, ":"+c.Name+" - [0:0]") // --noflush: empties it if it is there
	if jumpsToUser(c) && now[state.UserChain] == nil {
		s.clear = append(s.clear, ":"+state.UserChain+" - [0:0]")
	}
	s.addRules(c)
	missing, found := wantedJumps(c), now.jumps(c.Name)
	for _, j := range found {
		i := slices.Index(missing, j)
		if i >= 0 && count(found, j) == 1 {
			missing = slices.Delete(missing, i, i+1)
		} else {
			s.unhook = append(s.unhook, "-D "+j.hook+" "+j.rule(c.Name))
		}
	}
	for _, j := range missing {
		s.hook = append(s.hook, "-I "+j.hook+" 1 "+j.rule(c.Name))
	}
}

func count(jumps []jump, j jump) (n int) {
	for _, other := range jumps {
		if other == j {
			n++
		}
	}
	return n
}

func wantedJumps(c state.Chain) []jump {
	var jumps []jump
	for hook := range strings.SplitSeq(c.Hooks, ",") {
		if hook != "" {
			jumps = append(jumps, jump{hook, c.JumpMatch})
		}
	}
	return jumps
}

func (s *section) removeChain(name string, now table) {
	if now[name] == nil {
		return
	}
	s.clear = append(s.clear, "-F "+name)
	for _, j := range now.jumps(name) {
		s.unhook = append(s.unhook, "-D "+j.hook+" "+j.rule(name))
	}
	s.drop = append(s.drop, "-X "+name)
	if name == state.ForwardChain && now.userChainUnused() {
		s.drop = append(s.drop, "-X "+state.UserChain)
	}
}

// meshChain is about a chain of the mesh's namespace: the built-in ones are ours.
func (s *section) meshChain(c state.Chain, now table, action state.Action) {
	if !slices.Contains(builtinChains(), c.Name) {
		if action == state.Remove {
			s.removeChain(c.Name, now)
		} else {
			s.putChain(c, now)
		}
		return
	}
	s.clear = append(s.clear, ":"+c.Name+" ACCEPT [0:0]", "-F "+c.Name)
	if action != state.Remove {
		s.addRules(c)
	}
}

func (s *section) addRules(c state.Chain) {
	for rule := range strings.SplitSeq(c.Rules, "\n") {
		if rule != "" {
			s.fill = append(s.fill, "-A "+c.Name+" "+rule)
		}
	}
}

// String is empty when there is nothing to do.
func (s script) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s)) {
		t := s[name]
		lines := slices.Concat(t.clear, t.fill, t.unhook, t.hook, t.drop)
		if len(lines) > 0 {
			fmt.Fprintf(&b, "*%s\n%s\nCOMMIT\n", name, strings.Join(lines, "\n"))
		}
	}
	return b.String()
}
