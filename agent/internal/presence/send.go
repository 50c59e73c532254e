package presence

import (
	"net/netip"
	"time"
)

// active says that there is to be a socket, and on which address.
func (t *table) active() (netip.Addr, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.roll.Nodes[t.roll.Self].Address, t.roll.active()
}

// sends: nothing is said before Fill says what.
func (t *table) sends() bool { return t.listening && t.fillKnown && t.roll.active() }

// send returns a datagram and the addresses that it is due for, and takes it for sent.
func (t *table) send(now time.Time) ([]byte, []netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.judge(now)
	if !t.sends() {
		return nil, nil
	}
	all := t.rounds.take(now)
	interval := intervalOf(len(t.peers))
	var to []netip.Addr
	for _, p := range t.peers {
		due := !p.due.After(now)
		if due {
			p.due = nextDue(t.epoch, now, interval, p.phase)
		}
		if due || all {
			to = append(to, p.Address)
		}
	}
	if len(to) == 0 {
		return nil, nil
	}
	t.sequence++
	d := datagram{uid: t.uid, block: t.roll.Nodes[t.roll.Self].Block, instance: t.instance, sequence: t.sequence, filled: t.own}
	return d.encode(), to
}

// wait is for how long nothing is due, at most limit.
func (t *table) wait(now time.Time, limit time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.sends() {
		return limit
	}
	if t.rounds.left > 0 {
		limit = min(limit, t.rounds.next.Sub(now))
	}
	for _, p := range t.peers {
		limit = min(limit, p.due.Sub(now))
	}
	return max(0, limit)
}
