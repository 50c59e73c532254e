package presence

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// maxStep is how much of the time between two calls counts as listening. An agent
// that was stopped or starved has not listened, and its peers were not silent.
const maxStep = time.Second

// table is what is known of the slots of all nodes, and when to say what of this
// node's. It has no clock and no socket.
type table struct {
	changed chan struct{} // buffered: absent may have changed

	mu     sync.Mutex
	roll   Roll
	uid    uidHash
	peers  map[string]*peer
	byAddr map[netip.Addr]*peer

	// Silence is measured in time with a socket: listened is how much there was.
	listening bool
	listened  time.Duration
	last      time.Time // when listened was brought up to date

	filled    map[netip.Addr]bool
	fillKnown bool // Fill was called
	own       []uint16

	epoch    time.Time
	instance uint64
	sequence uint64
	rounds   rounds

	refusals refusals
}

// refusals counts datagrams that were not taken, by reason.
type refusals struct{ Malformed, Outsiders, Mismatches uint64 }

func newTable(instance uint64, now time.Time) *table {
	return &table{changed: make(chan struct{}, 1), instance: instance, epoch: now, last: now}
}

// keep replaces the roll; false if it is the same. What nodes said that stay in it
// stays known.
func (t *table) keep(r Roll, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.equal(t.roll) {
		return false
	}
	t.judge(now)
	old := t.peers
	if r.UID != t.roll.UID {
		old = nil
	}
	t.roll, t.uid = r.clone(), hashUID(r.UID)
	t.peers, t.byAddr = map[string]*peer{}, map[netip.Addr]*peer{}
	if t.roll.active() {
		t.meet(old, now)
	}
	t.update(now)
	signal(t.changed)
	return true
}

// meet makes the other nodes of the roll the peers. A new one is sent to at once.
func (t *table) meet(old map[string]*peer, now time.Time) {
	for name, m := range t.roll.Nodes {
		if name == t.roll.Self || !m.valid() {
			continue
		}
		p := old[name]
		if p == nil || !p.sameNode(m) {
			p = &peer{heard: t.listened, due: now}
		}
		p.Member = m
		t.peers[name], t.byAddr[m.Address] = p, p
	}
	interval, n := intervalOf(len(t.peers)), time.Duration(len(t.peers))
	for i, name := range slices.Sorted(maps.Keys(t.peers)) {
		p := t.peers[name]
		p.phase = interval * time.Duration(i) / n
		if next := nextDue(t.epoch, now, interval, p.phase); next.Before(p.due) {
			p.due = next
		}
	}
}

// fill replaces what is filled of this node's slots; false if nothing changes.
func (t *table) fill(filled map[netip.Addr]bool, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := !t.fillKnown
	t.filled, t.fillKnown = maps.Clone(filled), true
	if !t.update(now) && !first {
		return false
	}
	signal(t.changed)
	return true
}

// update recomputes what this node says, and has it said if it is new.
func (t *table) update(now time.Time) bool {
	own := t.roll.Nodes[t.roll.Self].offsets(func(a netip.Addr) bool { return t.filled[a] })
	own = own[:min(len(own), maxSlots)]
	if slices.Equal(own, t.own) {
		return false
	}
	t.own = own
	t.rounds.change(now)
	return true
}

// listen says that there is a socket from now on, or none.
func (t *table) listen(yes bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if yes == t.listening {
		return
	}
	t.judge(now)
	if t.listening = yes; yes {
		t.rounds.change(now) // peers may have missed what was said meanwhile
	}
}

// judge brings the time that was listened up to date, and finds who is silent.
func (t *table) judge(now time.Time) {
	if t.listening {
		t.listened += min(max(0, now.Sub(t.last)), maxStep)
	}
	t.last = now
	silence := silenceOf(len(t.peers))
	for _, p := range t.peers {
		if !p.silent && t.listened-p.heard >= silence {
			p.silent = true
			signal(t.changed)
		}
	}
}

// absent is what Presence.Absent returns.
func (t *table) absent(now time.Time) map[netip.Addr]bool { return t.missing(now, true) }

// missing are the slots that are not filled, those of nodes that are not heard included or not.
func (t *table) missing(now time.Time, ofSilent bool) map[netip.Addr]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.judge(now)
	absent := map[netip.Addr]bool{}
	if !t.roll.active() {
		return absent
	}
	if t.fillKnown {
		addMissing(absent, t.roll.Nodes[t.roll.Self], t.own)
	}
	for _, p := range t.peers {
		if p.silent {
			if ofSilent {
				addMissing(absent, p.Member, nil)
			}
		} else if p.known {
			addMissing(absent, p.Member, p.filled)
		}
	}
	return absent
}

// addMissing adds the slots of m that are not in a list of offsets.
func addMissing(absent map[netip.Addr]bool, m Member, filled []uint16) {
	for _, a := range m.Slots {
		if !contains(m.Block, filled, a) {
			absent[a] = true
		}
	}
}

// report is what Presence.Heard returns.
func (t *table) report(now time.Time) map[string]Heard {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.judge(now)
	heard := make(map[string]Heard, len(t.peers)+1)
	if !t.roll.active() {
		return heard
	}
	heard[t.roll.Self] = Heard{Filled: t.roll.Nodes[t.roll.Self].said(t.own), Known: t.fillKnown}
	for name, p := range t.peers {
		heard[name] = Heard{Filled: p.said(p.filled), Silent: p.silent, Known: p.known}
	}
	return heard
}
