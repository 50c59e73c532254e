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

import "net/netip"

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
	// EntryTables are the mesh namespace's routing tables of what endpoints answer to
	// clients that came in by another node: its EntryNumber is added.
	EntryTables = 20000
	// ChainPrefix starts the name of each iptables chain of ours in the host's
	// namespace, SetPrefix that of each ipset.
	ChainPrefix = "ROUTINGMESH"
	// ForwardChain says what passes into the mesh and out of it. UserChain, which it asks
	// first, belongs to the administrator (filter table, like DOCKER-USER): we make it
	// where it is missing, and neither read nor change what is in it.
	ForwardChain = ChainPrefix + "-FWD"
	UserChain    = ChainPrefix + "-USER"
	SetPrefix    = "routingmesh-"
)

// Kind orders objects: what comes later may refer to what comes earlier, so
// additions run in this order and removals against it. Traffic enters through
// members of the published sets, so those come last.
type Kind uint8

const (
	KindNamespace Kind = iota
	KindVeth
	KindVXLAN
	KindAttachment
	KindAddr
	KindSysctl
	KindTimeouts
	KindNeigh
	KindFDB
	KindRoute
	KindRule
	KindSet
	KindChain
	KindHairpin
	KindVirtualServer
	KindRealServer
	KindSetMember
	// KindOwnFile is no part of the data path, so it comes after all of that.
	KindOwnFile
	// Kinds is how many there are.
	Kinds
)

// IsLink says that objects of the kind are links, which hold others.
func (k Kind) IsLink() bool { return k == KindVeth || k == KindVXLAN || k == KindAttachment }

// Key names an object: two objects with one key are versions of the same one.
type Key struct {
	Kind   Kind
	NS     NS
	Family Family
	// Network is the VNI of the network that the object belongs to, 0 for the mesh's own.
	Network uint32
	Name    string
	A       netip.AddrPort
	B       netip.AddrPort
	Sub     uint32
}

// Family is an address family, of what has its own object for each.
type Family uint8

const (
	// IP4 is IPv4, and whatever has no family.
	IP4 Family = iota
	// IP6 is IPv6.
	IP6
)

// NoParent is the key of nothing.
var NoParent = Key{Kind: Kinds}

// Object is one thing of the mesh's on a host. Implementations are comparable
// structs, one for each kind, in a file that has all that is said of the kind.
type Object interface {
	Key() Key
	// String names the object as a person would, with its values.
	String() string
	// Parent is the key of what the object is in or on: while that is missing, so is
	// the object. NoParent where it is in nothing that could be missing.
	Parent() Key
	// Missing, Extra and Differs are sentences: that there is no such object; that
	// there is one, which the record does not ask for; that there is have in its
	// place, which has the same key.
	Missing() string
	Extra() string
	Differs(have Object) string
}

// State is a set of objects by key.
type State map[Key]Object

// Put adds objects, replacing those with the same key.
func (s State) Put(objects ...Object) {
	for _, o := range objects {
		s[o.Key()] = o
	}
}
