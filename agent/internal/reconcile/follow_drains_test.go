package reconcile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// draining is a node n1 with the record of webOf applied, that runs; path is its file.
func draining(t *testing.T, rec *mesh.Record) (r *Reconciler, k *fakeKernel, path string, log *bytes.Buffer) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "drains.json")
	r, k, _, _, log = checkedReconciler(Options{Drains: path})
	follow(t, r, rec)
	running(t, r)
	return r, k, path, log
}

// follow commits as the server does.
func follow(t *testing.T, r *Reconciler, rec *mesh.Record) {
	t.Helper()
	if err := r.Announce(rec, "n1", nil); err != nil {
		t.Fatal(err)
	}
	expect(t, "problems", texts(r.Commit(t.Context(), rec, "n1")), "")
}

func onDisk(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestARemovedEndpointDrainsUntilItsConnectionsHaveEnded(t *testing.T) {
	busy, none := kernel.Load{Active: 2, Inactive: 1}, kernel.Load{}
	tests := map[string]struct {
		loads []kernel.Load // one for each second
		lasts time.Duration
		says  string
	}{
		"one that ends":       {[]kernel.Load{busy, busy, none}, 3 * time.Second, "has drained"},
		"one that never ends": {make([]kernel.Load, 60), 30 * time.Second, "has drained for 30s and still has 2 connections; they end"},
	}
	for i := range tests["one that never ends"].loads {
		tests["one that never ends"].loads[i] = busy
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := webOf(t, nil)
				r, k, path, log := draining(t, rec)
				between(r, func() { k.forget(); k.loads[toward(3)] = kernel.Load{Active: 2} })
				begin := time.Now()
				follow(t, r, after(t, rec, without3))
				between(r, func() {
					expect(t, "ops", k.did(), "change IPVS 10.255.0.1:8080/tcp destination 10.255.2.2:80 weight 0")
				})
				for second := 0; ; second++ {
					between(r, func() {
						k.loads[toward(3)] = kernel.Load{}
						if second < len(test.loads) {
							k.loads[toward(3)] = test.loads[second]
						}
					})
					if r.Draining() == 0 {
						break
					}
					time.Sleep(time.Second)
					synctest.Wait()
				}
				between(r, func() {
					if lasted := time.Since(begin); lasted != test.lasts {
						t.Errorf("lasted %s, want %s", lasted, test.lasts)
					}
					expect(t, "ops", k.did(), "remove IPVS 10.255.0.1:8080/tcp destination 10.255.2.2:80 weight 0")
					expect(t, "file", onDisk(t, path), "")
					if line := "service web: endpoint c (10.255.2.2:80) of 8080/tcp: " + test.says; strings.Count(log.String(), line) != 1 {
						t.Errorf("the log does not say once %q:\n%s", line, log)
					}
					if r.repairs.count != 0 {
						t.Errorf("%d repairs", r.repairs.count)
					}
				})
			})
		})
	}
}

func TestWithoutDrainsNothingIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := webOf(t, nil)
		r, k, _, _ := draining(t, rec)
		time.Sleep(time.Hour)
		follow(t, r, after(t, rec, without3))
		time.Sleep(time.Hour)
		between(r, func() {
			if k.counted != 1 {
				t.Errorf("counted %d times", k.counted)
			}
		})
	})
}

func TestADestinationThatIsWantedAgainServesAtOnce(t *testing.T) {
	changes := map[string]struct {
		away, back func(*mesh.Record, *mesh.Service)
	}{
		"an endpoint": {without3, func(_ *mesh.Record, web *mesh.Service) { web.Endpoints["c"] = mesh.Endpoint{Node: "n3"} }},
		"a node": {
			func(rec *mesh.Record, _ *mesh.Service) { rec.Nodes["n3"].Availability = mesh.AvailabilityDrain },
			func(rec *mesh.Record, _ *mesh.Service) { rec.Nodes["n3"].Availability = mesh.AvailabilityActive },
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := webOf(t, nil)
				r, k, path, _ := draining(t, rec)
				between(r, func() { k.loads[toward(3)] = kernel.Load{Active: 1} })
				away := after(t, rec, change.away)
				follow(t, r, away)
				time.Sleep(10 * time.Second)
				between(r, func() { expect(t, "weights", k.weights(), "1 1 0"); k.forget() })
				follow(t, r, after(t, away, change.back))
				between(r, func() {
					expect(t, "ops", k.did(), "change IPVS 10.255.0.1:8080/tcp destination 10.255.2.2:80 weight 1")
					expect(t, "file", onDisk(t, path), "")
				})
				time.Sleep(time.Minute)
				between(r, func() { expect(t, "weights", k.weights(), "1 1 1") })
			})
		})
	}
}

// TestADrainGoesOnThroughOtherCommits: with the deadline that it had.
func TestADrainGoesOnThroughOtherCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := webOf(t, nil)
		r, k, _, _ := draining(t, rec)
		between(r, func() { k.loads[toward(3)] = kernel.Load{Active: 1} })
		rec = after(t, rec, without3)
		follow(t, r, rec)
		for range 5 {
			time.Sleep(5 * time.Second)
			rec = after(t, rec, func(*mesh.Record, *mesh.Service) {})
			follow(t, r, rec)
		}
		time.Sleep(4 * time.Second)
		between(r, func() { expect(t, "after 29 s", k.weights(), "1 1 0") })
		time.Sleep(2 * time.Second)
		between(r, func() { expect(t, "after 31 s", k.weights(), "1 1 -") })
	})
}

// TestWhatElseHappensPutsOffNoDeadline: verdicts and commits come faster than
// connections are counted.
func TestWhatElseHappensPutsOffNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, k, h, _, _ := checkedReconciler(Options{})
		rec := webOf(t, nil)
		follow(t, r, rec)
		running(t, r)
		between(r, func() { k.loads[toward(3)] = kernel.Load{Active: 1} })
		rec = after(t, rec, without3)
		follow(t, r, rec)
		begin := time.Now()
		for i := 0; r.Draining() > 0; i++ {
			if time.Since(begin) > time.Minute {
				t.Fatal("it never ends")
			}
			h.is(i%2 == 0, 2)
			time.Sleep(300 * time.Millisecond)
			rec = after(t, rec, func(*mesh.Record, *mesh.Service) {})
			follow(t, r, rec)
			h.is(i%2 == 0, 2)
			time.Sleep(300 * time.Millisecond)
		}
		if took := time.Since(begin); took > 32*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestDrainsWorkWithReportToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := webOf(t, func(rec *mesh.Record, _ *mesh.Service) { rec.Cluster.Repair = mesh.RepairReport })
		r, k, _, _ := draining(t, rec)
		between(r, func() { k.loads[toward(3)] = kernel.Load{Active: 1} })
		follow(t, r, after(t, rec, without3))
		between(r, func() { delete(k.has, member); expect(t, "weights", k.weights(), "1 1 0"); k.forget() })
		time.Sleep(31 * time.Second)
		between(r, func() {
			expect(t, "ops", k.did(), "remove IPVS 10.255.0.1:8080/tcp destination 10.255.2.2:80 weight 0")
		})
	})
}

// TestADestinationThatIsGoneIsNotWaitedFor: with report nobody puts it back.
func TestADestinationThatIsGoneIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := webOf(t, func(rec *mesh.Record, _ *mesh.Service) { rec.Cluster.Repair = mesh.RepairReport })
		r, k, _, _ := draining(t, rec)
		between(r, func() { k.loads[toward(3)] = kernel.Load{Active: 1} })
		follow(t, r, after(t, rec, without3))
		between(r, func() { delete(k.has, toward(3)) })
		time.Sleep(1100 * time.Millisecond)
		if r.Draining() != 0 {
			t.Error("still draining")
		}
		if _, problems := r.Status(t.Context()); len(problems) != 0 {
			t.Errorf("problems: %s", texts(problems))
		}
	})
}

func TestDrains_ListedDuringAPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := webOf(t, nil)
		r, k, _, _ := draining(t, rec)
		between(r, func() {
			for node := 1; node <= 3; node++ {
				k.loads[toward(node)] = kernel.Load{Active: uint32(node), Inactive: 9}
			}
		})
		between(r, func() {
			if d, err := r.Drains(t.Context()); err != nil || d.Drains == nil || len(d.Drains) != 0 || d.Entering != 6 {
				t.Errorf("%+v, %v", d, err)
			}
		})
		follow(t, r, after(t, rec, func(_ *mesh.Record, web *mesh.Service) { delete(web.Endpoints, "c"); delete(web.Endpoints, "b") }))
		time.Sleep(1500 * time.Millisecond)
		between(r, func() {
			d, err := r.Drains(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			expect(t, "drains", fmt.Sprintf("%+v", *d), "{Drains:["+
				"{Port:8080/tcp VIP:false Service:web Endpoint:b Node:n2 Address:10.255.1.2:80 Active:2 Inactive:9 RemainingMillis:28500} "+
				"{Port:8080/tcp VIP:false Service:web Endpoint:c Node:n3 Address:10.255.2.2:80 Active:3 Inactive:9 RemainingMillis:28500}] Entering:6}")
			if r.Draining() != 2 {
				t.Errorf("%d", r.Draining())
			}
		})
	})
}

func TestClearForgetsWhatDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := webOf(t, nil)
		r, k, path, _ := draining(t, rec)
		follow(t, r, after(t, rec, without3))
		if _, err := r.Clear(t.Context()); err != nil || len(k.has) != 0 || r.Draining() != 0 || onDisk(t, path) != "" {
			t.Errorf("%v, left %v, %d drain, file %s", err, k.has, r.Draining(), onDisk(t, path))
		}
		time.Sleep(time.Minute)
	})
}

// TestAnnounce_TouchesNoTraffic: what is announced drains when it is committed.
func TestAnnounce_TouchesNoTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := webOf(t, nil)
		r, k, path, _ := draining(t, rec)
		next := after(t, rec, without3)
		announced(t, r, next)
		time.Sleep(time.Minute)
		between(r, func() { expect(t, "weights before the commit", k.weights(), "1 1 1") })
		if r.Draining() != 0 || onDisk(t, path) == "" {
			t.Errorf("%d drain, on disk %s", r.Draining(), onDisk(t, path))
		}
		between(r, func() { k.loads[toward(3)] = kernel.Load{Active: 1} })
		expect(t, "problems", texts(r.Commit(t.Context(), next, "n1")), "")
		expect(t, "weights", k.weights(), "1 1 0")
	})
}

// TestAnnounce_FullDisk: what cannot be kept changes nothing, and the next record finds
// all as it was.
func TestAnnounce_FullDisk(t *testing.T) {
	r, k, _, _, _ := checkedReconciler(Options{Drains: filepath.Join(t.TempDir(), "gone", "drains.json")})
	rec := webOf(t, nil)
	follow(t, r, rec) // nothing drains: no disk is needed
	k.forget()
	if err := r.Announce(after(t, rec, without3), "n1", nil); err == nil {
		t.Error("no error")
	}
	follow(t, r, after(t, rec, func(*mesh.Record, *mesh.Service) {}))
	if r.Draining() != 0 || len(k.ops) != 0 {
		t.Errorf("%d drain, did %s", r.Draining(), k.did())
	}
}

// TestDrains_LoadsUnreadable: who asks is told, and the drain ends in time all the same.
func TestDrains_LoadsUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := webOf(t, nil)
		r, k, _, _ := draining(t, rec)
		between(r, func() { k.deaf = errors.New("no such file") })
		follow(t, r, after(t, rec, without3))
		time.Sleep(29 * time.Second)
		between(r, func() {
			expect(t, "weights", k.weights(), "1 1 0")
			if _, err := r.Drains(t.Context()); err == nil {
				t.Error("Drains says nothing of it")
			}
		})
		time.Sleep(2 * time.Second)
		between(r, func() { expect(t, "weights", k.weights(), "1 1 -") })
	})
}
