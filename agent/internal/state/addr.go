package state

import (
	"fmt"
	"net/netip"
)

// Addr is an IPv4 address on a link.
type Addr struct {
	NS     NS
	Link   string
	Prefix netip.Prefix
}

// Key implements Object.
func (a Addr) Key() Key {
	return Key{Kind: KindAddr, NS: a.NS, Name: a.Link, A: netip.AddrPortFrom(a.Prefix.Addr(), 0), Sub: uint32(a.Prefix.Bits())}
}
func (a Addr) String() string { return fmt.Sprintf("address %s on %s (%s)", a.Prefix, a.Link, a.NS) }

// Parent implements Object.
func (a Addr) Parent() Key { return parentOf(a.NS, a.Link) }

// Missing implements Object.
func (a Addr) Missing() string { return missing(a) }

// Extra implements Object.
func (a Addr) Extra() string { return extra("an", a) }

// Differs implements Object.
func (a Addr) Differs(have Object) string { return differs(a, have) }
