package reconcile

import (
	"encoding/json"
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
	if err := r.Announce(rec, "n1"); err != nil {
		t.Fatal(err)
	}
}

func written(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheFileIsThereBeforeTheRecordAndOnlyWhileSomethingDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := webOf(t, nil)
		r, k, path, _ := draining(t, rec)
		expect(t, "file", onDisk(t, path), "")
		next := after(t, rec, without3)
		announced(t, r, next)
		expect(t, "file", onDisk(t, path), `{"drains":[{"port":"8080/tcp","service":"web","endpoint":"c","node":"n3",`+
			`"address":"10.255.2.2:80","deadline":"2000-01-01T00:00:30Z","timeout_seconds":30}]}`)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", info, err)
		}
		between(r, func() { expect(t, "weights before the commit", k.weights(), "1 1 1") })
		if r.Draining() != 0 {
			t.Error("it drains before the commit")
		}
		expect(t, "problems", texts(r.Commit(t.Context(), next, "n1")), "")
		time.Sleep(2 * time.Second)
		expect(t, "file", onDisk(t, path), "")
	})
}

// TestADrainThatEndsBetweenAnnouncementAndCommitLeavesTheAnnouncedOnDisk: the
// record may be saved by then.
func TestADrainThatEndsBetweenAnnouncementAndCommitLeavesTheAnnouncedOnDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := webOf(t, nil)
		r, k, path, _ := draining(t, rec)
		between(r, func() { k.loads[toward(3)] = kernel.Load{Active: 1} })
		rec = after(t, rec, without3)
		follow(t, r, rec)
		next := after(t, rec, func(_ *mesh.Record, web *mesh.Service) { delete(web.Endpoints, "b") })
		announced(t, r, next)
		between(r, func() { delete(k.loads, toward(3)) })
		time.Sleep(2 * time.Second)
		if !strings.Contains(onDisk(t, path), `"endpoint":"b"`) {
			t.Errorf("on disk: %s", onDisk(t, path))
		}
		between(r, func() { k.loads[toward(2)] = kernel.Load{Active: 1} })
		expect(t, "problems", texts(r.Commit(t.Context(), next, "n1")), "")
		time.Sleep(2 * time.Second)
		between(r, func() { expect(t, "weights", k.weights(), "1 0 -") })
	})
}

func TestAnAnnouncementThatCannotBeKeptChangesNothing(t *testing.T) {
	r, k, _, _, _ := checkedReconciler(Options{Drains: filepath.Join(t.TempDir(), "gone", "drains.json")})
	rec := webOf(t, nil)
	follow(t, r, rec) // nothing drains: no disk is needed
	k.forget()
	if err := r.Announce(after(t, rec, without3), "n1"); err == nil || !strings.HasPrefix(err.Error(), "keep what drains: ") {
		t.Errorf("error %v", err)
	}
	follow(t, r, after(t, rec, func(*mesh.Record, *mesh.Service) {}))
	if r.Draining() != 0 || len(k.ops) != 0 {
		t.Errorf("%d drain, did %s", r.Draining(), k.did())
	}
}

func TestABrokenFileIsAsNone(t *testing.T) {
	whole := `{"drains":[{"port":"8080/tcp","service":"web","endpoint":"c","node":"n3","address":"10.255.2.2:80","deadline":"2999-01-01T00:00:30Z","timeout_seconds":30}]}`
	tests := map[string]struct {
		from, to string
		drains   int
		logged   string
	}{
		"whole":                   {"", "", 1, ""},
		"torn":                    {`"service"`, "", 0, "cannot read what an earlier agent let drain"},
		"no JSON":                 {whole, "hello", 0, "cannot read"},
		"empty":                   {whole, "", 0, "cannot read"},
		"null":                    {whole, "null", 0, ""},
		"udp":                     {"8080/tcp", "8080/udp", 0, "only tcp ports drain"},
		"no port":                 {`"port":"8080/tcp",`, "", 0, "only tcp ports drain"},
		"an IPv6 address":         {"10.255.2.2:80", "[::1]:80", 0, "no IPv4 address"},
		"no address":              {`"address":"10.255.2.2:80",`, "", 0, "no IPv4 address"},
		"no timeout":              {`"timeout_seconds":30`, `"timeout_seconds":0`, 0, "must be 1–86400 s, not 0"},
		"an endless timeout":      {`"timeout_seconds":30`, `"timeout_seconds":9223372036854775807`, 0, "must be 1–86400 s"},
		"no name":                 {`"node":"n3"`, `"node":"/"`, 0, "is no name"},
		"of another port":         {"8080/tcp", "8081/tcp", 0, ""},
		"of a node's old address": {"10.255.2.2:80", "10.255.9.2:80", 0, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "drains.json")
			text := strings.ReplaceAll(whole, test.from, test.to)
			if name == "whole" {
				text = whole
			}
			written(t, path, text)
			r, k, _, _, log := checkedReconciler(Options{Drains: path})
			rec := after(t, webOf(t, nil), without3)
			expect(t, "problems", texts(r.Resume(t.Context(), rec, "n1")), "")
			if r.Draining() != test.drains || (k.has[toward(3)] != nil) != (test.drains > 0) {
				t.Errorf("%d drain, weights %s", r.Draining(), k.weights())
			}
			if got := log.String(); test.logged == "" && strings.Contains(got, "WARN") || !strings.Contains(got, test.logged) {
				t.Errorf("log: %s", got)
			}
			if test.drains == 0 && onDisk(t, path) != "" {
				t.Errorf("the file stays: %s", onDisk(t, path))
			}
		})
	}
}

// FuzzParseDrains: what is read is what would be written and read again.
func FuzzParseDrains(f *testing.F) {
	f.Add([]byte(`{"drains":[{"port":"8080/tcp","service":"web","endpoint":"c","node":"n3","address":"10.255.2.2:80","deadline":"2026-01-01T00:00:30Z","timeout_seconds":30}]}`))
	f.Add([]byte(`{"drains":[{}]}`))
	f.Add([]byte(`{"drains":null}`))
	f.Add([]byte(`{"drains":[{"port":"1/tcp","service":"a","node":"a","address":"1.2.3.4:5","deadline":"9999-12-31T23:59:59.9Z","timeout_seconds":86400}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		kept, err := parseDrains(data)
		if err != nil {
			return
		}
		now := time.Now()
		for _, d := range kept {
			if left := d.resumed(now).Deadline.Sub(now); left > maxDrain {
				t.Errorf("%+v has %s left", d, left)
			}
		}
		text, err := json.Marshal(drainsOnDisk{kept.sorted()})
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseDrains(text)
		if err != nil || len(again) != len(kept) {
			t.Fatalf("%s is read as %v, %v", text, again, err)
		}
		for key, d := range kept {
			if other := again[key]; other.key() != d.key() || !other.Deadline.Equal(d.Deadline) {
				t.Errorf("%+v is read again as %+v", d, other)
			}
		}
	})
}
