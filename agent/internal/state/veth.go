package state

import (
	"fmt"
)

// Veth is the pair rmesh0 (host) – host0 (mesh), up at both ends.
type Veth struct {
	MTU   int
	Fault string
}

// Key implements Object.
func (Veth) Key() Key { return Key{Kind: KindVeth, Name: HostLink} }
func (v Veth) String() string {
	return faulty(fmt.Sprintf("link %s (veth, mtu %d)", HostLink, v.MTU), v.Fault)
}

// Parent implements Object.
func (v Veth) Parent() Key { return NetNS{}.Key() }

// Missing implements Object.
func (v Veth) Missing() string { return missing(v) }

// Extra implements Object.
func (v Veth) Extra() string { return extra("a", v) }

// Differs implements Object.
func (v Veth) Differs(have Object) string { return differs(v, have) }

func (v Veth) fault() string { return v.Fault }
