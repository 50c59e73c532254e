package resolver

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/time/rate"
)

func TestBudget_IsPerAsker(t *testing.T) {
	t.Parallel()
	b, now := newBudget(), time.Unix(1_000_000, 0)
	taken := 0
	for range 3 * burstPerAsker {
		if b.take(slotA, now) {
			taken++
		}
	}
	if taken != burstPerAsker || !b.take(slotB, now) {
		t.Errorf("one asker was answered %d times at once, want %d; the other one not at all", taken, burstPerAsker)
	}
	taken, now = 0, now.Add(time.Second)
	for range 3 * burstPerAsker {
		if b.take(slotA, now) {
			taken++
		}
	}
	if taken != queriesPerAsker {
		t.Errorf("%d times in the next second, want %d", taken, queriesPerAsker)
	}
}

// TestBudget_IsBounded: many askers are forgotten, those that have asked little first.
func TestBudget_IsBounded(t *testing.T) {
	t.Parallel()
	b, now := newBudget(), time.Unix(1_000_000, 0)
	b.burst = 1
	for i := range 3 * maxAskers {
		if !b.take(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now) {
			t.Fatalf("asker %d has asked nothing yet", i)
		}
	}
	if len(b.askers) > maxAskers {
		t.Errorf("%d askers are remembered", len(b.askers))
	}
}

// TestResolver_Flood: an asker that asks without end is not answered without end, and the others are.
func TestResolver_Flood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.newBudget = func() *budget { return &budget{0.001, 20, map[netip.Addr]*rate.Limiter{}} }
	w.follow()
	w.open()
	flood := w.dial("udp", slotA)
	raw := request(t, 7, "web.", dnsmessage.TypeA, 0)
	for range 100 {
		_, err := flood.Write(raw)
		must(t, err)
	}
	if got := show(t, w.exchange("udp", slotB, raw)); got == "" {
		t.Error("the other asker was not answered")
	}
	eventually(t, "80 dropped", func() bool { return w.Queries()["limited"] == 80 })
	if got := show(t, w.exchange("tcp", slotA, raw)); got != "Success 127.255.255.2" {
		t.Errorf("over TCP: %s", got)
	}
}
