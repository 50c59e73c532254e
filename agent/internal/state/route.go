package state

import (
	"fmt"
	"net/netip"
	"strings"
)

// Route is an IPv4 route. Via, Src are the zero Addr where there is none.
type Route struct {
	NS     NS
	Table  int // 254 is main
	Dst    netip.Prefix
	Via    netip.Addr
	Dev    string
	Src    netip.Addr
	OnLink bool
	// Unreachable refuses what is for Dst; such a route has no link.
	Unreachable bool
	// Local takes what is for Dst as for this host itself.
	Local bool
}

// Key implements Object.
func (r Route) Key() Key {
	return Key{Kind: KindRoute, NS: r.NS, A: netip.AddrPortFrom(r.Dst.Addr(), uint16(r.Dst.Bits())), Sub: uint32(r.Table)}
}
func (r Route) String() string {
	var b strings.Builder
	if r.Unreachable {
		b.WriteString("unreachable ")
	}
	if r.Local {
		b.WriteString("local ")
	}
	fmt.Fprintf(&b, "route %s", r.Dst)
	if r.Via.IsValid() {
		fmt.Fprintf(&b, " via %s", r.Via)
	}
	if r.Dev != "" {
		fmt.Fprintf(&b, " dev %s", r.Dev)
	}
	if r.Src.IsValid() {
		fmt.Fprintf(&b, " src %s", r.Src)
	}
	if r.Table != MainTable {
		fmt.Fprintf(&b, " table %d", r.Table)
	}
	return b.String() + " (" + r.NS.String() + ")"
}

// MainTable is the kernel's main routing table, LocalTable that of the host's own addresses.
const (
	MainTable  = 254
	LocalTable = 255
)

// Parent implements Object.
func (r Route) Parent() Key { return parentOf(r.NS, r.Dev) }

// Missing implements Object.
func (r Route) Missing() string { return missing(r) }

// Extra implements Object.
func (r Route) Extra() string { return extra("a", r) }

// Differs implements Object.
func (r Route) Differs(have Object) string { return differs(r, have) }
