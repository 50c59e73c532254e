package state

import (
	"fmt"
	"net/netip"
)

// Neigh is a permanent neighbour: another node's mesh address on the overlay, or
// the other end of the veth pair. No link of ours asks by ARP, so that no setting
// of the host about ARP or neighbours can take the mesh's traffic (arp_ignore of a
// host is that of every namespace made on it, a full neighbour table is everybody's).
type Neigh struct {
	Link string // "" is the overlay's
	Addr netip.Addr
	MAC  string
}

// Place is the neighbour's link and the namespace that it is in.
func (n Neigh) Place() (NS, string) {
	switch n.Link {
	case "":
		return Mesh, OverlayLink
	case HostLink:
		return Host, HostLink
	}
	return Mesh, n.Link
}

// Key implements Object.
func (n Neigh) Key() Key {
	ns, link := n.Place()
	return Key{Kind: KindNeigh, NS: ns, Name: link, A: netip.AddrPortFrom(n.Addr, 0)}
}
func (n Neigh) String() string {
	_, link := n.Place()
	return fmt.Sprintf("neighbour %s lladdr %s on %s", n.Addr, n.MAC, link)
}

// Parent implements Object.
func (n Neigh) Parent() Key { return parentOf(n.Place()) }

// Missing implements Object.
func (n Neigh) Missing() string { return missing(n) }

// Extra implements Object.
func (n Neigh) Extra() string { return extra("a", n) }

// Differs implements Object.
func (n Neigh) Differs(have Object) string { return differs(n, have) }
