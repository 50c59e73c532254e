package state

import (
	"fmt"
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
)

// Set is an ipset in the host's namespace.
type Set struct {
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

// AllowTCP and AllowUDP are the sets of type HashNetPort: a member's protocol is its set's.
const (
	AllowTCP = SetPrefix + "allow-tcp"
	AllowUDP = SetPrefix + "allow-udp"
)

// SetNames is every set that a node has.
func SetNames() (names []string) {
	for _, set := range Sets() {
		names = append(names, set.Name)
	}
	return names
}

// Key implements Object.
func (s Set) Key() Key { return Key{Kind: KindSet, Name: s.Name} }
func (s Set) String() string {
	return faulty(fmt.Sprintf("ipset %s (%s)", s.Name, s.Type), s.Fault)
}

// Parent implements Object.
func (s Set) Parent() Key { return NoParent }

// Missing implements Object.
func (s Set) Missing() string { return missing(s) }

// Extra implements Object.
func (s Set) Extra() string { return extra("an", s) }

// Differs implements Object.
func (s Set) Differs(have Object) string { return differs(s, have) }

func (s Set) fault() string { return s.Fault }
