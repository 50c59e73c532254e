package meshtest

import (
	"slices"
	"sync"
)

// gauge counts what is under way and keeps the highest count.
type gauge struct {
	mu       sync.Mutex
	now, max int
}

func (g *gauge) add(by int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += by
	g.max = max(g.max, g.now)
}

func (g *gauge) highest() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.max
}

// cut is a connection that breaks at the next call of a path.
type cut struct {
	path  string
	after bool
}

// hold stops calls of a path until it is released.
type hold struct {
	path     string
	arrived  chan struct{} // one value per call that waits
	released chan struct{}
}

// CutNext breaks the host's connections at the next call of path: before the
// agent has seen it, or after it was carried out and before the answer.
func (n *Node) CutNext(path string, after bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts = append(n.cuts, cut{path, after})
}

// Hold stops calls of path before the agent sees them. arrived receives once
// per call that waits; release lets them and all later ones go on.
func (n *Node) Hold(path string) (arrived <-chan struct{}, release func()) {
	h := &hold{path, make(chan struct{}, 1000), make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.holds = append(n.holds, h)
	return h.arrived, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if i := slices.Index(n.holds, h); i >= 0 {
			n.holds = slices.Delete(n.holds, i, i+1)
			close(h.released)
		}
	}
}

// before logs a call and lets it meet its fate; false means that the
// connection is to break here.
func (n *Node) before(r Request) bool {
	n.mu.Lock()
	n.requests = append(n.requests, r)
	broken := n.takeCut(r.Path, false)
	var held *hold
	for _, h := range n.holds {
		if h.path == r.Path {
			held = h
		}
	}
	n.mu.Unlock()
	if held != nil {
		held.arrived <- struct{}{}
		<-held.released
	}
	return !broken
}

// after is called when the agent has carried out the call.
func (n *Node) after(r Request) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.takeCut(r.Path, true)
}

func (n *Node) takeCut(path string, after bool) bool {
	i := slices.Index(n.cuts, cut{path, after})
	if i < 0 {
		return false
	}
	n.cuts = slices.Delete(n.cuts, i, i+1)
	return true
}
