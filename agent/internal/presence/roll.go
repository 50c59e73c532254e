package presence

import (
	"encoding/binary"
	"maps"
	"math"
	"net/netip"
	"slices"
)

// Roll is what the record says of nodes and slots.
type Roll struct {
	UID   string
	Self  string
	Nodes map[string]Member
}

// Member is a node of the Roll.
type Member struct {
	Address netip.Addr // N
	Block   netip.Prefix
	Slots   []netip.Addr // of more than 256 that are filled the last ones count as empty
}

// active says that there is something to say or to hear.
func (r Roll) active() bool {
	if r.Self == "" || !r.Nodes[r.Self].valid() {
		return false
	}
	for _, m := range r.Nodes {
		if len(m.Slots) > 0 {
			return true
		}
	}
	return false
}

func (r Roll) equal(o Roll) bool {
	return r.UID == o.UID && r.Self == o.Self && maps.EqualFunc(r.Nodes, o.Nodes, func(a, b Member) bool {
		return a.sameNode(b) && slices.Equal(a.Slots, b.Slots)
	})
}

// clone: the caller may go on to change its own.
func (r Roll) clone() Roll {
	r.Nodes = maps.Clone(r.Nodes)
	for name, m := range r.Nodes {
		m.Slots = slices.Clone(m.Slots)
		r.Nodes[name] = m
	}
	return r
}

// valid: the wire format is IPv4's.
func (m Member) valid() bool { return m.Address.Is4() && m.Block.IsValid() && m.Block.Addr().Is4() }

// sameNode says that what one said holds for the other.
func (m Member) sameNode(o Member) bool { return m.Address == o.Address && m.Block == o.Block }

// offset is an address's place in a block; false if it has none that can be sent.
func offset(block netip.Prefix, a netip.Addr) (uint16, bool) {
	if !a.Is4() || !block.Contains(a) {
		return 0, false
	}
	first, at := block.Masked().Addr().As4(), a.As4()
	n := binary.BigEndian.Uint32(at[:]) - binary.BigEndian.Uint32(first[:])
	return uint16(n), n <= math.MaxUint16
}

// offsets are the places in the block of those slots that keep accepts, sorted.
func (m Member) offsets(keep func(netip.Addr) bool) []uint16 {
	var list []uint16
	for _, a := range m.Slots {
		if n, ok := offset(m.Block, a); ok && keep(a) {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// said are the slots that are in a sorted list of offsets, in order.
func (m Member) said(list []uint16) []netip.Addr {
	var slots []netip.Addr
	for _, a := range m.Slots {
		if contains(m.Block, list, a) {
			slots = append(slots, a)
		}
	}
	slices.SortFunc(slots, netip.Addr.Compare)
	return slices.Compact(slots)
}

func contains(block netip.Prefix, list []uint16, a netip.Addr) bool {
	n, ok := offset(block, a)
	if !ok {
		return false
	}
	_, found := slices.BinarySearch(list, n)
	return found
}
