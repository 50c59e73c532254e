package reconcile

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func TestOnlyTheAgentsOwnRepairsCountAndTheyOutliveIt(t *testing.T) {
	dir := t.TempDir()
	memory := Memory{Applied: filepath.Join(dir, "applied.json"), Repairs: filepath.Join(dir, "repairs.json")}
	k := newFakeKernel()
	r, _, log := newWatched(k, Options{Memory: memory})
	rec := record(t, 0)
	r.Commit(t.Context(), rec, "n1")
	delete(k.has, member)
	r.RepairObjects(t.Context(), nil)
	if n := r.Repairs(); n != 0 {
		t.Errorf("%d repairs were counted that were asked for", n)
	}
	delete(k.has, member)
	delete(k.has, natChain)
	r.Repair(t.Context())
	if n := r.Repairs(); n != 2 || strings.Count(log.String(), "msg=repaired ") != 2 {
		t.Errorf("counted %d, logged:\n%s", n, log)
	}
	r, _, _ = newWatched(k, Options{Memory: memory})
	if n := r.Repairs(); n != 2 {
		t.Errorf("%d after a restart", n)
	}
	delete(k.has, member)
	r.Resume(t.Context(), rec, "n1") // somebody did that meanwhile
	if n := r.Repairs(); n != 3 {
		t.Errorf("%d after a start that repaired one", n)
	}
	memory.Repairs = filepath.Join(dir, "no such folder", "repairs.json")
	r, _, log = newWatched(k, Options{Memory: memory})
	r.Commit(t.Context(), rec, "n1")
	delete(k.has, member)
	r.Repair(t.Context())
	if k.has[member] == nil || !strings.Contains(log.String(), "cannot keep") {
		t.Errorf("a count that cannot be kept kept a repair from happening: %s", log)
	}
}

func TestAfterARestartWithReportNothingIsTouched(t *testing.T) {
	dir := t.TempDir()
	memory := Memory{Applied: filepath.Join(dir, "applied.json")}
	k := newFakeKernel()
	rec := record(t, 0)
	rec.Cluster.Repair = mesh.RepairReport
	start := func(rec *mesh.Record) (*Reconciler, string) {
		k.forget()
		r, _, _ := newWatched(k, Options{Memory: memory})
		return r, texts(r.Resume(t.Context(), rec, "n1"))
	}
	if _, left := start(rec); left != "" || len(k.ops) == 0 {
		t.Errorf("after a boot: %v, left %s", k.ops, left)
	}
	delete(k.has, member)
	r, left := start(rec)
	if len(k.ops) != 0 || !strings.Contains(left, "lacks port 8080") {
		t.Errorf("after a restart: %v, left %s", k.ops, left)
	}
	if applied, _ := r.Status(t.Context()); applied != rec.Generation {
		t.Errorf("applied generation %d", applied)
	}
	k.refuses[state.VirtualServer{Proto: "tcp", Addr: serverOf(rec, 9000)}.Key()] = errors.New("no memory")
	next := record(t, 1)
	next.Cluster.Repair = mesh.RepairReport
	r.Commit(t.Context(), next, "n1")
	clear(k.refuses)
	if r, left = start(next); left != "" || len(k.ops) == 0 {
		t.Errorf("after a restart in the middle of an apply: %v, left %s", k.ops, left)
	}
	if applied, _ := r.Status(t.Context()); applied != next.Generation {
		t.Errorf("applied generation %d", applied)
	}
}

// fakeFile is whole or not.
type fakeFile struct {
	fault string
	fails error
}

func (f *fakeFile) Check() state.OwnFile {
	return state.OwnFile{What: "systemd unit", Path: "/etc/unit", Fault: f.fault}
}

func (f *fakeFile) Repair(context.Context) error {
	if f.fails == nil {
		f.fault = ""
	}
	return f.fails
}

func TestRepair_OwnFiles(t *testing.T) {
	k := newFakeKernel()
	file := &fakeFile{fault: "is missing"}
	r, _, _ := newWatched(k, Options{Files: []File{file}})
	r.Repair(t.Context())
	if file.fault == "" {
		t.Error("repaired without a record")
	}
	expect(t, "problems", texts(r.Commit(t.Context(), record(t, 0), "n1")), "")
	file.fault = "is missing"
	_, problems := r.Status(t.Context())
	expect(t, "problems", texts(problems), "node/n1: The systemd unit /etc/unit is missing.\n")
	r.Repair(t.Context())
	if file.fault != "" || r.Repairs() != 1 {
		t.Errorf("fault %q, %d repairs", file.fault, r.Repairs())
	}
	file.fault, file.fails = "is missing", errors.New("read-only file system")
	expect(t, "left", texts(r.RepairObjects(t.Context(), []mesh.Ref{mesh.NodeRef("n1")})), "node/n1: The systemd unit /etc/unit is missing: read-only file system.\n")
	expect(t, "left of another", texts(r.RepairObjects(t.Context(), []mesh.Ref{mesh.NodeRef("n2")})), "")
	next := record(t, 0).Next()
	next.RemoveNode("n1")
	expect(t, "problems of a host that is no node", texts(r.Commit(t.Context(), next, "")), "cluster: The systemd unit /etc/unit is missing: read-only file system.\n")
}
