package reconcile

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func TestWhatTheKernelDoesNotTakeIsTriedAgainLessAndLessOften(t *testing.T) {
	tests := map[string]struct{ breaks, repairs func(*fakeKernel) }{
		"refused": {
			func(k *fakeKernel) { k.refuses[toward(2)] = errors.New("no memory") },
			func(k *fakeKernel) { clear(k.refuses) },
		},
		"not read": {
			func(k *fakeKernel) { k.blind = errors.New("no buffer space") },
			func(k *fakeKernel) { k.blind = nil },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, k, h, _, log := checkedReconciler(Options{})
				r.Commit(t.Context(), webOf(t, func(rec *mesh.Record, _ *mesh.Service) { rec.Cluster.Repair = mesh.RepairReport }), "n1")
				running(t, r)
				between(r, func() { k.forget(); test.breaks(k) })
				h.is(true, 2)
				time.Sleep(20 * time.Second) // at 0.1 s, 1, 3, 7 and 15 s later
				between(r, func() {
					passes := 0
					for _, scope := range k.scopes {
						if scope == kernel.Traffic || scope == aPart {
							passes++
						}
					}
					if name == "refused" {
						passes /= maxRounds + 1
					}
					if passes != 5 {
						t.Errorf("%d passes", passes)
					}
					if n := strings.Count(log.String(), "it is tried again"); name == "refused" && n != 1 {
						t.Errorf("said %d times:\n%s", n, log)
					}
					test.repairs(k)
				})
				time.Sleep(20 * time.Second)
				between(r, func() {
					expect(t, "weights", k.weights(), "1 0 1")
					if r.track.pending.retry != 0 || len(r.track.pending.keys) != 0 || r.repairs.count != 0 {
						t.Errorf("retry %s, pending %v, %d repairs", r.track.pending.retry, r.track.pending.keys, r.repairs.count)
					}
				})
			})
		})
	}
}

func TestWhatARepairRepairsOfTheConditionsIsNoRepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, k, h, w, _ := checkedReconciler(Options{})
		r.Commit(t.Context(), webOf(t, nil), "n1")
		running(t, r)
		between(r, func() { k.refuses[toward(2)] = errors.New("no memory") })
		h.is(true, 2)
		time.Sleep(8 * time.Second) // the next try is 7 s away
		between(r, func() { clear(k.refuses) })
		w.see()
		time.Sleep(cooldown)
		between(r, func() {
			if k.weights() != "1 0 1" || r.repairs.count != 0 || len(r.track.quarantine.offenders) != 0 {
				t.Errorf("weights %s, %d repairs, quarantine %v", k.weights(), r.repairs.count, r.track.quarantine.offenders)
			}
		})
	})
}

func TestWhatIsMissingWithItsNamespaceIsLeftToItsRepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, k, h, _, log := checkedReconciler(Options{})
		rec := webOf(t, func(rec *mesh.Record, _ *mesh.Service) { rec.Cluster.Repair = mesh.RepairReport })
		r.Commit(t.Context(), rec, "n1")
		running(t, r)
		between(r, func() {
			maps.DeleteFunc(k.has, func(key state.Key, _ state.Object) bool {
				return key.NS == state.Mesh || key.Kind == state.KindNamespace
			})
			k.forget()
		})
		h.is(true, 2)
		time.Sleep(time.Minute)
		between(r, func() { expect(t, "ops", k.did(), "") })
		expect(t, "left", texts(r.RepairObjects(t.Context(), nil)), "")
		between(r, func() {
			expect(t, "weights", k.weights(), "1 0 1")
			if strings.Contains(log.String(), "cannot change who serves") {
				t.Errorf("log: %s", log)
			}
		})
	})
}

func TestAServerThatHashesIsPutInOrderWithTheDestinationThatComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, k, h, _, _ := checkedReconciler(Options{})
		rec := webOf(t, func(rec *mesh.Record, web *mesh.Service) {
			rec.Cluster.Repair, web.Scheduler, web.HealthCheck.OnUnhealthy = mesh.RepairReport, "mh", mesh.CutConnections
		})
		r.Commit(t.Context(), rec, "n1")
		running(t, r)
		h.is(true, 2)
		time.Sleep(soon)
		server := state.VirtualServer{Proto: "tcp", Addr: serverOf(rec, 8080)}.Key()
		between(r, func() {
			expect(t, "cut", k.weights(), "1 - 1")
			k.afterApply = func(s state.State) { // as the kernel has it: the newest comes first
				k.afterApply = nil
				v := s[server].(state.VirtualServer)
				v.Fault = "in another order"
				s.Put(v)
			}
			k.forget()
		})
		h.is(false, 2)
		time.Sleep(soon)
		between(r, func() {
			if did := k.did(); !strings.HasPrefix(did, "add IPVS 10.255.0.1:8080/tcp destination 10.255.1.2:80 weight 1; change IPVS 10.255.0.1:8080/tcp mh") {
				t.Errorf("did %s", did)
			}
		})
		if _, problems := r.Status(t.Context()); len(problems) != 0 {
			t.Errorf("left: %s", texts(problems))
		}
	})
}

func TestVerdictsThatChangedWhileNoAgentRanAreNoDriftAndNoRepair(t *testing.T) {
	for _, repair := range []mesh.RepairMode{mesh.RepairAutomatic, mesh.RepairReport} {
		for _, onUnhealthy := range []mesh.OnUnhealthy{mesh.KeepConnections, mesh.CutConnections} {
			t.Run(fmt.Sprintf("%s %s", repair, onUnhealthy), func(t *testing.T) {
				memory := Memory{Applied: filepath.Join(t.TempDir(), "applied.json")}
				r, k, h, _, _ := checkedReconciler(Options{Memory: memory})
				rec := webOf(t, func(rec *mesh.Record, web *mesh.Service) {
					rec.Cluster.Repair, web.HealthCheck.OnUnhealthy = repair, onUnhealthy
				})
				h.is(true, 1, 2)
				r.Commit(t.Context(), rec, "n1")
				h.is(false, 2)
				h.is(true, 3)
				delete(k.has, member)
				r, _, _ = newWatched(k, Options{Memory: memory, Health: h})
				problems := r.Resume(t.Context(), rec, "n1")
				want := map[mesh.OnUnhealthy]string{mesh.KeepConnections: "0 1 0", mesh.CutConnections: "- 1 -"}[onUnhealthy]
				expect(t, "weights", k.weights(), want)
				repaired, told := uint64(1), 0
				if repair == mesh.RepairReport {
					repaired, told = 0, 1
				}
				if r.Repairs() != repaired || len(problems) != told {
					t.Errorf("%d repairs, problems %s", r.Repairs(), texts(problems))
				}
			})
		}
	}
}

// TestPending_PortsOfARange: what is left of a small range in a set are its ports, one by one.
func TestPending_PortsOfARange(t *testing.T) {
	was, is := state.State{}, state.State{}
	was.Put(state.SetMember{Set: "routingmesh-ep-tcp", Port: 20000, Last: 20009})
	track := newTracker()
	track.pending.add(was, is)
	for o, want := range map[state.Object]bool{
		state.SetMember{Set: "routingmesh-ep-tcp", Port: 20004}:              true,
		state.SetMember{Set: "routingmesh-ep-tcp", Port: 20000, Last: 20029}: true,
		state.SetMember{Set: "routingmesh-ep-tcp", Port: 20010}:              false,
		state.SetMember{Set: "routingmesh-tcp", Port: 20004}:                 false,
		state.NetNS{}: false,
	} {
		if got := track.pending.has(o); got != want {
			t.Errorf("%s is pending: %t, want %t", o, got, want)
		}
	}
}
