package presence

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// rollOf has nodes n1 … with the blocks 10.0.1.0/24 …, N .6 and two slots, .16 and .17.
func rollOf(nodes int, self string) Roll {
	r := Roll{UID: "uid", Self: self, Nodes: map[string]Member{}}
	for i := 1; i <= nodes; i++ {
		at := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), last}) }
		r.Nodes[fmt.Sprintf("n%d", i)] = Member{
			Address: at(6), Block: netip.PrefixFrom(at(0), 24), Slots: []netip.Addr{at(16), at(17)},
		}
	}
	return r
}

func filled(slots ...string) map[netip.Addr]bool {
	m := map[netip.Addr]bool{}
	for _, s := range slots {
		m[addr(s)] = true
	}
	return m
}

// bench is n1's table, its clock, and the other nodes' words.
type bench struct {
	*table
	t   *testing.T
	now time.Time
	seq uint64
}

func newBench(t *testing.T) *bench {
	b := &bench{table: newTable(7, start), t: t, now: start}
	b.keep(rollOf(3, "n1"), b.now)
	b.listen(true, b.now)
	return b
}

// pass has the table called as often as Run does.
func (b *bench) pass(d time.Duration) {
	for end := b.now.Add(d); b.now.Before(end); {
		b.now = b.now.Add(min(tick, end.Sub(b.now)))
		b.absent(b.now)
	}
}

// from is the next datagram of a node's one instance.
func (b *bench) from(node string, offsets ...uint16) datagram {
	b.seq++
	return datagram{uid: hashUID("uid"), block: rollOf(3, "").Nodes[node].Block, instance: 1, sequence: b.seq, filled: offsets}
}

func (b *bench) hear(node string, d datagram) error {
	return b.receive(rollOf(3, "").Nodes[node].Address, d.encode(), b.now)
}

func (b *bench) says(node string, offsets ...uint16) {
	b.t.Helper()
	if err := b.hear(node, b.from(node, offsets...)); err != nil {
		b.t.Errorf("%s is refused: %v", node, err)
	}
}

func (b *bench) want(slots ...string) {
	b.t.Helper()
	if d := diff(filled(slots...), b.absent(b.now)); d != "" {
		b.t.Errorf("absent (-want +got):\n%s", d)
	}
}

// signalled takes the signal.
func (b *bench) signalled() bool {
	select {
	case <-b.changed:
		return true
	default:
		return false
	}
}

func TestTable_Start_NobodyIsAbsent(t *testing.T) {
	b := newBench(t)
	b.want()
	b.pass(4*time.Second - 1)
	b.want()
	b.pass(1)
	b.want("10.0.2.16", "10.0.2.17", "10.0.3.16", "10.0.3.17")
	if h := b.report(b.now)["n2"]; !h.Silent || h.Known {
		t.Errorf("%+v", h)
	}
}

func TestTable_Fill_Own(t *testing.T) {
	b := newBench(t)
	b.fill(filled("10.0.1.17", "10.0.2.16", "192.0.2.1"), b.now) // those of others do not matter
	b.want("10.0.1.16")
	if b.fill(filled("10.0.1.17"), b.now) {
		t.Error("nothing has changed")
	}
	if !b.fill(nil, b.now) {
		t.Error("no change")
	}
	b.want("10.0.1.16", "10.0.1.17")
}

func TestTable_Receive_ChangesAbsent(t *testing.T) {
	b := newBench(t)
	b.signalled()
	for _, step := range []struct {
		says    []uint16
		absent  []string
		changes bool
	}{
		{nil, []string{"10.0.2.16", "10.0.2.17"}, true},
		{nil, []string{"10.0.2.16", "10.0.2.17"}, false},
		{[]uint16{16}, []string{"10.0.2.17"}, true},
		{[]uint16{16, 17}, nil, true},
		{[]uint16{16, 17}, nil, false},
	} {
		b.says("n2", step.says...)
		b.want(step.absent...)
		if got := b.signalled(); got != step.changes {
			t.Errorf("%v: signalled %t", step.says, got)
		}
	}
}

// Slots that this node's record lacks may be in it soon: the other's may be newer.
func TestTable_ForeignOffsets_AreKept(t *testing.T) {
	b := newBench(t)
	b.says("n2", 16, 17, 18)
	b.want()
	if h := b.report(b.now)["n2"]; diff([]netip.Addr{addr("10.0.2.16"), addr("10.0.2.17")}, h.Filled) != "" {
		t.Errorf("%+v", h)
	}
	r := rollOf(3, "n1")
	m := r.Nodes["n2"]
	m.Slots = append(m.Slots, addr("10.0.2.18"), addr("10.0.2.19"))
	r.Nodes["n2"] = m
	b.keep(r, b.now)
	b.want("10.0.2.19")
}

func TestTable_Silence(t *testing.T) {
	b := newBench(t)
	b.says("n2", 16)
	b.says("n3", 16, 17)
	for range 3 {
		b.pass(3 * time.Second)
		b.says("n3", 16, 17)
	}
	b.signalled()
	b.want("10.0.2.16", "10.0.2.17")
	if h := b.report(b.now)["n2"]; !h.Silent || !h.Known || len(h.Filled) != 1 {
		t.Errorf("what it said is forgotten: %+v", h)
	}
	b.says("n2", 16)
	b.want("10.0.2.17")
	if !b.signalled() {
		t.Error("not signalled when the node is back")
	}
}

func TestTable_Silence_IsSignalled(t *testing.T) {
	b := newBench(t)
	b.says("n2", 16)
	b.pass(3 * time.Second)
	b.says("n3", 16)
	b.signalled()
	b.pass(999 * time.Millisecond)
	if b.signalled() {
		t.Error("too early")
	}
	if b.pass(time.Millisecond); !b.signalled() {
		t.Error("not signalled")
	}
}

// A node that has no socket does not hear that others are silent, and does not forget
// that they were.
func TestTable_Deaf_NobodyBecomesSilent(t *testing.T) {
	b := newBench(t)
	b.pass(3 * time.Second)
	b.says("n3", 16, 17)
	b.pass(time.Second)
	silent := []string{"10.0.2.16", "10.0.2.17"}
	b.want(silent...)
	b.listen(false, b.now)
	b.pass(time.Hour)
	b.want(silent...)
	b.listen(true, b.now)
	b.want(silent...)
	b.pass(3*time.Second - 1)
	b.want(silent...)
	b.pass(1)
	b.want(append(silent, "10.0.3.16", "10.0.3.17")...)
}

// An agent that was stopped for a minute has not heard for a minute.
func TestTable_Stall_NobodyBecomesSilent(t *testing.T) {
	b := newBench(t)
	b.now = b.now.Add(time.Minute)
	b.want()
	b.now = b.now.Add(-time.Hour) // nor does a clock that is set back matter
	b.want()
	b.pass(3 * time.Second)
	b.want("10.0.2.16", "10.0.2.17", "10.0.3.16", "10.0.3.17")
}

// With many peers datagrams are further apart, and silence takes longer.
func TestTable_ManyPeers_SilenceIsLonger(t *testing.T) {
	b := newBench(t)
	b.keep(rollOf(101, "n1"), b.now)
	b.pass(8*time.Second - 1)
	b.want()
	b.pass(1)
	if n := len(b.absent(b.now)); n != 200 {
		t.Errorf("%d are absent", n)
	}
}

func TestTable_Instances(t *testing.T) {
	b := newBench(t)
	say := func(instance, sequence uint64, offsets ...uint16) {
		d := b.from("n2", offsets...)
		d.instance, d.sequence = instance, sequence
		if err := b.hear("n2", d); err != nil {
			t.Error(err)
		}
	}
	say(1, 100, 16)
	say(1, 99, 16, 17) // reordered
	b.want("10.0.2.17")
	say(2, 1, 17) // restarted
	b.want("10.0.2.16")
	say(1, 101, 16) // late
	b.want("10.0.2.16")
	say(2, 2, 16, 17)
	b.want()
}

// A datagram that is ignored does not make a node less silent.
func TestTable_Replay_StaysSilent(t *testing.T) {
	b := newBench(t)
	d := b.from("n2", 16)
	for range 5 {
		b.says("n3", 16, 17)
		if err := b.hear("n2", d); err != nil {
			t.Error(err)
		}
		b.pass(time.Second)
	}
	b.want("10.0.2.16", "10.0.2.17")
}

func TestTable_Refuses(t *testing.T) {
	for name, tt := range map[string]struct {
		from   string
		change func(*datagram)
		data   func([]byte) []byte
		want   error
	}{
		"address of no node":      {from: "10.0.9.6", want: errStranger},
		"a slot's address":        {from: "10.0.2.16", want: errStranger},
		"its own address":         {from: "10.0.1.6", want: errStranger},
		"another node's address":  {from: "10.0.3.6", want: errMismatch},
		"wrong uid":               {from: "10.0.2.6", change: func(d *datagram) { d.uid = hashUID("other") }, want: errMismatch},
		"another block":           {from: "10.0.2.6", change: func(d *datagram) { d.block = prefix("10.0.2.0/25") }, want: errMismatch},
		"offset beyond the block": {from: "10.0.2.6", change: func(d *datagram) { d.filled = []uint16{16, 256} }, want: errMalformed},
		"cut off":                 {from: "10.0.2.6", data: func(b []byte) []byte { return b[:len(b)-1] }, want: errMalformed},
	} {
		b := newBench(t)
		d := b.from("n2", 16, 17)
		if tt.change != nil {
			tt.change(&d)
		}
		data := d.encode()
		if tt.data != nil {
			data = tt.data(data)
		}
		if err := b.receive(addr(tt.from), data, b.now); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
		for node, h := range b.report(b.now) {
			if h.Known {
				t.Errorf("%s: %s is known", name, node)
			}
		}
		if n := b.refused(); n.Malformed+n.Outsiders+n.Mismatches != 1 {
			t.Errorf("%s: counted %+v", name, n)
		}
	}
}

func TestTable_Keep_WhatStaysKnown(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Roll)
		known  bool
	}{
		"another slot":    {func(r *Roll) { m := r.Nodes["n2"]; m.Slots = m.Slots[:1]; r.Nodes["n2"] = m }, true},
		"another node":    {func(r *Roll) { delete(r.Nodes, "n3") }, true},
		"another N":       {func(r *Roll) { m := r.Nodes["n2"]; m.Address = addr("10.0.2.9"); r.Nodes["n2"] = m }, false},
		"another block":   {func(r *Roll) { m := r.Nodes["n2"]; m.Block = prefix("10.0.2.0/25"); r.Nodes["n2"] = m }, false},
		"another cluster": {func(r *Roll) { r.UID = "other" }, false},
	} {
		b := newBench(t)
		b.says("n2", 16)
		r := rollOf(3, "n1")
		tt.change(&r)
		if !b.keep(r, b.now) || b.keep(r, b.now) {
			t.Errorf("%s: not one change", name)
		}
		if got := b.report(b.now)["n2"].Known; got != tt.known {
			t.Errorf("%s: known %t", name, got)
		}
	}
}

// A node that joins has its own time before it is silent.
func TestTable_Keep_NewNodeHasGrace(t *testing.T) {
	b := newBench(t)
	b.pass(time.Minute)
	b.keep(rollOf(4, "n1"), b.now)
	b.pass(4*time.Second - 1)
	b.want("10.0.2.16", "10.0.2.17", "10.0.3.16", "10.0.3.17")
	b.pass(1)
	b.want("10.0.2.16", "10.0.2.17", "10.0.3.16", "10.0.3.17", "10.0.4.16", "10.0.4.17")
}

func TestTable_Keep_Nothing_StopsAll(t *testing.T) {
	b := newBench(t)
	b.fill(filled(), b.now)
	b.says("n2", 16)
	b.keep(Roll{}, b.now)
	b.want()
	if len(b.report(b.now)) != 0 {
		t.Error("somebody is still known")
	}
	if err := b.hear("n2", b.from("n2")); !errors.Is(err, errStranger) {
		t.Errorf("heard: %v", err)
	}
	b.pass(time.Minute)
	if data, to := b.send(b.now); data != nil || to != nil {
		t.Errorf("sends to %v", to)
	}
}

// The caller may change its own afterwards.
func TestTable_CopiesWhatItIsGiven(t *testing.T) {
	b := newBench(t)
	r, own := rollOf(2, "n1"), filled("10.0.1.16")
	b.keep(r, b.now)
	b.fill(own, b.now)
	r.Nodes["n1"].Slots[1] = addr("10.0.1.99")
	delete(own, addr("10.0.1.16"))
	b.keep(rollOf(3, "n1"), b.now)
	b.want("10.0.1.17")
	delete(b.absent(b.now), addr("10.0.1.17"))
	b.want("10.0.1.17")
}
