package presence

import (
	"errors"
	"net/netip"
	"slices"
	"time"
)

var (
	// errStranger is no sign of a fault: during a commit other nodes may have a newer
	// record.
	errStranger = errors.New("from an address that is of no other node of the record")
	errMismatch = errors.New("of another cluster, or of another node than the address's")
)

// receive takes what has arrived from an address. The error is why it was refused;
// datagrams that are late or came twice are ignored without one.
func (t *table) receive(from netip.Addr, data []byte, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.byAddr[from]
	if p == nil {
		t.refusals.Outsiders++
		return errStranger
	}
	d, err := decode(data)
	if err != nil {
		t.refusals.Malformed++
		return err
	}
	if d.uid != t.uid || d.block != p.Block.Masked() {
		t.refusals.Mismatches++
		return errMismatch
	}
	t.judge(now)
	if p.accept(speaker{d.instance, d.sequence}, t.listened-p.heard, silenceOf(len(t.peers))) {
		t.take(p, d.filled)
	}
	return nil
}

// take notes what p said.
func (t *table) take(p *peer, filled []uint16) {
	p.heard = t.listened
	if p.filled != nil && !p.silent && slices.Equal(filled, p.filled) {
		return
	}
	p.filled, p.silent = append([]uint16{}, filled...), false // not nil: something was said
	signal(t.changed)
}

func (t *table) refused() refusals {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refusals
}
