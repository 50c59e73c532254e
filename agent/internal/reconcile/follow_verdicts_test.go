package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

const soon = gather + time.Millisecond // after a verdict its pass is over

func TestVerdicts_FailingEndpointLosesItsWeight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, k, h, _, log := checkedReconciler(Options{})
		r.Commit(t.Context(), webOf(t, nil), "n1")
		running(t, r)
		between(r, func() { k.forget() })
		h.is(true, 2)
		time.Sleep(soon)
		between(r, func() {
			if !slices.Equal(k.scopes, []kernel.Scope{aPart, aPart}) {
				t.Errorf("scopes %v", k.scopes)
			}
			expect(t, "ops", k.did(), "change IPVS 10.255.0.1:8080/tcp destination 10.255.1.2:80 weight 0")
		})
		applied, problems := r.Status(t.Context())
		if len(problems) != 0 || applied != 1 || r.Repairs() != 0 {
			t.Errorf("applied %d, %d repairs, problems %s", applied, r.Repairs(), texts(problems))
		}
		if c := r.Conditions(); len(c.Unhealthy) != 1 {
			t.Errorf("conditions %+v", c)
		}
		between(r, func() { k.forget() })
		h.is(false, 2)
		time.Sleep(soon)
		between(r, func() {
			expect(t, "ops", k.did(), "change IPVS 10.255.0.1:8080/tcp destination 10.255.1.2:80 weight 1")
			for _, line := range []string{
				"service web: endpoint b (10.255.1.2:80) fails its check: connection refused; gets no new connections",
				"service web: endpoint b (10.255.1.2:80) answers again",
			} {
				if strings.Count(log.String(), line) != 1 {
					t.Errorf("the log does not say once %q:\n%s", line, log)
				}
			}
		})
	})
}

func TestVerdicts_GatheredIntoOnePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, k, h, _, _ := checkedReconciler(Options{})
		r.Commit(t.Context(), webOf(t, nil), "n1")
		running(t, r)
		between(r, func() { k.forget() })
		for range 5 {
			h.is(true, 1)
			time.Sleep(gather / 10)
			h.is(true, 2)
			h.is(false, 1)
			time.Sleep(gather / 10)
		}
		time.Sleep(gather)
		between(r, func() {
			if len(k.scopes) != 2 || k.weights() != "1 0 1" {
				t.Errorf("observed %d times, weights %s", len(k.scopes), k.weights())
			}
			k.forget()
		})
		h.is(false, 2)
		time.Sleep(gather / 2)
		h.is(true, 2)
		time.Sleep(time.Second)
		between(r, func() {
			if len(k.scopes) != 0 {
				t.Error("a pass for a verdict that was taken back")
			}
		})
	})
}

func TestWhereAllFailAllAreKeptAndTheLogSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, k, h, _, log := checkedReconciler(Options{})
		r.Commit(t.Context(), webOf(t, nil), "n1")
		running(t, r)
		h.is(true, 1, 2)
		time.Sleep(soon)
		between(r, func() { expect(t, "two of three", k.weights(), "0 0 1") })
		h.is(true, 3)
		time.Sleep(soon)
		between(r, func() {
			expect(t, "all", k.weights(), "1 1 1")
			for _, line := range []string{
				"endpoint c (10.255.2.2:80) fails its check: connection refused; kept, for all others fail as well",
				"all endpoints of 8080/tcp fail their checks: all are kept",
			} {
				if strings.Count(log.String(), line) != 1 {
					t.Errorf("the log does not say once %q:\n%s", line, log)
				}
			}
		})
		h.is(false, 1)
		time.Sleep(soon)
		between(r, func() { expect(t, "one is back", k.weights(), "1 0 0") })
	})
}

// TestAChangeOfConditionsRepairsNothingElse: neither what is held back nor what an
// administrator has broken and wants to be told of.
func TestAChangeOfConditionsRepairsNothingElse(t *testing.T) {
	for _, repair := range []mesh.RepairMode{mesh.RepairAutomatic, mesh.RepairReport} {
		t.Run("repair="+string(repair), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, k, h, w, _ := checkedReconciler(Options{})
				r.Commit(t.Context(), webOf(t, func(rec *mesh.Record, _ *mesh.Service) { rec.Cluster.Repair = repair }), "n1")
				running(t, r)
				if repair == mesh.RepairAutomatic {
					for range quarantineAfter {
						between(r, func() { delete(k.has, tcpSet) })
						w.see()
						time.Sleep(2 * time.Second)
					}
				}
				between(r, func() { delete(k.has, tcpSet) })
				w.see()
				time.Sleep(2 * time.Second) // it is seen, and left
				repairs := r.Repairs()
				between(r, func() { k.forget() })
				h.is(true, 2)
				time.Sleep(soon)
				between(r, func() {
					expect(t, "ops", k.did(), "change IPVS 10.255.0.1:8080/tcp destination 10.255.1.2:80 weight 0")
				})
				time.Sleep(cooldown)
				between(r, func() {
					if len(k.scopes) != 0 || k.has[tcpSet] != nil {
						t.Errorf("then a look at %v; the set: %v", k.scopes, k.has[tcpSet])
					}
				})
				if n := r.Repairs(); n != repairs {
					t.Errorf("%d repairs were counted", n-repairs)
				}
			})
		})
	}
}

// TestWhatIsBrokenMeanwhileIsStillLookedAt: the watch takes for covered what the
// pass for a verdict has seen, but left alone.
func TestWhatIsBrokenMeanwhileIsStillLookedAt(t *testing.T) {
	for name, event := range map[string]bool{"the event is before the pass": true, "the pass comes first": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, k, h, w, _ := checkedReconciler(Options{})
				r.Commit(t.Context(), webOf(t, nil), "n1")
				running(t, r)
				h.is(true, 2)
				time.Sleep(gather - time.Millisecond)
				between(r, func() { delete(k.has, member) })
				if event {
					w.see()
				}
				time.Sleep(2 * time.Millisecond) // the pass has come before the look
				between(r, func() {
					if k.weights() != "1 0 1" || w.Pending() || k.has[member] != nil {
						t.Fatal("the test's timing is off")
					}
				})
				time.Sleep(debounce)
				between(r, func() {
					if k.has[member] == nil || r.repairs.count != 1 {
						t.Errorf("after it: %v, %d repairs", k.has[member], r.repairs.count)
					}
				})
			})
		})
	}
}

func TestAPreferredLocalEndpointHandsOverBeforeItLosesItsWeight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, k, h, _, _ := checkedReconciler(Options{})
		r.Commit(t.Context(), webOf(t, func(rec *mesh.Record, _ *mesh.Service) {
			rec.Ports[mesh.PortKey{Port: 8080, Protocol: mesh.TCP}].Locality = mesh.PreferLocal
		}), "n1")
		running(t, r)
		between(r, func() { expect(t, "at first", k.weights(), "1 0 0"); k.forget() })
		h.is(true, 1)
		time.Sleep(soon)
		between(r, func() {
			expect(t, "ops", k.did(), "change IPVS 10.255.0.1:8080/tcp destination 10.255.1.2:80 weight 1; "+
				"change IPVS 10.255.0.1:8080/tcp destination 10.255.2.2:80 weight 1; change IPVS 10.255.0.1:8080/tcp destination 10.255.0.2:80 weight 0")
		})
		h.is(false, 1)
		time.Sleep(soon)
		between(r, func() { expect(t, "it answers again", k.weights(), "1 0 0") })
	})
}

func TestTheChecksAreTheRecordsBeforeItIsApplied(t *testing.T) {
	r, k, h, _, _ := checkedReconciler(Options{})
	h.onKeep = func() { h.failing = nil }
	h.is(true, 2)
	rec := webOf(t, nil)
	r.Commit(t.Context(), rec, "n1")
	expect(t, "weights", k.weights(), "1 1 1")
	h.is(true, 3)
	h.onKeep = nil
	again, _, _ := newWatched(k, Options{Health: h})
	again.Resume(t.Context(), rec, "n1")
	expect(t, "weights of who was down before the agent started", k.weights(), "1 1 0")
	if _, err := again.Clear(t.Context()); err != nil {
		t.Error(err)
	}
	expect(t, "kept", fmt.Sprint(h.kept), "[n1@1 n1@1 @0]")
}
