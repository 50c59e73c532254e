package reconcile

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

var (
	tcpSet   = state.Set{Name: "routingmesh-tcp"}.Key()
	member   = state.SetMember{Set: "routingmesh-tcp", Port: 8080}.Key()
	natChain = state.Chain{Table: "nat", Name: state.ChainPrefix}.Key()
)

// running starts Run and ends it with the test's bubble.
func running(t *testing.T, r *Reconciler) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

func TestABurstOfEventsIsOnePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeKernel()
		r, w, _ := newWatched(k, Options{})
		r.Commit(t.Context(), record(t, 0), "n1")
		running(t, r)
		between(r, func() { k.forget(); delete(k.has, member) })
		begin := time.Now()
		for range 8 { // one every 50 ms
			w.see()
			time.Sleep(debounce / 2)
		}
		between(r, func() {
			if len(k.scopes) != 0 {
				t.Error("a pass in the middle of a burst")
			}
		})
		time.Sleep(debounce)
		between(r, func() {
			if k.has[member] == nil || len(k.scopes) != 2 {
				t.Errorf("after %s: member %v, observed %d times, want 2", time.Since(begin), k.has[member], len(k.scopes))
			}
		})
	})
}

func TestEndlessEventsDoNotPutOffARepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeKernel()
		r, w, _ := newWatched(k, Options{})
		r.Commit(t.Context(), record(t, 0), "n1")
		running(t, r)
		passes := 0
		for range 200 { // 10 s of somebody else's changes
			w.see()
			time.Sleep(debounce / 2)
		}
		between(r, func() { passes = len(w.covered) - 2; delete(k.has, member) })
		if passes > 12 {
			t.Errorf("%d passes for nothing in 10 s", passes)
		}
		for range 30 {
			w.see()
			time.Sleep(debounce / 2)
		}
		between(r, func() {
			if k.has[member] == nil {
				t.Error("not repaired within 1.5 s")
			}
		})
	})
}

// TestASlowPassForNothingPutsOffARepairForSecondsOnly: firewalld wakes the agent
// when its reload begins, and takes our chains at the end of it.
func TestASlowPassForNothingPutsOffARepairForSecondsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeKernel()
		r, w, _ := newWatched(k, Options{})
		r.Commit(t.Context(), record(t, 0), "n1")
		running(t, r)
		between(r, func() { k.slow = 2 * time.Second })
		w.see()
		time.Sleep(debounce + k.slow + time.Millisecond) // the pass is over
		between(r, func() { delete(k.has, member) })
		w.see()
		time.Sleep(maxCooldown + 2*k.slow)
		between(r, func() {
			if k.has[member] == nil {
				t.Errorf("not repaired within %s", maxCooldown+2*k.slow)
			}
		})
	})
}

func TestWhatAPassHasCoveredIsNoReasonForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeKernel()
		r, w, _ := newWatched(k, Options{})
		running(t, r)
		w.see() // by the commit's own writes
		r.Commit(t.Context(), record(t, 0), "n1")
		k.forget()
		time.Sleep(time.Second)
		between(r, func() {
			if len(k.scopes) != 0 {
				t.Error("a pass for what a commit has seen")
			}
		})
	})
}

func TestReportRepairsNothingAndSaysEachThingOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeKernel()
		r, w, log := newWatched(k, Options{})
		rec := record(t, 0)
		rec.Cluster.Repair = mesh.RepairReport
		r.Commit(t.Context(), rec, "n1")
		running(t, r)
		between(r, func() { k.forget(); delete(k.has, member) })
		w.see()
		time.Sleep(10 * time.Minute)
		between(r, func() {
			if len(k.ops) != 0 || r.repairs.count != 0 {
				t.Errorf("did %v, counted %d", k.ops, r.repairs.count)
			}
			if n := strings.Count(log.String(), "lacks port 8080"); n != 1 {
				t.Errorf("said %d times:\n%s", n, log)
			}
		})
		expect(t, "asked for", texts(r.RepairObjects(t.Context(), nil)), "")
		time.Sleep(time.Minute)
		between(r, func() {
			if k.has[member] == nil || !strings.Contains(log.String(), "no longer so") {
				t.Errorf("a repair that was asked for: %v\n%s", k.has[member], log)
			}
			if r.repairs.count != 0 {
				t.Errorf("counted %d", r.repairs.count)
			}
		})
	})
}

func TestRepairObjects_CauseAndDependents(t *testing.T) {
	all := newFakeKernel()
	r, _, _ := newWatched(all, Options{})
	r.Commit(t.Context(), record(t, 0), "n1")
	whole := maps.Clone(all.has)
	fdb := state.FDB{MAC: "02:52:0a:ff:01:01"}.Key()
	route := state.Route{Table: state.MainTable, Dst: mesh.DefaultAddressPool}.Key()
	onLink := func(key state.Key, o state.Object) bool {
		return key.Kind != state.KindChain && strings.Contains(o.String(), state.OverlayLink)
	}
	tests := []struct {
		name    string
		broken  func(state.State)
		objects []mesh.Ref
		still   string // of everything, after it
	}{
		{"the object's own", func(s state.State) { delete(s, member); delete(s, route) }, []mesh.Ref{mesh.MustParseRef("port/8080/tcp")},
			"node/n1: The route 10.255.0.0/16 via 10.255.0.1 dev rmesh0 src 10.255.0.2 (host) is missing.\n"},
		{"another node's", func(s state.State) { delete(s, member); delete(s, fdb) }, []mesh.Ref{mesh.NodeRef("n2")},
			"port/8080/tcp: The ipset routingmesh-tcp lacks port 8080, so that no traffic gets in.\n"},
		{"what the missing link holds", func(s state.State) { maps.DeleteFunc(s, onLink); delete(s, member) }, []mesh.Ref{mesh.NodeRef("n1")},
			"port/8080/tcp: The ipset routingmesh-tcp lacks port 8080, so that no traffic gets in.\n"},
		{"not what the missing link holds", func(s state.State) { maps.DeleteFunc(s, onLink) }, []mesh.Ref{mesh.NodeRef("n2")},
			"node/n1: The link vx0 (vxlan id 5312846 local 192.0.2.1 port 4789 mac 02:52:0a:ff:00:01 mtu 1450) is missing.\n"},
		{"what the record knows nothing of is the node's", func(s state.State) {
			s.Put(state.SetMember{Set: "routingmesh-udp", Port: 1000})
			delete(s, member)
		}, []mesh.Ref{mesh.NodeRef("n1")}, "port/8080/tcp: The ipset routingmesh-tcp lacks port 8080, so that no traffic gets in.\n"},
		{"everything", func(s state.State) { delete(s, member); delete(s, route); delete(s, fdb) }, nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			all.has = maps.Clone(whole)
			test.broken(all.has)
			for _, p := range r.RepairObjects(t.Context(), test.objects) {
				t.Errorf("left of the objects: %s: %s", p.Object, p.Text)
			}
			_, problems := r.Status(t.Context())
			if got := texts(problems); got != test.still && !strings.HasPrefix(test.still, "node/n1: The link vx0") {
				t.Errorf("still:\n%s\nwant:\n%s", got, test.still)
			} else if len(problems) > 1 {
				t.Errorf("still:\n%s", got)
			}
		})
	}
}

// A link that is made anew loses what is on it: that was whole before the repair,
// and belongs to it.
func TestARepairOfALinkMakesAgainWhatWentWithIt(t *testing.T) {
	k := newFakeKernel()
	r, _, _ := newWatched(k, Options{})
	r.Commit(t.Context(), record(t, 0), "n1")
	key := state.VXLAN{}.Key()
	vx, ok := k.has[key].(state.VXLAN)
	if !ok {
		t.Fatal("no overlay")
	}
	vx.Port = 1
	k.has.Put(vx)
	once := false
	k.afterApply = func(s state.State) {
		if !once {
			once = true
			maps.DeleteFunc(s, func(k state.Key, o state.Object) bool {
				return k != key && k.Kind != state.KindChain && strings.Contains(o.String(), state.OverlayLink)
			})
		}
	}
	expect(t, "left", texts(r.RepairObjects(t.Context(), []mesh.Ref{mesh.NodeRef("n1")})), "")
	if _, problems := r.Status(t.Context()); len(problems) > 0 {
		t.Errorf("left: %s", texts(problems))
	}
}

// Where there is much, a look without a reason costs one part in 200 of the time at
// most, and comes every five minutes at the least; else it comes every half minute.
func TestLooksAtMuchThatTakeLongAreRare(t *testing.T) {
	for _, test := range []struct {
		ports     int
		took      time.Duration
		min, most int
	}{
		{0, 2 * time.Second, 105, 125},
		{manyObjects / 3, time.Millisecond, 110, 130},
		{manyObjects / 3, time.Second, 16, 19}, // every 200 s
		{manyObjects / 3, time.Minute, 9, 12},
	} {
		synctest.Test(t, func(t *testing.T) {
			k := newFakeKernel()
			r, _, _ := newWatched(k, Options{})
			k.slow = test.took
			r.Commit(t.Context(), record(t, test.ports), "n1")
			k.forget()
			running(t, r)
			time.Sleep(time.Hour)
			between(r, func() {
				if n := len(k.scopes); n < test.min || n > test.most {
					t.Errorf("%d looks of %s at %d ports in an hour, want %d to %d", n, test.took, test.ports, test.min, test.most)
				}
			})
		})
	}
}

// A look without a reason runs no program where it is certain that nobody has touched
// the chains, and reads them where it is not.
func TestALookReadsChainsThatMayHaveChanged(t *testing.T) {
	k := newFakeKernel()
	r, w, _ := newWatched(k, Options{})
	r.Commit(t.Context(), record(t, 0), "n1")
	look := func(want kernel.Scope) {
		t.Helper()
		k.forget()
		r.Repair(t.Context())
		if k.scopes[0] != want {
			t.Errorf("scopes %v, want %v first", k.scopes, want)
		}
	}
	look(kernel.Full)
	w.certain = true
	look(kernel.Traffic)
	delete(k.has, member)
	look(kernel.Traffic)
	if k.has[member] == nil || r.repairs.count != 1 {
		t.Errorf("what is missing is not repaired, %d repairs", r.repairs.count)
	}
	w.see()
	look(kernel.Full)
	delete(k.has, natChain)
	k.refuses[natChain] = errors.New("no memory")
	w.see()
	look(kernel.Full)
	look(kernel.Full) // they were not right the last time
	clear(k.refuses)
	look(kernel.Full)
	look(kernel.Traffic)
	if k.has[natChain] == nil {
		t.Error("the chain is not repaired")
	}
}

// Terraform asks every node in every walk: what is certain to be as it was is not worth two programs each time.
func TestAStatusReadsChainsThatMayHaveChanged(t *testing.T) {
	k := newFakeKernel()
	r, w, _ := newWatched(k, Options{})
	r.Commit(t.Context(), record(t, 0), "n1")
	status := func(want kernel.Scope, problems int) {
		t.Helper()
		k.forget()
		_, found := r.Status(t.Context())
		if len(k.scopes) != 1 || k.scopes[0] != want || len(found) != problems {
			t.Errorf("scopes %v, want %v; problems %v, want %d", k.scopes, want, found, problems)
		}
	}
	status(kernel.Full, 0)
	w.certain = true
	status(kernel.Traffic, 0)
	delete(k.has, member)
	status(kernel.Traffic, 1)
	delete(k.has, natChain)
	w.see()
	status(kernel.Full, 2)
}
