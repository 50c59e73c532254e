package reconcile

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func TestWhatKeepsVanishingIsHeldBackWhileOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeKernel()
		r, w, log := newWatched(k, Options{})
		r.Commit(t.Context(), record(t, 0), "n1")
		running(t, r)
		var repaired []time.Duration
		begin := time.Now()
		for time.Since(begin) < 30*time.Minute { // somebody removes it as soon as it is there
			between(r, func() {
				if k.has[tcpSet] != nil {
					repaired = append(repaired, time.Since(begin))
					delete(k.has, tcpSet)
				}
			})
			w.see()
			time.Sleep(500 * time.Millisecond)
		}
		if n := len(repaired); n < 9 || n > 13 { // 3 at once, then 10, 20, 40, 80, 160, 300 s apart …
			t.Errorf("repaired at %v", repaired)
		}
		if last := repaired[len(repaired)-1] - repaired[len(repaired)-2]; last < maxQuarantine || last > maxQuarantine+2*time.Second {
			t.Errorf("the last two are %s apart", last)
		}
		if n := strings.Count(log.String(), "less and less often"); n != 1 {
			t.Errorf("said %d times that it is held back", n)
		}
		_, problems := r.Status(t.Context())
		expect(t, "problems", texts(problems), "node/n1: The ipset routingmesh-tcp (bitmap:port) is missing. "+
			"Something on this host keeps removing it, so the agent tries less and less often.\n")
		_, again := r.Status(t.Context())
		expect(t, "a second reading", texts(again), texts(problems))

		between(r, func() { delete(k.has, natChain) })
		w.see()
		time.Sleep(2 * time.Second)
		between(r, func() {
			if k.has[natChain] == nil || k.has[tcpSet] != nil {
				t.Errorf("another object: %v; the one held back: %v", k.has[natChain], k.has[tcpSet])
			}
		})
		expect(t, "asked for", texts(r.RepairObjects(t.Context(), []mesh.Ref{mesh.NodeRef("n1")})), "")

		time.Sleep(20 * time.Minute) // in peace
		between(r, func() { delete(k.has, tcpSet) })
		w.see()
		time.Sleep(2 * time.Second)
		between(r, func() {
			if k.has[tcpSet] == nil {
				t.Error("what stayed whole is still held back")
			}
		})
	})
}

func TestTheHeldChainIsNamedByItsRule(t *testing.T) {
	k := newFakeKernel()
	r, _, log := newWatched(k, Options{})
	r.Commit(t.Context(), record(t, 0), "n1")
	var whole state.Chain
	for range quarantineAfter + 1 {
		var ok bool
		if whole, ok = k.has[natChain].(state.Chain); !ok {
			t.Fatal("no chain")
		}
		cut := whole
		cut.Rules = strings.Join(strings.Split(whole.Rules, "\n")[1:], "\n")
		k.has.Put(cut)
		r.Repair(t.Context())
	}
	_, problems := r.Status(t.Context())
	expect(t, "problems", texts(problems), "node/n1: The chain nat ROUTINGMESH (host) lacks the rule `-i rmesh0 -j RETURN`. "+
		"Something on this host keeps changing it (the rule `-i rmesh0 -j RETURN`), so the agent tries less and less often.\n")
	if !strings.Contains(log.String(), "changing it (the rule `-i rmesh0 -j RETURN`)") {
		t.Errorf("log: %s", log)
	}
}

// TestQuarantine_Note: an object that is repaired three times within a minute is left
// alone, for longer each time, and released after as long without a repeat.
func TestQuarantine_Note(t *testing.T) {
	ops := opsOn(8080)
	key := ops[0].Object().Key()
	repair := func(q *quarantine, at time.Duration) bool {
		return len(q.note(ops, newPlan(nil), midnight.Add(at))) > 0
	}
	t.Run("three times within a minute", func(t *testing.T) {
		q := newQuarantine()
		for i, want := range []bool{false, false, true} {
			if at := time.Duration(i) * quarantineWindow / 2; repair(&q, at) != want || q.undone(key) != want {
				t.Errorf("after %s: want %v", at, want)
			}
		}
	})
	t.Run("seldom", func(t *testing.T) {
		q := newQuarantine()
		for i := range 20 {
			if repair(&q, time.Duration(i)*quarantineWindow*2/3) {
				t.Fatalf("quarantined by repair %d", i)
			}
		}
	})
	t.Run("longer each time, and released", func(t *testing.T) {
		q := newQuarantine()
		at := time.Duration(0)
		for range quarantineAfter {
			repair(&q, at)
		}
		for _, seconds := range []int{10, 20, 40, 80, 160, 300, 300} {
			hold := time.Duration(seconds) * time.Second
			if until, ok := q.next(midnight.Add(at)); !ok || !until.Equal(midnight.Add(at+hold)) || !q.held(key, until.Add(-1)) || q.held(key, until) {
				t.Fatalf("held until %s, want for %s", until, hold)
			}
			at += hold
			if repair(&q, at) {
				t.Error("it begins twice")
			}
		}
		q.note(nil, newPlan(ops), midnight.Add(at)) // still broken
		q.note(nil, newPlan(nil), midnight.Add(at+maxQuarantine))
		if !q.undone(key) {
			t.Error("released too soon")
		}
		q.note(nil, newPlan(nil), midnight.Add(at+maxQuarantine+1))
		if q.undone(key) || len(q.offenders) != 0 {
			t.Errorf("never released: %v", q.offenders)
		}
	})
}

// TestQuarantine_Flushed: the firewall's flushes are no fight.
func TestQuarantine_Flushed(t *testing.T) {
	q, ops := newQuarantine(), opsOn(8080)
	for range quarantineAfter {
		q.note(ops, newPlan(nil), midnight)
	}
	q.flushed(0)
	if !q.undone(ops[0].Object().Key()) {
		t.Error("released without a flush")
	}
	q.flushed(1)
	if len(q.offenders) != 0 {
		t.Errorf("after a flush: %v", q.offenders)
	}
}
