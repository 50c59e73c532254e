package presence

import (
	"slices"
	"time"
)

// peer is another node and what it has said.
type peer struct {
	Member

	known  bool     // it has said something
	filled []uint16 // what it said last, slots that this node's record lacks included
	heard  time.Duration
	silent bool // until it is heard again

	current speaker
	former  []speaker // the last ones, newest last

	phase time.Duration // its place in the interval
	due   time.Time     // when it is sent to next
}

// speaker is one start of the peer's agent.
type speaker struct{ instance, sequence uint64 }

// maxFormer is how many earlier starts of an agent are remembered, by which a late
// datagram is told from a new start.
const maxFormer = 4

// accept says that s is newer than all that was heard, and notes it. quiet is for how
// long the current instance has said nothing.
//
// A former instance is ignored, unless the current one has been quiet for half of
// the silence time. Otherwise a late datagram of an instance that was never heard
// before would shut out the one that runs, for good.
func (p *peer) accept(s speaker, quiet, silence time.Duration) bool {
	if p.known && s.instance == p.current.instance {
		if s.sequence <= p.current.sequence {
			return false
		}
		p.current = s
		return true
	}
	is := func(f speaker) bool { return f.instance == s.instance }
	if i := slices.IndexFunc(p.former, is); i >= 0 {
		if s.sequence <= p.former[i].sequence || quiet < silence/2 {
			return false
		}
		p.former = slices.Delete(p.former, i, i+1)
	}
	if p.known {
		p.former = append(p.former, p.current)
		p.former = p.former[max(0, len(p.former)-maxFormer):]
	}
	p.current, p.known = s, true
	return true
}
