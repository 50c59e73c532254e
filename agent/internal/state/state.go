// Package state describes everything the mesh owns on a host as plain values:
// what compile asks for, what the kernel package observes, and what plan
// compares. Every object is a comparable struct, so that desired and observed
// are equal exactly when == says so, and has a key that names it in the kernel.
//
// Objects live in the host's own network namespace or in the mesh's
// (/run/netns/routingmesh). Nothing else on the host is ours.
//
// Several types have a Fault: what else is wrong with what is there, in words
// ("down", "learning is on"). It is empty in what compile asks for, so that any
// fault makes the two differ and shows in the plan.
package state

import (
	"fmt"
	"net/netip"
	"strings"
)

// NS says in which network namespace an object lives.
type NS uint8

const (
	// Host is the host's own network namespace.
	Host NS = iota
	// Mesh is the namespace that holds everything else of ours.
	Mesh
)

func (n NS) String() string {
	if n == Mesh {
		return "mesh"
	}
	return "host"
}

// Names of what is ours on a host.
const (
	// Namespace is the mesh's network namespace, as `ip netns` lists it.
	Namespace = "routingmesh"
	// HostLink and MeshLink are the ends of the veth pair between the two.
	HostLink = "rmesh0"
	MeshLink = "host0"
	// SelfTestLink is the TUN device through which the agent's self-test sends what a
	// client would send. It lives as long as the agent's descriptor of it.
	SelfTestLink = "rmesht0"
	// HostMAC and MeshMAC are their addresses, which nobody but the two sees. They
	// are no node's overlay MAC, which holds an ingress VIP.
	HostMAC = "02:52:00:00:00:02"
	MeshMAC = "02:52:00:00:00:01"
	// OverlayLink is the VXLAN device, in the mesh namespace; its UDP socket
	// stays in the host's, where it was made.
	OverlayLink = "vx0"
	// Table and RulePriority of the policy route that sends what endpoints
	// answer to clients outside the mesh back through it.
	Table        = 10255
	RulePriority = 10255
	// ChainPrefix starts the name of each iptables chain of ours in the host's
	// namespace, SetPrefix that of each ipset.
	ChainPrefix = "ROUTINGMESH"
	SetPrefix   = "routingmesh-"
)

// Kind orders objects: what comes later may refer to what comes earlier, so
// additions run in this order and removals against it. Traffic enters through
// members of the published sets, so those come last.
type Kind uint8

const (
	KindNamespace Kind = iota
	KindLink
	KindAddr
	KindSysctl
	KindTimeouts
	KindNeigh
	KindFDB
	KindRoute
	KindRule
	KindSet
	KindChain
	KindVirtualServer
	KindRealServer
	KindSetMember
	// KindOwnFile is no part of the data path, so it comes after all of that.
	KindOwnFile
)

// Key names an object: two objects with one key are versions of the same one.
type Key struct {
	Kind Kind
	NS   NS
	Name string
	A    netip.AddrPort
	B    netip.AddrPort
	Sub  uint32
}

// Object is one thing in the kernel. Implementations are comparable structs.
type Object interface {
	Key() Key
	// String names the object as a person would, with its values.
	String() string
}

// State is a set of objects by key.
type State map[Key]Object

// Put adds objects, replacing those with the same key.
func (s State) Put(objects ...Object) {
	for _, o := range objects {
		s[o.Key()] = o
	}
}

// faulty appends a fault to the text of an object.
func faulty(text, fault string) string {
	if fault == "" {
		return text
	}
	return text + ", " + fault
}

// NetNS is the mesh's network namespace itself, its loopback link up.
type NetNS struct{ Fault string }

// Key implements Object.
func (NetNS) Key() Key         { return Key{Kind: KindNamespace, Name: Namespace} }
func (n NetNS) String() string { return faulty("network namespace "+Namespace, n.Fault) }

// Veth is the pair rmesh0 (host) – host0 (mesh), up at both ends.
type Veth struct {
	MTU   int
	Fault string
}

// Key implements Object.
func (Veth) Key() Key { return Key{Kind: KindLink, Name: HostLink} }
func (v Veth) String() string {
	return faulty(fmt.Sprintf("link %s (veth, mtu %d)", HostLink, v.MTU), v.Fault)
}

// VXLAN is the overlay device: no learning, no outer UDP checksum, few source ports.
type VXLAN struct {
	VNI   uint32
	Port  uint16
	Local netip.Addr
	MAC   string // lower case, with colons
	MTU   int
	Fault string
}

// Key implements Object.
func (VXLAN) Key() Key { return Key{Kind: KindLink, NS: Mesh, Name: OverlayLink} }
func (v VXLAN) String() string {
	return faulty(fmt.Sprintf("link %s (vxlan id %d local %s port %d mac %s mtu %d)", OverlayLink, v.VNI, v.Local, v.Port, v.MAC, v.MTU), v.Fault)
}

// Addr is an IPv4 address on a link.
type Addr struct {
	NS     NS
	Link   string
	Prefix netip.Prefix
}

// Key implements Object.
func (a Addr) Key() Key {
	return Key{Kind: KindAddr, NS: a.NS, Name: a.Link, A: netip.AddrPortFrom(a.Prefix.Addr(), 0), Sub: uint32(a.Prefix.Bits())}
}
func (a Addr) String() string { return fmt.Sprintf("address %s on %s (%s)", a.Prefix, a.Link, a.NS) }

// Sysctl is a kernel setting. In the host's namespace its value from before is
// kept and put back when the mesh leaves.
type Sysctl struct {
	NS    NS
	Name  string // dotted, "net.ipv4.ip_forward"
	Value string
}

// Key implements Object.
func (s Sysctl) Key() Key       { return Key{Kind: KindSysctl, NS: s.NS, Name: s.Name} }
func (s Sysctl) String() string { return fmt.Sprintf("sysctl %s=%s (%s)", s.Name, s.Value, s.NS) }

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

// Route is an IPv4 route. Via, Src are the zero Addr where there is none.
type Route struct {
	NS     NS
	Table  int // 254 is main
	Dst    netip.Prefix
	Via    netip.Addr
	Dev    string
	Src    netip.Addr
	OnLink bool
}

// Key implements Object.
func (r Route) Key() Key {
	return Key{Kind: KindRoute, NS: r.NS, A: netip.AddrPortFrom(r.Dst.Addr(), uint16(r.Dst.Bits())), Sub: uint32(r.Table)}
}
func (r Route) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "route %s", r.Dst)
	if r.Via.IsValid() {
		fmt.Fprintf(&b, " via %s", r.Via)
	}
	fmt.Fprintf(&b, " dev %s", r.Dev)
	if r.Src.IsValid() {
		fmt.Fprintf(&b, " src %s", r.Src)
	}
	if r.Table != MainTable {
		fmt.Fprintf(&b, " table %d", r.Table)
	}
	return b.String() + " (" + r.NS.String() + ")"
}

// MainTable is the kernel's main routing table.
const MainTable = 254

// Rule is the policy rule `from From lookup Table`, in the host's namespace.
type Rule struct {
	From     netip.Addr
	Table    int
	Priority int
}

// Key implements Object.
func (r Rule) Key() Key {
	return Key{Kind: KindRule, A: netip.AddrPortFrom(r.From, 0), Sub: uint32(r.Priority)}
}
func (r Rule) String() string { return fmt.Sprintf("rule from %s lookup %d", r.From, r.Table) }
