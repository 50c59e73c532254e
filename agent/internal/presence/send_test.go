package presence

import (
	"net/netip"
	"testing"
	"time"
)

// sending lists when a table sends to each peer within d, if it is asked when wait says.
func (b *bench) sending(d time.Duration) map[netip.Addr][]time.Duration {
	b.t.Helper()
	sent := map[netip.Addr][]time.Duration{}
	for end := b.now.Add(d); b.now.Before(end); {
		data, to := b.send(b.now)
		for _, a := range to {
			sent[a] = append(sent[a], b.now.Sub(start))
		}
		if _, err := decode(data); data != nil && err != nil {
			b.t.Error(err)
		}
		wait := b.wait(b.now, end.Sub(b.now))
		if wait <= 0 {
			b.t.Fatalf("busy at %s", b.now.Sub(start))
		}
		b.now = b.now.Add(wait)
	}
	return sent
}

// Before Fill others would be told that containers that still run are gone.
func TestTable_Send_NothingBeforeFill(t *testing.T) {
	b := newBench(t)
	if sent := b.sending(5 * time.Second); len(sent) != 0 {
		t.Errorf("%v", sent)
	}
	if got := b.wait(b.now, tick); got != tick {
		t.Errorf("waits only for %s", got)
	}
	b.fill(nil, b.now)
	if _, to := b.send(b.now); len(to) != 2 {
		t.Errorf("sent to %v, want both peers at once", to)
	}
}

func TestTable_Send_ChangeAtOnceThreeTimes(t *testing.T) {
	b := newBench(t)
	b.fill(nil, b.now)
	b.sending(1010 * time.Millisecond)
	b.fill(filled("10.0.1.16"), b.now)
	b.sending(20 * time.Millisecond)
	b.fill(filled("10.0.1.17"), b.now)
	sent := b.sending(400 * time.Millisecond)
	n2 := addr("10.0.2.6") // of phase 0; n3 is half a second later
	want := []time.Duration{1060 * time.Millisecond, 1160 * time.Millisecond, 1260 * time.Millisecond}
	if diff(want, sent[n2]) != "" || len(sent) != 2 {
		t.Errorf("%v", sent)
	}
}

func TestTable_Send_Content(t *testing.T) {
	b := newBench(t)
	b.fill(filled("10.0.1.17", "10.0.1.16"), b.now)
	for want := uint64(1); want < 4; want++ {
		data, to := b.send(b.now)
		d, err := decode(data)
		if err != nil || len(to) != 2 {
			t.Fatal(err, to)
		}
		if diff(datagram{hashUID("uid"), prefix("10.0.1.0/24"), 7, want, []uint16{16, 17}}, d) != "" {
			t.Errorf("%+v", d)
		}
		b.now = b.now.Add(time.Second)
	}
}

func TestTable_Send_EverySecond(t *testing.T) {
	b := newBench(t)
	b.fill(nil, b.now)
	b.sending(time.Second)
	for a, times := range b.sending(10 * time.Second) {
		if len(times) != 10 {
			t.Errorf("%s: %v", a, times)
		}
	}
}

// What changed while there was no socket is not left to the next interval.
func TestTable_Send_SocketIsBack(t *testing.T) {
	b := newBench(t)
	b.fill(nil, b.now)
	b.sending(1100 * time.Millisecond)
	b.listen(false, b.now)
	if sent := b.sending(5 * time.Second); len(sent) != 0 {
		t.Errorf("sent without a socket: %v", sent)
	}
	b.listen(true, b.now)
	b.send(b.now)
	sent := b.sending(260 * time.Millisecond)
	for _, a := range []string{"10.0.2.6", "10.0.3.6"} {
		if times := sent[addr(a)]; len(times) < 3 {
			t.Errorf("%s: %v", a, times)
		}
	}
}

// A new node hears at once, the others when it is their time.
func TestTable_Send_ToNewNodeAtOnce(t *testing.T) {
	b := newBench(t)
	b.fill(nil, b.now)
	b.sending(1100 * time.Millisecond)
	b.keep(rollOf(4, "n1"), b.now)
	if _, to := b.send(b.now); diff([]netip.Addr{addr("10.0.4.6")}, to) != "" {
		t.Errorf("%v", to)
	}
}

// However often the record changes, no peer waits longer than an interval.
func TestTable_Send_ChangingRollDelaysNobody(t *testing.T) {
	b := newBench(t)
	b.fill(nil, b.now)
	last := start
	for i := range 200 {
		b.keep(rollOf(3+i%2, "n1"), b.now)
		if len(b.sending(37 * time.Millisecond)[addr("10.0.2.6")]) > 0 {
			last = b.now
		} else if b.now.Sub(last) > time.Second+37*time.Millisecond {
			t.Fatalf("nothing for %s", b.now.Sub(last))
		}
	}
}

func TestTable_Send_RateIsBounded(t *testing.T) {
	const peers = 500
	b := newBench(t)
	b.keep(rollOf(peers+1, "n1"), b.now)
	b.fill(nil, b.now)
	b.sending(time.Second) // the first ones, and the rounds of the change
	perSecond := map[time.Duration]int{}
	sent := b.sending(2 * intervalOf(peers))
	for a, times := range sent {
		if len(times) != 2 {
			t.Errorf("%s: %v", a, times)
		}
		for _, at := range times {
			perSecond[at/time.Second]++
		}
	}
	for second, n := range perSecond {
		if n > 52 {
			t.Errorf("%d datagrams in second %d", n, second)
		}
	}
	if len(sent) != peers {
		t.Errorf("sent to %d", len(sent))
	}
}

func TestTable_Send_TooManySlots(t *testing.T) {
	b := newBench(t)
	r := Roll{UID: "uid", Self: "n1", Nodes: map[string]Member{
		"n1": {Address: addr("10.1.0.6"), Block: prefix("10.1.0.0/16")}, "n2": {Address: addr("10.2.0.6"), Block: prefix("10.2.0.0/16")},
	}}
	all, m := map[netip.Addr]bool{}, r.Nodes["n1"]
	for i := range 300 {
		a := netip.AddrFrom4([4]byte{10, 1, byte(1 + i>>8), byte(i)})
		m.Slots, all[a] = append(m.Slots, a), true
	}
	r.Nodes["n1"] = m
	b.keep(r, b.now)
	b.fill(all, b.now)
	data, _ := b.send(b.now)
	if d, err := decode(data); err != nil || len(d.filled) != maxSlots {
		t.Errorf("%v: %d slots", err, len(d.filled))
	}
	if n := len(b.absent(b.now)); n != 300-maxSlots {
		t.Errorf("%d of its own are absent: this node and others see the same", n)
	}
}
