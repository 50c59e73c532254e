package state

import (
	"fmt"
	"net/netip"
	"strings"
)

// SetMember is one member of a Set: a port, an address, or a network with a port.
type SetMember struct {
	Set  string
	Port uint16
	Addr netip.Addr
	// Bits is the prefix length of a network, 0 in sets without networks.
	Bits uint8
	// Proto is tcp or udp in sets of both (PairOfSet), "" where the set says it.
	Proto string
}

// Key implements Object.
func (m SetMember) Key() Key {
	return Key{Kind: KindSetMember, Name: m.Set, A: netip.AddrPortFrom(m.Addr, m.Port), Sub: uint32(m.Bits) | protoBit(m.Proto)}
}

// protoBit tells two members apart that differ in their protocol alone.
func protoBit(proto string) uint32 {
	const tcp, udp = 1 << 8, 1 << 9
	switch proto {
	case "tcp":
		return tcp
	case "udp":
		return udp
	}
	return 0
}

func (m SetMember) String() string {
	if m.Bits != 0 {
		return fmt.Sprintf("%s to %s in ipset %s", m.network(), m.port(), m.Set)
	}
	if m.Addr.IsValid() {
		return fmt.Sprintf("address %s in ipset %s", m.Addr, m.Set)
	}
	return fmt.Sprintf("port %d in ipset %s", m.Port, m.Set)
}

func (m SetMember) network() netip.Prefix { return netip.PrefixFrom(m.Addr, int(m.Bits)) }

func (m SetMember) port() string {
	return strings.TrimSpace(fmt.Sprintf("%s port %d", m.Proto, m.Port))
}

// Parent implements Object.
func (m SetMember) Parent() Key { return Set{Name: m.Set}.Key() }

// Missing implements Object.
func (m SetMember) Missing() string {
	if m.Bits != 0 && IsListenSet(m.Set) {
		return fmt.Sprintf("The ipset %s lacks %s for %s, so that what is sent there does not get in.", m.Set, m.network(), m.port())
	}
	if m.Bits != 0 {
		return fmt.Sprintf("The ipset %s lacks %s for %s, so that clients from there are refused.", m.Set, m.network(), m.port())
	}
	if m.Addr.IsValid() {
		return fmt.Sprintf("The ipset %s lacks the address %s.", m.Set, m.Addr)
	}
	return fmt.Sprintf("The ipset %s lacks port %d, so that no traffic gets in.", m.Set, m.Port)
}

// Extra implements Object.
func (m SetMember) Extra() string {
	if m.Bits != 0 && IsListenSet(m.Set) {
		return fmt.Sprintf("The ipset %s opens %s at %s, which the record does not ask for.", m.Set, m.port(), m.network())
	}
	if m.Bits != 0 {
		return fmt.Sprintf("The ipset %s lets %s in to %s, which the record does not ask for.", m.Set, m.network(), m.port())
	}
	if m.Addr.IsValid() {
		return fmt.Sprintf("The ipset %s has the address %s, which the record does not ask for.", m.Set, m.Addr)
	}
	return fmt.Sprintf("The ipset %s has port %d, which the record does not ask for.", m.Set, m.Port)
}

// Differs implements Object.
func (m SetMember) Differs(have Object) string { return differs(m, have) }
