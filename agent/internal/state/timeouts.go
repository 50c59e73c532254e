package state

import (
	"fmt"
)

// Timeouts are for how many seconds IPVS keeps a connection without a packet, in
// the mesh namespace. The third one, of closing connections, stays the kernel's.
type Timeouts struct{ TCPSeconds, UDPSeconds int }

// Key implements Object.
func (Timeouts) Key() Key { return Key{Kind: KindTimeouts, NS: Mesh} }
func (t Timeouts) String() string {
	return fmt.Sprintf("IPVS timeout of idle connections (tcp %d s, udp %d s)", t.TCPSeconds, t.UDPSeconds)
}

// Parent implements Object.
func (t Timeouts) Parent() Key { return parentOf(Mesh, "") }

// Missing implements Object.
func (t Timeouts) Missing() string { return missing(t) }

// Extra implements Object.
func (t Timeouts) Extra() string { return extra("a", t) }

// Differs implements Object.
func (t Timeouts) Differs(have Object) string { return differs(t, have) }
