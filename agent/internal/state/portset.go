package state

import (
	"fmt"
	"maps"
	"math/bits"
	"strings"
)

// The kernel lists a set of ports port by port, the record asks for ranges, which may overlap
// among those on which endpoints answer. So what is there is kept as one bit for each port,
// and compared with what is asked for: a range that is there is one object, and so is one of
// which something is missing.

// PortSets are the ports that sets have, by the sets' names.
type PortSets map[string]*portSet

// portSet has a bit for each port.
type portSet [1 << 10]uint64

func (s *portSet) has(port uint16) bool { return s[port>>6]&(1<<(port&63)) != 0 }

// Add notes the port, or all of the range.
func (p PortSets) Add(m SetMember) {
	s := p[m.Set]
	if s == nil {
		s = new(portSet)
		p[m.Set] = s
	}
	for port := int(m.Port); port <= int(m.last()); port++ {
		s[port>>6] |= 1 << (port & 63)
	}
}

// remove takes the port, or all of the range, out.
func (p PortSets) remove(m SetMember) {
	s := p[m.Set]
	if s == nil {
		return
	}
	for port := int(m.Port); port <= int(m.last()); port++ {
		s[port>>6] &^= 1 << (port & 63)
	}
}

// minRun is how many neighbours are one range in what a set has: fewer may be ports that have
// been published one by one.
const minRun = 16

// Put puts the ports into a state, many that are neighbours as one range.
func (p PortSets) Put(into State) {
	for name, s := range p {
		s.runs(0, 1<<16-1, func(first, last uint16) {
			if int(last)-int(first) >= minRun {
				into.Put(SetMember{Set: name, Port: first, Last: last})
				return
			}
			for port := int(first); port <= int(last); port++ {
				into.Put(SetMember{Set: name, Port: uint16(port)})
			}
		})
	}
}

// runs shows the ports between two, neighbours together.
func (s *portSet) runs(from, to uint16, run func(first, last uint16)) {
	port, end := int(from), int(to)
	for port <= end {
		if word := s[port>>6] >> (port & 63); word == 0 {
			port = (port>>6 + 1) << 6
			continue
		} else {
			port += bits.TrailingZeros64(word)
		}
		first := port
		for port <= end && s.has(uint16(port)) {
			port++
		}
		if first <= end {
			run(uint16(first), uint16(port-1))
		}
	}
}

// lacks says which ports of the range are not there: all says that none is.
func (p PortSets) lacks(m SetMember) (text string, all bool) {
	const most = 5
	there := p[m.Set]
	if there == nil {
		return "", true
	}
	var missing portSet
	n := 0
	for port := int(m.Port); port <= int(m.last()); port++ {
		if !there.has(uint16(port)) {
			missing[port>>6] |= 1 << (port & 63)
			n++
		}
	}
	if n == 0 || n == m.Size() {
		return "", n > 0
	}
	var parts []string
	missing.runs(m.Port, m.last(), func(first, last uint16) { parts = append(parts, portsText(first, last)) })
	if len(parts) > most {
		parts = append(parts[:most], "others")
	}
	return strings.Join(parts, ", "), false
}

// portsText is "10000" or "10000-10999".
func portsText(first, last uint16) string {
	if first == last {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d-%d", first, last)
}

// align returns what is observed in terms of what is desired: each range that is desired is
// there, or there with what it lacks; the rest of the ports is what nothing asks for, so that
// its removal takes no port from another member.
func align(desired, observed State) State {
	if !hasRanges(desired) && !hasRanges(observed) {
		return observed
	}
	there, aligned := PortSets{}, make(State, len(observed))
	for key, o := range observed {
		if m, ok := o.(SetMember); ok && m.isPort() {
			there.Add(m)
		} else {
			aligned[key] = o
		}
	}
	rest := PortSets{}
	for name, s := range there {
		copied := *s
		rest[name] = &copied
	}
	for key, o := range desired {
		m, ok := o.(SetMember)
		if !ok || !m.isPort() {
			continue
		}
		lacks, all := there.lacks(m)
		if !all {
			m.Lacks = lacks
			aligned[key] = m
		}
		rest.remove(m)
	}
	others := State{}
	rest.Put(others)
	maps.Copy(aligned, others)
	return aligned
}

func hasRanges(s State) bool {
	for key := range s {
		if key.Kind == KindSetMember && key.Sub>>lastShift != 0 {
			return true
		}
	}
	return false
}
