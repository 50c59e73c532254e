package state

import (
	"fmt"
	"net/netip"
)

// Rule is the policy rule `from From lookup Table`, in the host's namespace.
type Rule struct {
	From     netip.Addr
	Table    int
	Priority int
}

// Key implements Object.
func (r Rule) Key() Key {
	return Key{Kind: KindRule, A: netip.AddrPortFrom(r.From, 0), Sub: uint32(r.Priority)}
}
func (r Rule) String() string { return fmt.Sprintf("rule from %s lookup %d", r.From, r.Table) }

// Parent implements Object.
func (r Rule) Parent() Key { return NoParent }

// Missing implements Object.
func (r Rule) Missing() string { return missing(r) }

// Extra implements Object.
func (r Rule) Extra() string { return extra("a", r) }

// Differs implements Object.
func (r Rule) Differs(have Object) string { return differs(r, have) }
