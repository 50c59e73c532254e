package state

import (
	"fmt"
	"net/netip"
)

// SetType is an ipset type that we use.
type SetType string

const (
	// BitmapPort holds ports 0–65535.
	BitmapPort SetType = "bitmap:port"
	// HashIP holds IPv4 addresses.
	HashIP SetType = "hash:ip"
)

// Set is an ipset in the host's namespace.
type Set struct {
	Name  string
	Type  SetType
	Fault string
}

// SetNames is every set that a node has.
func SetNames() []string {
	return []string{
		SetPrefix + "tcp", SetPrefix + "udp", SetPrefix + "ep-tcp", SetPrefix + "ep-udp", SetPrefix + "host-tcp", SetPrefix + "peers",
	}
}

// Sets is every set that a node has, without members.
func Sets() []Set {
	var sets []Set
	for _, name := range SetNames() {
		set := Set{Name: name, Type: BitmapPort}
		if name == SetPrefix+"peers" {
			set.Type = HashIP
		}
		sets = append(sets, set)
	}
	return sets
}

// Key implements Object.
func (s Set) Key() Key { return Key{Kind: KindSet, Name: s.Name} }
func (s Set) String() string {
	return faulty(fmt.Sprintf("ipset %s (%s)", s.Name, s.Type), s.Fault)
}

// SetMember is one member of a Set: a port or an address.
type SetMember struct {
	Set  string
	Port uint16
	Addr netip.Addr
}

// Key implements Object.
func (m SetMember) Key() Key {
	return Key{Kind: KindSetMember, Name: m.Set, A: netip.AddrPortFrom(m.Addr, m.Port)}
}
func (m SetMember) String() string {
	if m.Addr.IsValid() {
		return fmt.Sprintf("address %s in ipset %s", m.Addr, m.Set)
	}
	return fmt.Sprintf("port %d in ipset %s", m.Port, m.Set)
}

// Chain is an iptables chain with all its rules. A chain of ours in the host's
// namespace is jumped to from the first place of a built-in chain (Hooks, comma
// separated); in the mesh namespace the built-in chains are ours themselves.
type Chain struct {
	NS    NS
	Table string // nat, filter, raw, mangle
	Name  string
	// Hooks are the built-in chains that jump here, as "PREROUTING,OUTPUT", in
	// the order PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING. A jump is put in
	// the first place; once there, others may be put before it.
	Hooks string
	// JumpMatch is what every jump matches on, in iptables-save's spelling.
	JumpMatch string
	// Rules holds one rule per line in iptables-save's own spelling, without
	// "-A CHAIN ", so that what is read back compares equal.
	Rules string
}

// Key implements Object.
func (c Chain) Key() Key       { return Key{Kind: KindChain, NS: c.NS, Name: c.Table + "/" + c.Name} }
func (c Chain) String() string { return fmt.Sprintf("chain %s %s (%s)", c.Table, c.Name, c.NS) }

// VirtualServer is an IPVS service, in the mesh namespace.
type VirtualServer struct {
	Proto     string // tcp, udp
	Addr      netip.AddrPort
	Scheduler string
	// AffinitySeconds is for how long a client keeps its destination (persistence),
	// 0 for not at all; AffinityBits is how much of its address makes a client, 0
	// without affinity.
	AffinitySeconds, AffinityBits int
	// OnePacket schedules every packet of a udp server by itself.
	OnePacket bool
	Fault     string
}

// Key implements Object.
func (v VirtualServer) Key() Key {
	return Key{Kind: KindVirtualServer, NS: Mesh, Name: v.Proto, A: v.Addr}
}
func (v VirtualServer) String() string {
	text := fmt.Sprintf("IPVS %s/%s %s", v.Addr, v.Proto, v.Scheduler)
	if v.AffinitySeconds > 0 {
		text += fmt.Sprintf(" persistent %d s /%d", v.AffinitySeconds, v.AffinityBits)
	}
	if v.OnePacket {
		text += " one packet"
	}
	return faulty(text, v.Fault)
}

// RealServer is a destination of an IPVS service (masquerading).
type RealServer struct {
	Proto  string
	Server netip.AddrPort
	Addr   netip.AddrPort
	Weight int // 0–65535
	Fault  string
}

// Timeouts are for how many seconds IPVS keeps a connection without a packet, in
// the mesh namespace. The third one, of closing connections, stays the kernel's.
type Timeouts struct{ TCPSeconds, UDPSeconds int }

// Key implements Object.
func (Timeouts) Key() Key { return Key{Kind: KindTimeouts, NS: Mesh} }
func (t Timeouts) String() string {
	return fmt.Sprintf("IPVS timeout of idle connections (tcp %d s, udp %d s)", t.TCPSeconds, t.UDPSeconds)
}

// Key implements Object.
func (r RealServer) Key() Key {
	return Key{Kind: KindRealServer, NS: Mesh, Name: r.Proto, A: r.Server, B: r.Addr}
}
func (r RealServer) String() string {
	return faulty(fmt.Sprintf("IPVS %s/%s destination %s weight %d", r.Server, r.Proto, r.Addr, r.Weight), r.Fault)
}
