// Package nft reads the host's nf_tables rules over netlink, runs no program for it,
// and judges what becomes of a packet in them.
//
// It is not a whole nf_tables: what it cannot know (a match of xtables, a rate, the
// time of day) is neither true nor false to it, and so may be its verdict. It only
// reads what the verdict asks for: the rules of a chain when a packet comes to it.
package nft

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Families of tables.
const (
	familyInet, familyIPv4 = 1, 2
)

// Hook is where in the kernel a base chain is called.
type Hook uint32

const (
	Prerouting Hook = iota
	Input
	Forward
	Output
	Postrouting
)

func (h Hook) String() string {
	names := []string{"prerouting", "input", "forward", "output", "postrouting"}
	if int(h) < len(names) {
		return names[h]
	}
	return fmt.Sprintf("hook %d", uint32(h))
}

// Chain is a base chain of the families inet and ip.
type Chain struct {
	Family, Table, Name string
	Type                string // filter, nat, route
	Hook                Hook
	Priority            int32
	Drop                bool // its policy

	family uint8
}

func (c Chain) String() string { return fmt.Sprintf("%s %s %s", c.Family, c.Table, c.Name) }

// Ruleset is what nf_tables has at one moment, read as it is asked for. An error of
// reading a part makes what hangs on it unknown; Err tells of the first.
type Ruleset struct {
	Chains []Chain // sorted by hook and priority

	ask   func(request) ([][]byte, error)
	rules map[chainKey][]rule
	sets  map[setKey]*set
	err   error
}

type chainKey struct {
	family      uint8
	table, name string
}

type setKey = chainKey

// Read reads the base chains of this network namespace. Close gives the socket back.
func Read() (*Ruleset, func(), error) {
	k, err := openKernel()
	if err != nil {
		return nil, nil, err
	}
	r, err := readFrom(k.ask)
	if err != nil {
		k.close()
		return nil, nil, err
	}
	return r, k.close, nil
}

// Generation is a number that every change of the rules raises.
func Generation() (uint32, error) {
	k, err := openKernel()
	if err != nil {
		return 0, err
	}
	defer k.close()
	answers, err := k.ask(request{message: getGeneration})
	if err != nil || len(answers) == 0 {
		return 0, errors.Join(errors.New("nf_tables did not tell its generation"), err)
	}
	const id = 1
	return number(fields(answers[0])[id]), nil
}

func readFrom(ask func(request) ([][]byte, error)) (*Ruleset, error) {
	r := &Ruleset{ask: ask, rules: map[chainKey][]rule{}, sets: map[setKey]*set{}}
	for family, name := range map[uint8]string{familyInet: "inet", familyIPv4: "ip"} {
		dormant, err := r.dormantTables(family)
		if err != nil {
			return nil, err
		}
		answers, err := ask(request{message: getChain, dump: true, family: family})
		if err != nil {
			return nil, fmt.Errorf("list nf_tables' chains: %w", err)
		}
		for _, a := range answers {
			if c, ok := decodeChain(a); ok && !dormant[c.Table] {
				c.Family, c.family = name, family
				r.Chains = append(r.Chains, c)
			}
		}
	}
	slices.SortFunc(r.Chains, func(a, b Chain) int {
		return int(a.Hook)<<40 - int(b.Hook)<<40 + int(a.Priority) - int(b.Priority) + strings.Compare(a.String(), b.String())
	})
	return r, nil
}

// Err is the first error of reading a part.
func (r *Ruleset) Err() error { return r.err }

func (r *Ruleset) dormantTables(family uint8) (map[string]bool, error) {
	const name, flags, dormant = 1, 2, 1
	answers, err := r.ask(request{message: getTable, dump: true, family: family})
	if err != nil {
		return nil, fmt.Errorf("list nf_tables' tables: %w", err)
	}
	found := map[string]bool{}
	for _, a := range answers {
		if f := fields(a); number(f[flags])&dormant != 0 {
			found[text(f[name])] = true
		}
	}
	return found, nil
}

// decodeChain is false for a chain that no hook calls.
func decodeChain(b []byte) (Chain, bool) {
	const (
		table, name, hook, policy, typ = 1, 3, 4, 5, 7
		hookNumber, hookPriority       = 1, 2
	)
	f := fields(b)
	if f[hook] == nil {
		return Chain{}, false
	}
	h := fields(f[hook])
	c := Chain{
		Table: text(f[table]), Name: text(f[name]), Type: text(f[typ]),
		Hook: Hook(number(h[hookNumber])), Priority: int32(number(h[hookPriority])), // it is signed
		Drop: f[policy] != nil && number(f[policy]) == verdictDrop,
	}
	return c, c.Hook <= Postrouting
}

// rule is a list of expressions, undecoded.
type rule []expression

type expression struct {
	name string
	data map[uint16][]byte
}

func decodeRule(b []byte) (r rule) {
	const expressions, element, name, data = 4, 1, 1, 2
	for typ, list := range attrsOf(b) {
		if typ != expressions {
			continue
		}
		for typ, e := range attrsOf(list) {
			if f := fields(e); typ == element {
				r = append(r, expression{text(f[name]), fields(f[data])})
			}
		}
	}
	return r
}

// rulesOf are those of a chain, false where they cannot be read.
func (r *Ruleset) rulesOf(key chainKey) ([]rule, bool) {
	if have, ok := r.rules[key]; ok {
		return have, true
	}
	const table, chain = 1, 2
	answers, err := r.ask(request{message: getRule, dump: true, family: key.family, attrs: append(textAttr(table, key.table), textAttr(chain, key.name)...)})
	if err != nil {
		r.err = errors.Join(r.err, fmt.Errorf("read the rules of chain %s in table %s: %w", key.name, key.table, err))
		return nil, false
	}
	rules := make([]rule, 0, len(answers))
	for _, a := range answers {
		// A kernel that does not filter by chain tells all of them.
		if f := fields(a); text(f[table]) == key.table && text(f[chain]) == key.name {
			rules = append(rules, decodeRule(a))
		}
	}
	r.rules[key] = rules
	return rules, true
}
