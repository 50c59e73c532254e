package state

import (
	"fmt"
	"net/netip"
	"strings"
)

// SetMember is one member of a Set: a port or a range of ports, an address, also one with a
// mark or a port, or a network with a port.
type SetMember struct {
	NS   NS
	Set  string
	Port uint16
	// Last is the last port of a range that begins at Port, 0 for a single port. Lacks says
	// which of a range are missing; it is empty in what is asked for.
	Last  uint16
	Lacks string
	Addr  netip.Addr
	// Bits is the prefix length of a network, 0 in sets without networks.
	Bits uint8
	// Proto is tcp or udp in sets of both (BothProtocols), "" where the set says it.
	Proto string
	// Mark is that of the address: in PeerSet a part of the key.
	Mark uint32
}

// Key implements Object.
func (m SetMember) Key() Key {
	sub := uint32(m.Bits) | protoBit(m.Proto) | uint32(m.Last)<<lastShift
	if m.Set == PeerSet {
		sub = m.Mark
	}
	return Key{Kind: KindSetMember, NS: m.NS, Name: m.Set, A: netip.AddrPortFrom(m.Addr, m.Port), Sub: sub}
}

// isKnown says that the member does not lead packets anywhere, but says what a chain lets
// through: without it the chain refuses.
func (m SetMember) isKnown() bool { return known(m.NS, m.Set) }

func known(ns NS, set string) bool { return ns == Mesh && set != VIPSet }

// BothProtocols says that members of the set are of tcp or of udp, each as it says itself.
func BothProtocols(set string) bool {
	_, both := PairOfSet(set)
	return both || set == OpenSet
}

const lastShift = 16

// last is the last port of the member.
func (m SetMember) last() uint16 { return max(m.Port, m.Last) }

// Size is how many ports the member has.
func (m SetMember) Size() int { return int(m.last()) - int(m.Port) + 1 }

// isPort says that the member is of a set of ports.
func (m SetMember) isPort() bool { return !m.Addr.IsValid() }

// HasPort says that the port is one of the member's.
func (m SetMember) HasPort(port uint16) bool { return m.Port <= port && port <= m.last() }

// Overlaps says that the members are of one set of ports, and have some of them both.
func (m SetMember) Overlaps(o SetMember) bool {
	return m.Set == o.Set && m.isPort() && o.isPort() && m.Port <= o.last() && o.Port <= m.last()
}

// OverlapsKey is Overlaps for the member that has the key.
func (m SetMember) OverlapsKey(k Key) bool {
	return k.Kind == KindSetMember && m.Overlaps(SetMember{Set: k.Name, Addr: k.A.Addr(), Port: k.A.Port(), Last: uint16(k.Sub >> lastShift)})
}

func (m SetMember) fault() string { return m.Lacks }

// ports is "port 8080" or "ports 10000-10999".
func (m SetMember) ports() string {
	if m.Last != 0 {
		return "ports " + portsText(m.Port, m.Last)
	}
	return fmt.Sprintf("port %d", m.Port)
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
	switch {
	case m.Bits != 0:
		return fmt.Sprintf("%s to %s in ipset %s", m.network(), m.port(), m.Set)
	case m.NS == Mesh:
		return fmt.Sprintf("address %s in ipset %s", m.marked(), m.Set)
	}
	if m.Addr.IsValid() {
		return fmt.Sprintf("address %s in ipset %s", m.Addr, m.Set)
	}
	return fmt.Sprintf("%s in ipset %s", m.ports(), m.Set)
}

// marked is an address of a set of the mesh's namespace, with what it is paired with.
func (m SetMember) marked() string {
	if m.Set == OpenSet {
		return fmt.Sprintf("%s %s", m.Addr, m.port())
	}
	return fmt.Sprintf("%s mark %#x", m.Addr, m.Mark)
}

func (m SetMember) network() netip.Prefix { return netip.PrefixFrom(m.Addr, int(m.Bits)) }

func (m SetMember) port() string {
	return strings.TrimSpace(fmt.Sprintf("%s port %d", m.Proto, m.Port))
}

// Parent implements Object.
func (m SetMember) Parent() Key { return Set{NS: m.NS, Name: m.Set}.Key() }

// Missing implements Object.
func (m SetMember) Missing() string {
	if m.Bits != 0 && IsListenSet(m.Set) {
		return fmt.Sprintf("The ipset %s lacks %s for %s, so that what is sent there does not get in.", m.Set, m.network(), m.port())
	}
	if m.Bits != 0 {
		return fmt.Sprintf("The ipset %s lacks %s for %s, so that clients from there are refused.", m.Set, m.network(), m.port())
	}
	if m.NS == Mesh {
		return fmt.Sprintf("The ipset %s lacks %s, so that members of networks do not reach each other there.", m.Set, m.marked())
	}
	if m.Addr.IsValid() {
		return fmt.Sprintf("The ipset %s lacks the address %s.", m.Set, m.Addr)
	}
	return fmt.Sprintf("The ipset %s lacks %s, so that no traffic gets in.", m.Set, m.ports())
}

// Extra implements Object.
func (m SetMember) Extra() string {
	if m.Bits != 0 && IsListenSet(m.Set) {
		return fmt.Sprintf("The ipset %s opens %s at %s, which the record does not ask for.", m.Set, m.port(), m.network())
	}
	if m.Bits != 0 {
		return fmt.Sprintf("The ipset %s lets %s in to %s, which the record does not ask for.", m.Set, m.network(), m.port())
	}
	if m.NS == Mesh {
		return fmt.Sprintf("The ipset %s has %s, which the record does not ask for.", m.Set, m.marked())
	}
	if m.Addr.IsValid() {
		return fmt.Sprintf("The ipset %s has the address %s, which the record does not ask for.", m.Set, m.Addr)
	}
	return fmt.Sprintf("The ipset %s has %s, which the record does not ask for.", m.Set, m.ports())
}

// Differs implements Object.
func (m SetMember) Differs(have Object) string {
	if was, ok := have.(SetMember); ok && was.Lacks != "" {
		return fmt.Sprintf("The ipset %s lacks %s of the %s, so that no traffic gets in there.", m.Set, was.Lacks, m.ports())
	}
	return differs(m, have)
}
