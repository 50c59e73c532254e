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

// Parent implements Object.
func (s Set) Parent() Key { return NoParent }

// Missing implements Object.
func (s Set) Missing() string { return missing(s) }

// Extra implements Object.
func (s Set) Extra() string { return extra("an", s) }

// Differs implements Object.
func (s Set) Differs(have Object) string { return differs(s, have) }

func (s Set) fault() string { return s.Fault }
