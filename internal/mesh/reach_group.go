package mesh

import (
	"cmp"
	"maps"
	"slices"
)

// role is what the object of a group does in each of its failures.
type role uint8

const (
	receives role = iota // the others send to it
	between              // both ways, or the direction is not known
	sends                // it sends to the others
	everyone             // there is no object: no two nodes, both ways
)

// blame is a node and a role that failures can be put down to. The detail keeps
// failures apart that are told in different words.
type blame struct {
	node   string
	role   role
	detail string
}

// group is failures of one cause that one sentence tells.
type group struct {
	cause  cause
	object string // a node's name, "" when the role is everyone
	role   role
	detail string
	peers  []string // the other ends, sorted
	size   int      // tooLarge: the smallest that passes
	heard  []string // silent: those whose packets arrive all the same
	pinged bool     // silent: all answer a ping
}

// suspects are whom a failure can be put down to.
func (f *failure) suspects() []blame {
	switch {
	case f.cause == notSent, f.cause == source:
		return []blame{{f.from, sends, f.detail}}
	case f.cause == firewall:
		return []blame{{f.to, receives, ""}}
	case f.both:
		return []blame{{f.from, between, ""}, {f.to, between, ""}}
	default:
		return []blame{{f.to, receives, ""}, {f.from, sends, ""}}
	}
}

func (f *failure) other(node string) string {
	if f.from == node {
		return f.to
	}
	return f.from
}

// groups puts failures of one cause down to as few nodes as explain them: again
// and again the one is taken that fails with the largest part of its peers.
func (r *reach) groups(failures []failure) []group {
	if g, ok := r.allOf(failures); ok {
		return []group{g}
	}
	var groups []group
	for len(failures) > 0 {
		counts := map[blame]int{}
		for i := range failures {
			for _, s := range failures[i].suspects() {
				counts[s]++
			}
		}
		worst := slices.MaxFunc(slices.Collect(maps.Keys(counts)), func(a, b blame) int { return r.compare(a, b, counts) })
		g := group{cause: failures[0].cause, object: worst.node, role: worst.role, detail: worst.detail, pinged: true}
		var left []failure
		for i := range failures {
			f := &failures[i]
			if !slices.Contains(f.suspects(), worst) {
				left = append(left, *f)
				continue
			}
			g.size = smaller(g.size, f.size)
			g.pinged = g.pinged && f.pinged
			if f.heard {
				g.heard = append(g.heard, f.to)
			}
			g.peers = append(g.peers, f.other(worst.node))
		}
		slices.Sort(g.peers)
		slices.Sort(g.heard)
		g.heard = slices.Compact(g.heard)
		groups, failures = append(groups, g), left
	}
	return groups
}

// allOf takes failures together that are of every pair of three or more nodes: a
// port that nobody has opened yet, a network that carries less than its links.
func (r *reach) allOf(failures []failure) (group, bool) {
	g := group{cause: failures[0].cause, role: everyone}
	n := len(r.rec.Nodes)
	if n < 3 || len(failures) != n*(n-1)/2 {
		return g, false
	}
	for _, f := range failures {
		if !f.both {
			return g, false
		}
		g.size = smaller(g.size, f.size)
	}
	return g, true
}

// smaller is of two sizes, of which 0 is none.
func smaller(a, b int) int {
	if a == 0 {
		return b
	}
	return min(a, b)
}

// compare says who is more to blame. Of the two ends of a single pair it is the
// one that receives, or that nobody could ask.
func (r *reach) compare(a, b blame, counts map[blame]int) int {
	return cmp.Or(
		cmp.Compare(counts[a]*r.tested[b.node], counts[b]*r.tested[a.node]),
		cmp.Compare(counts[a], counts[b]),
		-cmp.Compare(a.role, b.role),
		cmp.Compare(r.notAsked(a.node), r.notAsked(b.node)),
		-cmp.Compare(a.node, b.node),
		-cmp.Compare(a.detail, b.detail),
	)
}

func (r *reach) notAsked(node string) int {
	if r.reports[node] == nil {
		return 1
	}
	return 0
}
