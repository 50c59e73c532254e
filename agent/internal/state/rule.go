package state

import (
	"fmt"
	"net/netip"
)

// Rule is a policy rule: what comes from From, or has Mark, is looked up in Table.
type Rule struct {
	NS NS
	// From is the zero Prefix where it does not matter; Except means what does not come from it.
	From   netip.Prefix
	Except bool
	// Mark are the bits of a packet's mark that have to be set, 0 for any mark.
	Mark     uint32
	Table    int
	Priority int
	// Goto is the priority of the rule to go on with, 0 where Table is looked up.
	Goto int
}

// MainRule is the priority of the rule that looks up the main table.
const MainRule = 32766

// Key implements Object.
func (r Rule) Key() Key {
	k := Key{Kind: KindRule, NS: r.NS, A: netip.AddrPortFrom(r.From.Addr(), 0), Sub: uint32(r.Priority)}
	if r.Mark != 0 {
		k.Name = "mark"
	}
	return k
}

func (r Rule) String() string {
	text := "rule"
	if r.Except {
		text += " not"
	}
	switch {
	case !r.From.IsValid():
		text += " from all"
	case r.From.IsSingleIP():
		text += " from " + r.From.Addr().String()
	default:
		text += " from " + r.From.String()
	}
	if r.Mark != 0 {
		text += fmt.Sprintf(" fwmark %#x/%#[1]x", r.Mark)
	}
	if r.Goto != 0 {
		text += fmt.Sprintf(" goto %d", r.Goto)
	} else {
		text += fmt.Sprintf(" lookup %d", r.Table)
	}
	if r.NS == Mesh {
		text += " (mesh)"
	}
	return text
}

// Parent implements Object.
func (r Rule) Parent() Key { return parentOf(r.NS, "") }

// Missing implements Object.
func (r Rule) Missing() string { return missing(r) }

// Extra implements Object.
func (r Rule) Extra() string { return extra("a", r) }

// Differs implements Object.
func (r Rule) Differs(have Object) string { return differs(r, have) }
