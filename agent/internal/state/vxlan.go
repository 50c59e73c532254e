package state

import (
	"fmt"
	"net/netip"
)

// VXLAN is the overlay device: no learning, no outer UDP checksum, few source ports.
type VXLAN struct {
	VNI   uint32
	Port  uint16
	Local netip.Addr
	MAC   string // lower case, with colons
	MTU   int
	// GBP carries the low 16 bits of a packet's mark to the other side (VXLAN group policy).
	GBP   bool
	Fault string
}

// Key implements Object.
func (VXLAN) Key() Key { return Key{Kind: KindVXLAN, NS: Mesh, Name: OverlayLink} }
func (v VXLAN) String() string {
	gbp := ""
	if v.GBP {
		gbp = " gbp"
	}
	return faulty(fmt.Sprintf("link %s (vxlan id %d local %s port %d mac %s mtu %d%s)", OverlayLink, v.VNI, v.Local, v.Port, v.MAC, v.MTU, gbp), v.Fault)
}

// Parent implements Object.
func (v VXLAN) Parent() Key { return NetNS{}.Key() }

// Missing implements Object.
func (v VXLAN) Missing() string { return missing(v) }

// Extra implements Object.
func (v VXLAN) Extra() string { return extra("a", v) }

// Differs implements Object.
func (v VXLAN) Differs(have Object) string { return differs(v, have) }

func (v VXLAN) fault() string { return v.Fault }
