package selftest

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/probe"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// How often a peer is sent an echo, and when it counts as lost. A peer that answers
// now and then is not lost: what matters to a plan is whether traffic flows.
const (
	// echoInterval is the time between two echoes to a peer, unless there are so many
	// peers that more than one echo would go each echoSpacing.
	echoInterval = 2 * time.Second
	echoSpacing  = 20 * time.Millisecond
	// lostAfter echoes without an answer a peer is lost, after backAfter answers it is
	// back.
	lostAfter = 4
	backAfter = 2
	// largeInterval is the time between two echoes of the overlay's full size,
	// largeRetry that between two while they are lost.
	largeInterval = 3 * time.Minute
	largeRetry    = 10 * time.Second
	// largeLostAfter of them without an answer, while small ones are answered, large
	// packets are lost.
	largeLostAfter = 3
	// probeAgain is how long what a probe has found of a lost peer holds. maxProbed peers
	// are probed at once, which bounds the packets of a probe.
	probeAgain = time.Minute
	maxProbed  = 32
)

// peer is another node and what is known of the way to it.
type peer struct {
	name string
	addr netip.Addr
	due  time.Time

	waiting bool // the last echo has no answer yet
	missed  int  // echoes in a row without an answer
	answers int  // answers in a row
	lost    bool

	largeDue     time.Time
	phase        time.Duration // beyond half of largeInterval: the first time less, so that they are spread
	largeWaiting bool
	largeMissed  int
	largeAnswers int
	largeLost    bool

	heard, heardLarge time.Time // the peer's own echoes
	since             time.Time // since when it is lost, or large packets are

	found    *mesh.PeerProbe // what a probe has found since then
	probed   time.Time
	answered bool // since the agent started
}

// failing says that a probe is to find out why.
func (p *peer) failing() bool { return p.lost || p.largeLost }

// echo is one to send.
type echo struct {
	to   *peer
	addr netip.Addr
	size int
}

// table is what is known of all peers. Its methods may be called from several
// goroutines.
type table struct {
	mu       sync.Mutex
	rec      *mesh.Record
	node     string
	full     int
	interval time.Duration
	peers    []*peer // in the order in which they are due
	next     int
	byAddr   map[netip.Addr]*peer
	byName   map[string]*peer
	now      func() time.Time
}

// keep makes the peers those of rec. A node that drains may be taken down at any
// time, so it is not tested, and does not test.
func (t *table) keep(rec *mesh.Record, node string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if rec == t.rec && node == t.node {
		return
	}
	old := t.byName
	t.rec, t.node, t.next, t.peers = rec, node, 0, nil
	t.byAddr, t.byName = map[netip.Addr]*peer{}, map[string]*peer{}
	if rec == nil || rec.Nodes[node] == nil || !rec.Nodes[node].Serving() {
		return
	}
	if full := rec.MTU(); full != t.full {
		t.full, old = full, nil // what is known of large packets is of another size
	}
	for _, name := range rec.NodeNames() {
		n := rec.Nodes[name]
		if name == node || !n.Serving() {
			continue
		}
		p := old[name]
		if p == nil || p.addr != n.MeshAddress() {
			p = &peer{name: name, addr: n.MeshAddress()}
		}
		t.peers = append(t.peers, p)
		t.byAddr[p.addr], t.byName[name] = p, p
	}
	t.spread()
}

// spread has one echo go after the other.
func (t *table) spread() {
	n := time.Duration(max(1, len(t.peers)))
	t.interval = max(echoInterval, time.Duration(len(t.peers))*echoSpacing)
	now := t.now()
	for i, p := range t.peers {
		p.due = now.Add(t.interval * time.Duration(i) / n)
		const stride = 618 // neighbours in the list are far from each other
		p.phase = largeInterval / 2 * (time.Duration(i) * stride % 1000) / 1000
	}
}

// send lists the echoes that are due, and takes them for sent.
func (t *table) send() []echo {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	var echoes []echo
	for range t.peers {
		p := t.peers[t.next]
		if p.due.After(now) {
			break
		}
		t.next = (t.next + 1) % len(t.peers)
		p.due = p.due.Add(t.interval)
		if p.due.Before(now) { // the agent has slept
			p.due = now.Add(t.interval)
		}
		echoes = append(echoes, echo{p, p.addr, min(probe.Smallest, t.full)})
		if t.small(p, now); t.large(p, now) {
			echoes = append(echoes, echo{p, p.addr, t.full})
		}
	}
	return echoes
}

// small notes that the echo before this one has or has not been answered.
func (t *table) small(p *peer, now time.Time) {
	if p.waiting {
		p.answers = 0
		if p.missed++; p.missed >= lostAfter && !p.lost {
			p.lost, p.since, p.found = true, now, nil
			p.largeDue, p.largeWaiting, p.largeMissed, p.largeLost = time.Time{}, false, 0, false
		}
	}
	p.waiting = true
}

// large says whether one of full size goes with the small one.
func (t *table) large(p *peer, now time.Time) bool {
	if p.lost || p.answers == 0 || now.Before(p.largeDue) {
		return false
	}
	if p.largeWaiting {
		p.largeAnswers = 0
		if p.largeMissed++; p.largeMissed >= largeLostAfter && !p.largeLost {
			p.largeLost, p.since, p.found = true, now, nil
		}
	}
	p.largeWaiting = true
	p.largeDue = now // again with the next small one, until it is answered
	if p.largeLost {
		p.largeDue = now.Add(largeRetry)
	}
	return true
}

// unsent takes back an echo that this node could not send for want of its own
// mesh: it says nothing of the peer.
func (t *table) unsent(e echo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.size >= t.full {
		e.to.largeWaiting = false
	} else {
		e.to.waiting = false
	}
}

// take notes an echo that has arrived.
func (t *table) take(h probe.Heard) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.byAddr[h.From]
	if p == nil {
		return
	}
	now, large := t.now(), h.Size >= t.full
	switch {
	case h.Request && large:
		p.heard, p.heardLarge = now, now
	case h.Request:
		p.heard = now
	case large:
		p.largeWaiting, p.largeMissed = false, 0
		if p.largeAnswers++; p.largeLost && p.largeAnswers < backAfter {
			p.largeDue = now
			return
		}
		p.largeLost, p.largeDue = false, now.Add(largeInterval/2+p.phase) // those of all peers began at the same time
		p.phase = largeInterval / 2
	default:
		p.waiting, p.missed, p.answered = false, 0, true
		if p.answers++; p.answers >= backAfter {
			p.lost = false
		}
	}
}

// toProbe names the peers that a probe is to be made of, those first of which
// nothing is known.
func (t *table) toProbe() (rec *mesh.Record, node string, names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var again []string
	for _, p := range t.peers {
		switch {
		case !p.failing():
		case p.found == nil && t.now().Sub(p.probed) >= largeRetry: // one that ended with an error is not tried all the time
			names = append(names, p.name)
		case p.found != nil && t.now().Sub(p.probed) >= probeAgain:
			again = append(again, p.name)
		}
	}
	names = append(names, again...)
	return t.rec, t.node, names[:min(len(names), maxProbed)]
}

// probed notes what a probe of rec has found of the named peers; resp is nil when
// there was none.
func (t *table) probed(rec *mesh.Record, names []string, resp *mesh.ProbeResponse) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range names {
		p := t.byName[name]
		if p == nil || t.rec.Nodes[name].Address != rec.Nodes[name].Address {
			continue
		}
		p.probed = t.now()
		if resp == nil {
			continue
		}
		if found, ok := resp.Peers[name]; ok && p.failing() {
			p.found = &found
		}
	}
}

// report is what the node sees of the peers that it does not reach, or not with
// large packets; nil when there are none. A peer shows up once a probe has found
// out more.
func (t *table) report() map[string]mesh.PeerProbe {
	t.mu.Lock()
	defer t.mu.Unlock()
	var failing map[string]mesh.PeerProbe
	for _, p := range t.peers {
		if !p.failing() || p.found == nil || p.found.Answered >= t.full {
			continue // or it is on its way back
		}
		if failing == nil {
			failing = map[string]mesh.PeerProbe{}
		}
		seen := *p.found
		seen.Heard = t.heard(p)
		seen.Wire = slices.Clone(seen.Wire)
		failing[p.name] = seen
	}
	return failing
}

// heard is what of the peer's own echoes arrives here: they come all the time, so
// that silence says as much as a packet. Of large ones only what has arrived since
// they are lost counts.
func (t *table) heard(p *peer) int {
	now := t.now()
	switch {
	case p.lost && now.Sub(p.heard) < (lostAfter-1)*t.interval+t.interval/2:
		return t.full
	case p.lost:
		return 0
	case p.heardLarge.After(p.since) && now.Sub(p.heardLarge) < probeAgain:
		return t.full
	}
	return min(p.found.Heard, p.found.Answered)
}

// clean says that the node of that name answers now: its last echo too.
func (t *table) clean(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.byName[name]
	return p == nil || !p.lost && !p.largeLost && p.missed == 0 && p.answered
}

// lost says which nodes are lost.
func (t *table) lost() map[string]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	lost := map[string]bool{}
	for _, p := range t.peers {
		if p.lost {
			lost[p.name] = true
		}
	}
	return lost
}

func (t *table) count() (peers, answering int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.peers {
		if p.answered && !p.failing() {
			answering++
		}
	}
	return len(t.peers), answering
}
