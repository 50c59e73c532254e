package state

import (
	"fmt"
	"net/netip"
)

// SetMember is one member of a Set: a port, an address, or a network with a port.
type SetMember struct {
	Set  string
	Port uint16
	Addr netip.Addr
	// Bits is the prefix length of a network, 0 in sets without networks.
	Bits uint8
}

// Key implements Object.
func (m SetMember) Key() Key {
	return Key{Kind: KindSetMember, Name: m.Set, A: netip.AddrPortFrom(m.Addr, m.Port), Sub: uint32(m.Bits)}
}
func (m SetMember) String() string {
	if m.Bits != 0 {
		return fmt.Sprintf("%s to port %d in ipset %s", m.network(), m.Port, m.Set)
	}
	if m.Addr.IsValid() {
		return fmt.Sprintf("address %s in ipset %s", m.Addr, m.Set)
	}
	return fmt.Sprintf("port %d in ipset %s", m.Port, m.Set)
}

func (m SetMember) network() netip.Prefix { return netip.PrefixFrom(m.Addr, int(m.Bits)) }

// Parent implements Object.
func (m SetMember) Parent() Key { return Set{Name: m.Set}.Key() }

// Missing implements Object.
func (m SetMember) Missing() string {
	if m.Bits != 0 {
		return fmt.Sprintf("The ipset %s lacks %s for port %d, so that clients from there are refused.", m.Set, m.network(), m.Port)
	}
	if m.Addr.IsValid() {
		return fmt.Sprintf("The ipset %s lacks the address %s.", m.Set, m.Addr)
	}
	return fmt.Sprintf("The ipset %s lacks port %d, so that no traffic gets in.", m.Set, m.Port)
}

// Extra implements Object.
func (m SetMember) Extra() string {
	if m.Bits != 0 {
		return fmt.Sprintf("The ipset %s lets %s in to port %d, which the record does not ask for.", m.Set, m.network(), m.Port)
	}
	if m.Addr.IsValid() {
		return fmt.Sprintf("The ipset %s has the address %s, which the record does not ask for.", m.Set, m.Addr)
	}
	return fmt.Sprintf("The ipset %s has port %d, which the record does not ask for.", m.Set, m.Port)
}

// Differs implements Object.
func (m SetMember) Differs(have Object) string { return differs(m, have) }
