package reconcile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// TestACrashAtAnyPointConverges: the agent ends at some point of a commit that
// takes c away, or of what follows, and another one starts with what it finds.
func TestACrashAtAnyPointConverges(t *testing.T) {
	busy := kernel.Load{Active: 1}
	tests := []struct {
		name  string
		crash func(t *testing.T, r *Reconciler, k *fakeKernel, path string, next *mesh.Record) // up to it
		saved bool                                                                             // the next record
		down  time.Duration
		// The weights when it has started, and how long the drain then still takes,
		// with a connection that never ends.
		starts  string
		remains time.Duration
		ends    string
	}{
		{"announced, the record not saved", func(t *testing.T, r *Reconciler, _ *fakeKernel, _ string, next *mesh.Record) {
			announced(t, r, next)
		}, false, time.Second, "1 1 1", 0, "1 1 1"},
		{"the record saved, nothing applied", func(t *testing.T, r *Reconciler, _ *fakeKernel, _ string, next *mesh.Record) {
			announced(t, r, next)
		}, true, 10 * time.Second, "1 1 0", 20 * time.Second, "1 1 -"},
		{"applied", func(t *testing.T, r *Reconciler, _ *fakeKernel, _ string, next *mesh.Record) {
			follow(t, r, next)
		}, true, 10 * time.Second, "1 1 0", 20 * time.Second, "1 1 -"},
		{"applied, and down until after the deadline", func(t *testing.T, r *Reconciler, _ *fakeKernel, _ string, next *mesh.Record) {
			follow(t, r, next)
		}, true, time.Hour, "1 1 0", time.Second, "1 1 -"},
		{"drained, the file not rewritten", func(t *testing.T, r *Reconciler, k *fakeKernel, path string, next *mesh.Record) {
			follow(t, r, next)
			file := onDisk(t, path)
			k.loads[toward(3)] = kernel.Load{}
			r.tick(t.Context())
			expect(t, "drained", k.weights(), "1 1 -")
			written(t, path, file)
		}, true, time.Second, "1 1 0", time.Second, "1 1 -"},
		{"the clock is set back by a day", func(t *testing.T, r *Reconciler, k *fakeKernel, path string, next *mesh.Record) {
			follow(t, r, next)
			written(t, path, strings.ReplaceAll(onDisk(t, path), "2000-01-01", "2000-01-02"))
		}, true, time.Second, "1 1 0", 30 * time.Second, "1 1 -"},
	}
	for _, repair := range []mesh.RepairMode{mesh.RepairAutomatic, mesh.RepairReport} {
		for _, test := range tests {
			t.Run(test.name+" "+string(repair), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					dir := t.TempDir()
					path, memory := filepath.Join(dir, "drains.json"), Memory{Applied: filepath.Join(dir, "applied.json")}
					rec := webOf(t, func(rec *mesh.Record, _ *mesh.Service) { rec.Cluster.Repair = repair })
					next := after(t, rec, without3)
					r, k, h, _, _ := checkedReconciler(Options{Drains: path, Memory: memory})
					follow(t, r, rec)
					k.loads[toward(3)] = busy
					test.crash(t, r, k, path, next)
					time.Sleep(test.down)

					if test.saved {
						rec = next
					}
					r, _, _ = newWatched(k, Options{Drains: path, Memory: memory, Health: h})
					expect(t, "problems", texts(r.Resume(t.Context(), rec, "n1")), "")
					expect(t, "weights", k.weights(), test.starts)
					running(t, r)
					begin := time.Now()
					for r.Draining() > 0 {
						time.Sleep(time.Second)
						synctest.Wait()
					}
					if took := time.Since(begin); took < test.remains-time.Second || took > test.remains+time.Second { // the file has whole seconds
						t.Errorf("took %s, want %s", took, test.remains)
					}
					between(r, func() { expect(t, "weights", k.weights(), test.ends) })
					expect(t, "file", onDisk(t, path), "")
					if _, problems := r.Status(t.Context()); len(problems) != 0 || r.Repairs() != 0 {
						t.Errorf("%d repairs, problems %s", r.Repairs(), texts(problems))
					}
				})
			})
		}
	}
}

func announced(t *testing.T, r *Reconciler, rec *mesh.Record) {
	t.Helper()
	if err := r.Announce(rec, "n1", nil); err != nil {
		t.Fatal(err)
	}
}

func written(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
