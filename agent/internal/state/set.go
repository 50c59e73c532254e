package state

import (
	"fmt"
	"strconv"
	"strings"
)

// SetType is an ipset type that we use.
type SetType string

const (
	// BitmapPort holds ports 0–65535.
	BitmapPort SetType = "bitmap:port"
	// HashIP holds IPv4 addresses.
	HashIP SetType = "hash:ip"
	// HashNetPort holds pairs of an IPv4 network and a port of a protocol.
	HashNetPort SetType = "hash:net,port"
	// HashIPSkbinfo holds IPv4 addresses, each with a mark.
	HashIPSkbinfo SetType = "hash:ip skbinfo"
	// HashIPMark holds pairs of an IPv4 address and a mark.
	HashIPMark SetType = "hash:ip,mark"
	// HashIPPort holds pairs of an IPv4 address and a port of a protocol.
	HashIPPort SetType = "hash:ip,port"
)

// SetTypes are all of them.
func SetTypes() []SetType {
	return []SetType{BitmapPort, HashIP, HashNetPort, HashIPSkbinfo, HashIPMark, HashIPPort}
}

// Set is an ipset of a namespace.
type Set struct {
	NS    NS
	Name  string
	Type  SetType
	Fault string
}

// Sets is every set that a node has, without members.
func Sets() []Set {
	return []Set{
		{Name: SetPrefix + "tcp", Type: BitmapPort}, {Name: SetPrefix + "udp", Type: BitmapPort},
		{Name: SetPrefix + "ep-tcp", Type: BitmapPort}, {Name: SetPrefix + "ep-udp", Type: BitmapPort},
		{Name: SetPrefix + "host-tcp", Type: BitmapPort}, {Name: SetPrefix + "peers", Type: HashIP},
		{Name: SetPrefix + "limit-tcp", Type: BitmapPort}, {Name: SetPrefix + "limit-udp", Type: BitmapPort},
		{Name: SetPrefix + "keep-tcp", Type: BitmapPort}, {Name: SetPrefix + "keep-udp", Type: BitmapPort},
		{Name: AllowTCP, Type: HashNetPort}, {Name: AllowUDP, Type: HashNetPort},
	}
}

// The sets of the mesh's namespace, which a node has while the record has networks.
const (
	// IdentitySet has the identity of local addresses, as the mark of what they send.
	IdentitySet = SetPrefix + "id"
	// PeerSet has pairs of a local address and an identity that reaches it.
	PeerSet = SetPrefix + "peer"
	// OpenSet has the ports of containers in networks that any node reaches.
	OpenSet = SetPrefix + "open"
	// VIPSet has the VIPs that lead to every port, with their marks for IPVS.
	VIPSet = SetPrefix + "vip"
)

// NetworkSets are those sets.
func NetworkSets() []Set {
	return []Set{
		{NS: Mesh, Name: IdentitySet, Type: HashIPSkbinfo}, {NS: Mesh, Name: PeerSet, Type: HashIPMark},
		{NS: Mesh, Name: OpenSet, Type: HashIPPort}, {NS: Mesh, Name: VIPSet, Type: HashIPSkbinfo},
	}
}

// AllowTCP and AllowUDP are the sets of type HashNetPort: a member's protocol is its set's.
const (
	AllowTCP = SetPrefix + "allow-tcp"
	AllowUDP = SetPrefix + "allow-udp"
)

// MaxPairs is how many pairs of VIPs there may be (mesh.MaxVIPs).
const MaxPairs = 16

const (
	listenPrefix     = SetPrefix + "listen-"
	listenHostPrefix = listenPrefix + "host-"
	allowPrefix      = SetPrefix + "allow-"
)

// ListenSet has the addresses of the host at which ports are open that have the pair of
// VIPs: ingress ports, with udp ports in host mode, or host-mode tcp ports.
func ListenSet(pair uint8, hostMode bool) string {
	if hostMode {
		return listenHostPrefix + strconv.Itoa(int(pair))
	}
	return listenPrefix + strconv.Itoa(int(pair))
}

// AllowSet has who may connect to the ports of a pair of VIPs that is not 0.
func AllowSet(pair uint8) string { return allowPrefix + strconv.Itoa(int(pair)) }

// SetsByAddress are those of a node which leads to so many pairs of VIPs by the address
// that a client connects to. Most nodes have none.
func SetsByAddress(pairs int) (sets []Set) {
	for pair := range uint8(pairs) {
		sets = append(sets, Set{Name: ListenSet(pair, false), Type: HashNetPort}, Set{Name: ListenSet(pair, true), Type: HashNetPort})
		if pair > 0 {
			sets = append(sets, Set{Name: AllowSet(pair), Type: HashNetPort})
		}
	}
	return sets
}

// PairOfSet is the pair of VIPs that the set is for; false for the sets of no pair. The
// members of those that have one are of several protocols.
func PairOfSet(name string) (pair uint8, ok bool) {
	for _, prefix := range []string{listenHostPrefix, listenPrefix, allowPrefix} {
		if digits, is := strings.CutPrefix(name, prefix); is {
			n, err := strconv.ParseUint(digits, 10, 8)
			return uint8(n), err == nil && n < MaxPairs
		}
	}
	return 0, false
}

// IsListenSet says that members of the set let traffic in by address.
func IsListenSet(name string) bool { return strings.HasPrefix(name, listenPrefix) }

// SetNames is every set that each node has.
func SetNames() (names []string) {
	for _, set := range Sets() {
		names = append(names, set.Name)
	}
	return names
}

// Key implements Object.
func (s Set) Key() Key { return Key{Kind: KindSet, NS: s.NS, Name: s.Name} }
func (s Set) String() string {
	text := fmt.Sprintf("ipset %s (%s)", s.Name, s.Type)
	if s.NS == Mesh {
		text += " (" + s.NS.String() + ")"
	}
	return faulty(text, s.Fault)
}

// Parent implements Object.
func (s Set) Parent() Key { return parentOf(s.NS, "") }

// Missing implements Object.
func (s Set) Missing() string { return missing(s) }

// Extra implements Object.
func (s Set) Extra() string { return extra("an", s) }

// Differs implements Object.
func (s Set) Differs(have Object) string { return differs(s, have) }

func (s Set) fault() string { return s.Fault }
