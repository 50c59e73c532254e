package reconcile

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func newTestDrains(t *testing.T) (d drains, path string, log *bytes.Buffer) {
	t.Helper()
	path, log = filepath.Join(t.TempDir(), "drains.json"), &bytes.Buffer{}
	return newDrains(path, slog.New(slog.NewTextHandler(log, nil))), path, log
}

// names are those of the endpoints that drain, "b c".
func (s drainSet) names() string {
	var names []string
	for d := range maps.Values(s) {
		names = append(names, d.Endpoint)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func under(s drainSet) func() drainSet { return func() drainSet { return s } }

func unasked() drainSet { panic("what was announced is worked out again") }

// TestDrains_FileBeforeRecord: what a record has drain is on disk before it drains, and
// no longer than it does.
func TestDrains_FileBeforeRecord(t *testing.T) {
	d, path, log := newTestDrains(t)
	rec := &mesh.Record{}
	if err := d.announce(rec, setOf(drainOf("c", 3))); err != nil {
		t.Fatal(err)
	}
	expect(t, "file", onDisk(t, path), `{"drains":[{"port":"8080/tcp","service":"web","endpoint":"c","node":"n3",`+
		`"address":"10.255.2.2:80","deadline":"2000-01-01T00:00:30Z","timeout_seconds":30}]}`)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	expect(t, "drains before the commit", d.now.names(), "")
	d.begin(rec, unasked)
	expect(t, "drains", d.now.names(), "c")
	if line := "service web: endpoint c (10.255.2.2:80) of 8080/tcp: drains: gets no new connections, and goes when those that it has have ended, in 30s at most"; strings.Count(log.String(), line) != 1 {
		t.Errorf("log: %s", log)
	}
	if !d.end(func(drain) (kernel.Load, bool) { return kernel.Load{}, true }, nil, midnight) {
		t.Error("it has not ended")
	}
	d.save()
	expect(t, "file", onDisk(t, path), "")
}

// TestDrains_EndBeforeAnnouncedBegins: a drain that ends between an announcement and its
// commit leaves the announced one on disk: the record may be saved by then.
func TestDrains_EndBeforeAnnouncedBegins(t *testing.T) {
	d, path, _ := newTestDrains(t)
	d.begin(&mesh.Record{}, under(setOf(drainOf("c", 3))))
	next := &mesh.Record{}
	if err := d.announce(next, setOf(drainOf("b", 2), drainOf("c", 3))); err != nil {
		t.Fatal(err)
	}
	d.end(func(drain) (kernel.Load, bool) { return kernel.Load{}, true }, nil, midnight)
	d.save()
	if !strings.Contains(onDisk(t, path), `"endpoint":"b"`) {
		t.Errorf("on disk: %s", onDisk(t, path))
	}
	d.begin(next, unasked)
	expect(t, "drains", d.now.names(), "b c")
}

// TestDrains_OtherRecordBegins: an announcement is for one record.
func TestDrains_OtherRecordBegins(t *testing.T) {
	d, path, _ := newTestDrains(t)
	if err := d.announce(&mesh.Record{}, setOf(drainOf("c", 3))); err != nil {
		t.Fatal(err)
	}
	d.begin(&mesh.Record{Generation: 2}, under(setOf()))
	expect(t, "drains", d.now.names(), "")
	expect(t, "file", onDisk(t, path), "")
}

// TestDrains_FullDisk: what cannot be kept is not announced; without drains no disk is
// needed.
func TestDrains_FullDisk(t *testing.T) {
	log := &bytes.Buffer{}
	d := newDrains(filepath.Join(t.TempDir(), "gone", "drains.json"), slog.New(slog.NewTextHandler(log, nil)))
	rec := &mesh.Record{}
	if err := d.announce(rec, setOf()); err != nil {
		t.Errorf("nothing drains: %v", err)
	}
	if err := d.announce(rec, setOf(drainOf("c", 3))); err == nil || !strings.HasPrefix(err.Error(), "keep what drains: ") {
		t.Errorf("error %v", err)
	}
	d.begin(rec, under(setOf()))
	expect(t, "drains", d.now.names(), "")
	d.begin(&mesh.Record{Generation: 2}, under(setOf(drainOf("c", 3))))
	expect(t, "drains that are not kept", d.now.names(), "c")
	if strings.Count(log.String(), "cannot keep what drains for the next agent") != 1 {
		t.Errorf("log: %s", log)
	}
}

// TestDrains_End: one ends that has no connections, that the kernel does not have, or
// whose time is up.
func TestDrains_End(t *testing.T) {
	tests := map[string]struct {
		load  kernel.Load
		there bool
		after time.Duration
		says  string // "" for one that goes on
	}{
		"idle":       {kernel.Load{}, true, time.Second, "has drained"},
		"gone":       {kernel.Load{}, false, time.Second, "has drained"},
		"busy":       {kernel.Load{Active: 2}, true, 29 * time.Second, ""},
		"time is up": {kernel.Load{Active: 2}, true, 30 * time.Second, "has drained for 30s and still has 2 connections; they end"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d, _, log := newTestDrains(t)
			d.begin(&mesh.Record{}, under(setOf(drainOf("c", 3))))
			ended := d.end(func(drain) (kernel.Load, bool) { return test.load, test.there }, nil, midnight.Add(test.after))
			if ended != (test.says != "") || ended != (len(d.now) == 0) {
				t.Errorf("ended: %v, left %v", ended, d.now)
			}
			if line := "service web: endpoint c (10.255.2.2:80) of 8080/tcp: " + test.says + "\""; ended && strings.Count(log.String(), line) != 1 {
				t.Errorf("the log does not say once %q:\n%s", line, log)
			}
		})
	}
}

// TestDrains_Uncounted: where connections cannot be counted the deadline ends a drain, and
// one line says so.
func TestDrains_Uncounted(t *testing.T) {
	d, _, log := newTestDrains(t)
	d.begin(&mesh.Record{}, under(setOf(drainOf("c", 3))))
	none := func(drain) (kernel.Load, bool) { return kernel.Load{}, false }
	for second := range 30 {
		if d.end(none, errors.New("no such file"), midnight.Add(time.Duration(second)*time.Second)) {
			t.Errorf("ended after %d s", second)
		}
	}
	if !d.end(none, errors.New("no such file"), midnight.Add(30*time.Second)) {
		t.Error("it never ends")
	}
	if n := strings.Count(log.String(), "cannot count the connections"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log)
	}
}

// TestDrains_ManyAreNotAllLogged: a node with thousands of ports may leave.
func TestDrains_ManyAreNotAllLogged(t *testing.T) {
	d, _, log := newTestDrains(t)
	many := drainSet{}
	for port := range uint16(2 * maxLogged) {
		one := drainOf("c", 3)
		one.Port.Port = 1000 + port
		many.put(one)
	}
	d.begin(&mesh.Record{}, under(many))
	d.end(func(drain) (kernel.Load, bool) { return kernel.Load{}, true }, nil, midnight)
	if n := strings.Count(log.String(), "\n"); n != 2*maxLogged {
		t.Errorf("%d lines", n)
	}
}

func TestDrains_Forget(t *testing.T) {
	d, path, _ := newTestDrains(t)
	d.begin(&mesh.Record{}, under(setOf(drainOf("c", 3))))
	if err := d.announce(&mesh.Record{}, setOf(drainOf("b", 2))); err != nil {
		t.Fatal(err)
	}
	d.forget()
	if len(d.now) != 0 || onDisk(t, path) != "" {
		t.Errorf("left %v, on disk %s", d.now, onDisk(t, path))
	}
}
