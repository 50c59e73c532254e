package mesh

import (
	"maps"
	"slices"
)

// Reach says what keeps nodes from each other on the overlay: for every pair and
// direction that fails, which, the likely cause and what to do, with the node
// that is at fault or cannot be reached as the object (the cluster where every
// pair fails alike). The reports are what the
// nodes answered to probes of the same moment, by the node's name; a node that
// was not asked is left out (or nil), and less can be said of it. What fails for
// one cause is one sentence, however many pairs it concerns. The result is
// sorted, and empty when all that was tried goes through.
func Reach(rec *Record, reports map[string]*ProbeResponse) []Problem {
	r := &reach{rec: rec, reports: reports, full: rec.MTU(), tested: map[string]int{}}
	names := rec.NodeNames()
	for i, a := range names {
		for _, b := range names[i+1:] {
			r.pair(a, b)
		}
	}
	return r.problems()
}

// cause is why a direction fails, in the order in which they are told.
type cause uint8

const (
	notSent  cause = iota // from could not send at all
	underlay              // not even a ping to the underlay address is answered
	source                // arrives, but from another address than from's
	firewall              // arrives on the links of to, but not in its mesh
	filtered              // never arrives on the links of to
	silent                // no answer, and to was not asked what it sees
	tooLarge              // small packets pass, large ones do not
	pieces                // large packets pass in pieces: fragments of the outer packet
)

// reachCodes are the causes on the wire.
var reachCodes = [...]ProblemCode{
	notSent: ProblemNotSent, underlay: ProblemUnderlay, source: ProblemSource, firewall: ProblemFirewall,
	filtered: ProblemFiltered, silent: ProblemSilent, tooLarge: ProblemTooLarge, pieces: ProblemPieces,
}

// failure is one direction that fails; with both it stands for the way back too.
type failure struct {
	cause    cause
	from, to string
	both     bool
	detail   string // notSent: the error; source: the addresses seen instead
	size     int    // tooLarge, pieces: what passes whole, in bytes

	heard, pinged bool // silent: packets of to arrive at from; it answers a ping
}

type reach struct {
	rec      *Record
	reports  map[string]*ProbeResponse
	full     int
	failures []failure
	tested   map[string]int // pairs that somebody has a report of, by node
}

func (r *reach) report(of, about string) *PeerProbe {
	if r.reports[of] == nil {
		return nil
	}
	p, ok := r.reports[of].Peers[about]
	if !ok {
		return nil
	}
	return &p
}

// pair judges two nodes. An echo that comes back has gone both ways, so one that
// came back at full size clears the pair.
func (r *reach) pair(a, b string) {
	A, B := r.report(a, b), r.report(b, a)
	if A == nil && B == nil {
		return
	}
	r.tested[a]++
	r.tested[b]++
	aStuck, bStuck := r.cannotSend(a, b, A), r.cannotSend(b, a, B)
	switch {
	case aStuck || bStuck:
	case r.piecesOf(a, b, A, B):
	case A != nil && A.Answered >= r.full, B != nil && B.Answered >= r.full:
	case A != nil && B != nil:
		r.direction(a, b, A, B)
		r.direction(b, a, B, A)
	case A != nil:
		r.oneSided(a, b, A)
	default:
		r.oneSided(b, a, B)
	}
}

// piecesOf judges both directions by what each end saw.
func (r *reach) piecesOf(a, b string, ofA, ofB *PeerProbe) bool {
	there, back := r.inPieces(b, a, ofA), r.inPieces(a, b, ofB)
	return there || back
}

// inPieces judges what the one end saw of the other one's packets.
func (r *reach) inPieces(from, to string, received *PeerProbe) bool {
	if received == nil || received.Whole == 0 || received.Whole >= r.full {
		return false
	}
	r.add(failure{cause: pieces, from: from, to: to, size: received.Whole})
	return true
}

func (r *reach) cannotSend(from, to string, p *PeerProbe) bool {
	if p == nil || p.Error == "" {
		return false
	}
	r.failures = append(r.failures, failure{cause: notSent, from: from, to: to, detail: p.Error})
	return true
}

// direction judges what from sends, when both ends have said what they saw.
func (r *reach) direction(from, to string, sent, received *PeerProbe) {
	f := failure{from: from, to: to}
	switch passes := max(sent.Answered, received.Answered, received.Heard); {
	case passes >= r.full:
		return
	case passes > 0:
		f.cause, f.size = tooLarge, passes
	case len(received.Wire) > 0:
		r.onTheWire(&f, received)
	case sent.Underlay || received.Underlay:
		f.cause = filtered
	default:
		f.cause = underlay
	}
	r.add(f)
}

// oneSided judges a pair of which only near has said what it saw.
func (r *reach) oneSided(near, far string, p *PeerProbe) {
	f := failure{from: near, to: far}
	switch {
	case p.Answered > 0:
		f.cause, f.size, f.both = tooLarge, p.Answered, true
	case p.Heard > 0: // the way here is open, so it is the way there
		f.cause, f.both, f.heard, f.pinged = silent, true, true, p.Underlay
	case len(p.Wire) > 0:
		f.from, f.to = far, near
		r.onTheWire(&f, p)
	case p.Underlay:
		f.cause, f.both, f.pinged = silent, true, true
	default:
		f.cause, f.both = underlay, true
	}
	r.add(f)
}

// onTheWire tells apart what came to the links of to and was not let in.
func (r *reach) onTheWire(f *failure, received *PeerProbe) {
	f.cause = firewall
	if !slices.Contains(received.Wire, r.rec.Nodes[f.from].Address) {
		f.cause, f.detail = source, addresses(received.Wire)
	}
}

// add joins the two directions of a pair that fail for the same cause. What an
// end does wrong by itself stays a direction: it is that end's sentence.
func (r *reach) add(f failure) {
	if n := len(r.failures); n > 0 && f.cause != source && f.cause != firewall {
		last := &r.failures[n-1]
		if last.cause == f.cause && last.from == f.to && last.to == f.from {
			last.both, last.size = true, min(last.size, f.size)
			return
		}
	}
	r.failures = append(r.failures, f)
}

// problems puts one sentence to each group of failures.
func (r *reach) problems() []Problem {
	byCause := map[cause][]failure{}
	for _, f := range r.failures {
		byCause[f.cause] = append(byCause[f.cause], f)
	}
	var problems []Problem
	for _, c := range slices.Sorted(maps.Keys(byCause)) {
		for _, g := range r.groups(byCause[c]) {
			o := ClusterRef
			if g.role != everyone {
				o = NodeRef(g.object)
			}
			problems = append(problems, Problem{Code: reachCodes[c], Object: o, Part: someOf(g.peers), Text: r.sentence(g)})
		}
	}
	SortProblems(problems)
	return problems
}
