package state

import (
	"fmt"
	"net/netip"
)

// FDB says behind which underlay address a node's overlay MAC is.
type FDB struct {
	MAC string
	Dst netip.Addr
}

// Key implements Object.
func (f FDB) Key() Key { return Key{Kind: KindFDB, NS: Mesh, Name: f.MAC} }
func (f FDB) String() string {
	return fmt.Sprintf("fdb entry %s dst %s on %s", f.MAC, f.Dst, OverlayLink)
}

// Parent implements Object.
func (f FDB) Parent() Key { return VXLAN{}.Key() }

// Missing implements Object.
func (f FDB) Missing() string { return missing(f) }

// Extra implements Object.
func (f FDB) Extra() string { return extra("an", f) }

// Differs implements Object.
func (f FDB) Differs(have Object) string { return differs(f, have) }
