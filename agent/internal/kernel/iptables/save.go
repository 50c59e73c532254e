package iptables

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/program"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Ruleset is what iptables-save says: tables, in them chains, in them rules.
type Ruleset map[string]table

type table map[string]*chain

type chain struct {
	policy string   // "-" where it is not a built-in chain
	rules  []string // without "-A CHAIN "
}

func (c *chain) builtin() bool { return c.policy != "-" }

// Save reads all tables of a namespace in one run.
func Save(ctx context.Context, run *program.Runner, space *netns.Space) (Ruleset, error) {
	var text string
	err := space.Do(func() (err error) {
		text, err = run.Run(ctx, "", "iptables-save")
		return err
	})
	if err != nil {
		return nil, err
	}
	return Parse(text)
}

// Parse reads the output of iptables-save.
func Parse(text string) (Ruleset, error) {
	rs := Ruleset{}
	var t table
	for i, line := range strings.Split(text, "\n") {
		var err error
		switch {
		case strings.HasPrefix(line, "*"):
			t = rs.table(strings.TrimSpace(line[1:]))
		case line == "COMMIT":
			t = nil
		case strings.HasPrefix(line, ":"):
			err = t.declare(line[1:])
		case strings.HasPrefix(line, "-A "):
			err = t.append(line[len("-A "):])
		case line == "" || strings.HasPrefix(line, "#"):
		default:
			err = fmt.Errorf("unknown line")
		}
		if err != nil {
			return nil, fmt.Errorf("iptables-save, line %d %q: %w", i+1, line, err)
		}
	}
	return rs, nil
}

func (rs Ruleset) table(name string) table {
	if rs[name] == nil {
		rs[name] = table{}
	}
	return rs[name]
}

// Rules walks over the rules of all chains of a table.
func (rs Ruleset) Rules(table string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, c := range rs[table] {
			for _, rule := range c.rules {
				if !yield(rule) {
					return
				}
			}
		}
	}
}

// declare takes "NAME POLICY [packets:bytes]".
func (t table) declare(line string) error {
	fields := strings.Fields(line)
	if t == nil || len(fields) < 2 {
		return fmt.Errorf("no chain of a table")
	}
	if t[fields[0]] != nil {
		return fmt.Errorf("the chain is there twice")
	}
	t[fields[0]] = &chain{policy: fields[1]}
	return nil
}

// append takes "NAME RULE".
func (t table) append(line string) error {
	name, rule, _ := strings.Cut(line, " ")
	if t[name] == nil {
		return fmt.Errorf("a rule of no chain")
	}
	t[name].rules = append(t[name].rules, rule)
	return nil
}

// builtinChains in the order in which packets meet them, and Chain.Hooks is in.
func builtinChains() []string {
	return []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}
}

// jump is a rule of a built-in chain that jumps to a chain.
type jump struct{ hook, match string }

func (j jump) rule(to string) string {
	if j.match == "" {
		return "-j " + to
	}
	return j.match + " -j " + to
}

// jumps finds every jump to a chain from the table's built-in chains.
func (t table) jumps(to string) []jump {
	var found []jump
	for _, hook := range builtinChains() {
		if t[hook] == nil {
			continue
		}
		for _, rule := range t[hook].rules {
			if match, ok := strings.CutSuffix(" "+rule, " -j "+to); ok {
				found = append(found, jump{hook, strings.TrimSpace(match)})
			}
		}
	}
	return found
}

// Observe puts the chains that are ours: in the host's namespace by their names,
// in the mesh's all that hold anything.
func (rs Ruleset) Observe(into state.State, ns state.NS) {
	for tableName, t := range rs {
		for name, c := range t {
			o := state.Chain{NS: ns, Table: tableName, Name: name, Rules: strings.Join(c.rules, "\n")}
			switch {
			case ns == state.Mesh:
				if c.builtin() && c.policy != "ACCEPT" {
					o.Rules = strings.TrimSuffix("policy "+c.policy+"\n"+o.Rules, "\n") // never asked for
				}
				if !c.builtin() || o.Rules != "" {
					into.Put(o)
				}
			case isUserChain(o):
				if t[state.ForwardChain] == nil && t.userChainUnused() {
					into.Put(o) // left from a removal of the other chain by somebody else
				}
			case ourChain(name):
				o.Hooks, o.JumpMatch = hooksOf(t.jumps(name))
				into.Put(o)
			}
		}
	}
}

func ourChain(name string) bool {
	return name == state.ChainPrefix || strings.HasPrefix(name, state.ChainPrefix+"-")
}

// hooksOf tells jumps as a Chain does. A jump that is there twice, or matches on
// something else, differs from what was asked for in either.
func hooksOf(jumps []jump) (hooks, match string) {
	var names, matches []string
	for _, j := range jumps {
		names = append(names, j.hook)
		if !slices.Contains(matches, j.match) {
			matches = append(matches, j.match)
		}
	}
	return strings.Join(names, ","), strings.Join(matches, " | ")
}

// Foreign names the chains with our names that have rules, and none that is ours, as
// "TABLE/CHAIN", sorted: ours all name a set or a link of the mesh, or mark answers, also those of an
// earlier version that somebody has saved. The administrator's chain is not one.
func (rs Ruleset) Foreign() (names []string) {
	ours := func(rule string) bool {
		return strings.Contains(rule, state.SetPrefix) || strings.Contains(rule, state.HostLink) || strings.HasPrefix(rule, state.MarkAnswers)
	}
	for tableName, t := range rs {
		for name, c := range t {
			if ourChain(name) && (tableName != userTable || name != state.UserChain) && len(c.rules) > 0 && !slices.ContainsFunc(c.rules, ours) {
				names = append(names, tableName+"/"+name)
			}
		}
	}
	slices.Sort(names)
	return names
}
