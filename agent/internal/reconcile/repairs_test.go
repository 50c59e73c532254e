package reconcile

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func opsOn(ports ...uint16) (ops []state.Op) {
	for _, port := range ports {
		ops = append(ops, state.Op{Action: state.Add, New: state.SetMember{Set: "routingmesh-tcp", Port: port}})
	}
	return ops
}

// TestRepairs_Note: each repair is logged and counted, and the count outlives the agent.
func TestRepairs_Note(t *testing.T) {
	log := &bytes.Buffer{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	path := filepath.Join(t.TempDir(), "repairs.json")
	r := newRepairs(path, logger)
	r.note(nil)
	expect(t, "file before the first", onDisk(t, path), "")
	r.note(opsOn(8080, 8081))
	r.note(opsOn(8080))
	if r.count != 3 || strings.Count(log.String(), "msg=repaired ") != 3 {
		t.Errorf("counted %d, logged:\n%s", r.count, log)
	}
	if again := newRepairs(path, logger); again.count != 3 {
		t.Errorf("%d after a restart", again.count)
	}
	written(t, path, "{")
	if again := newRepairs(path, logger); again.count != 0 || !strings.Contains(log.String(), "cannot read what an earlier agent has kept") {
		t.Errorf("%d from a torn file; log %s", again.count, log)
	}
	log.Reset()
	lost := newRepairs(filepath.Join(t.TempDir(), "no such folder", "repairs.json"), logger)
	lost.note(opsOn(8080))
	if lost.count != 1 || !strings.Contains(log.String(), "cannot keep this for the next agent") {
		t.Errorf("counted %d, logged:\n%s", lost.count, log)
	}
}

// TestRepairs_ManyAreNotAllLogged: a flushed set may have had thousands of members.
func TestRepairs_ManyAreNotAllLogged(t *testing.T) {
	log := &bytes.Buffer{}
	r := newRepairs("", slog.New(slog.NewTextHandler(log, nil)))
	r.note(opsOn(make([]uint16, 3*maxLogged)...))
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if r.count != 3*maxLogged || len(lines) != maxLogged+1 || !strings.Contains(lines[maxLogged], "more repairs than are worth a line each") {
		t.Errorf("counted %d, %d lines, the last one %s", r.count, len(lines), lines[len(lines)-1])
	}
}

// TestTracker_RepairsOf: what a change of conditions had still to write is no repair, and
// what is broken again is none that helped.
func TestTracker_RepairsOf(t *testing.T) {
	track := newTracker()
	ops := opsOn(1, 2, 3)
	track.pending.keys[ops[0].Object().Key()] = true
	tried, repaired := track.repairsOf(outcome{done: ops, left: newPlan(ops[1:2])})
	if len(tried) != 2 || tried[0] != ops[1] || tried[1] != ops[2] || len(repaired) != 1 || repaired[0] != ops[2] {
		t.Errorf("tried %v, repaired %v", tried, repaired)
	}
}

// TestApplied_Resume: an agent that restarts knows whether the kernel had its record whole.
func TestApplied_Resume(t *testing.T) {
	path := filepath.Join(t.TempDir(), "applied.json")
	agent := func() *applied {
		return &applied{path: path, log: slog.New(slog.DiscardHandler), hash: (*mesh.Record).Hash}
	}
	rec := record(t, 3)
	if a := agent(); a.resume(rec, "n1") || a.generation != 0 {
		t.Errorf("after a boot: %+v", a)
	}
	agent().note(rec, "n1")
	newer, older, other := record(t, 4), record(t, 2), record(t, 3)
	other.UID = "another cluster"
	for name, test := range map[string]struct {
		rec        *mesh.Record
		node       string
		whole      bool
		generation uint64
	}{
		"the same record":       {rec, "n1", true, rec.Generation},
		"as another node":       {rec, "n2", false, rec.Generation},
		"a newer one":           {newer, "n1", false, rec.Generation},
		"an older one":          {older, "n1", false, 0},
		"one of another origin": {other, "n1", false, 0},
	} {
		if a := agent(); a.resume(test.rec, test.node) != test.whole || a.generation != test.generation {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

// TestApplied_NoteWritesOnce: a resync that finds all in sync writes nothing.
func TestApplied_NoteWritesOnce(t *testing.T) {
	hashed := 0
	a := &applied{path: filepath.Join(t.TempDir(), "applied.json"), log: slog.New(slog.DiscardHandler), hash: func(*mesh.Record) string { hashed++; return "" }}
	rec := record(t, 0)
	for range 3 {
		a.note(rec, "n1")
	}
	if hashed != 1 || a.generation != rec.Generation {
		t.Errorf("written %d times: %+v", hashed, a)
	}
}

// TestReported_LogsChanges: a problem is logged when it appears and when it is over.
func TestReported_LogsChanges(t *testing.T) {
	log := &bytes.Buffer{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	one, two := mesh.Problem{Object: mesh.NodeRef("n1"), Text: "one"}, mesh.Problem{Object: mesh.NodeRef("n1"), Text: "two"}
	var r reported
	for _, step := range []struct {
		problems []mesh.Problem
		says     string
	}{
		{nil, ""},
		{[]mesh.Problem{one}, "not as the record asks, and left so (repair is report)\" object=node/n1 problem=one"},
		{[]mesh.Problem{one}, ""},
		{[]mesh.Problem{two, one}, "not as the record asks, and left so (repair is report)\" object=node/n1 problem=two"},
		{[]mesh.Problem{two}, "no longer so\" object=node/n1 problem=one"},
	} {
		r.log(logger, step.problems)
		expect(t, "log", said(log), step.says)
	}
}

// TestRefusals_LogOnce: what the kernel refuses in every pass is logged in the first.
func TestRefusals_LogOnce(t *testing.T) {
	log := &bytes.Buffer{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	ops := opsOn(1, 2)
	left := newPlan(ops)
	refused := refusals{ops[0].Object().Key(): errors.New("no memory")}
	refused.log(logger, "cannot repair", left, nil)
	expect(t, "the first time", said(log), `cannot repair" op="`+ops[0].String()+`" error="no memory`)
	refused.log(logger, "cannot repair", left, refused)
	expect(t, "the second time", said(log), "")
	refused.forget(newPlan(ops[1:]))
	if len(refused) != 0 {
		t.Errorf("of what is right by now: %v", refused)
	}
}
