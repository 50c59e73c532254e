package server

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func (a *agent) vote(t *testing.T, holder string, rec *mesh.Record, seen string) mesh.Refusal {
	t.Helper()
	var resp mesh.PrepareResponse
	_, refusal := a.call(t, "POST", mesh.PathPrepare, mesh.PrepareRequest{Holder: holder, Vote: true, Replaces: seen, Record: rec}, &resp)
	return refusal
}

// What is promised to one writer is refused to another, after the lease and after a
// restart; a newer generation is not.
func TestPromise_OutlivesLeaseAndAgent(t *testing.T) {
	dir := t.TempDir()
	a := newAgent(t, dir)
	own := cluster(t, "u", "n1")
	a.has(t, "n1", own)
	if r := a.vote(t, "first", own.Next(), own.Hash()); r.Code != "" {
		t.Fatal(r)
	}
	if got := a.statusOf(t, "").Promised; got != 2 {
		t.Errorf("the status has %d as promised", got)
	}
	for name, agent := range map[string]*agent{"after the lease": a, "after a restart": newAgent(t, dir)} {
		agent.now = agent.now.Add(2 * mesh.LeaseTTL)
		other := own.Next()
		other.Cluster.MTU = 1300
		if r := agent.vote(t, "second", other, own.Hash()); r.Code != mesh.Stale || r.Promised != 2 || r.Generation != 1 {
			t.Errorf("%s: %+v", name, r)
		}
		if r := agent.vote(t, "first", own.Next(), own.Hash()); r.Code != "" {
			t.Errorf("%s: the same writer hears %+v", name, r)
		}
	}
	again := newAgent(t, dir)
	if r := again.vote(t, "second", at(own.Next(), 3), own.Hash()); r.Code != "" {
		t.Errorf("a newer generation: %+v", r)
	}
}

// A node that is no voter promises nothing: its writer's word is not needed.
func TestPromise_VotersOnly(t *testing.T) {
	dir := t.TempDir()
	a := newAgent(t, dir)
	a.has(t, "n1", cluster(t, "u", "n1"))
	if _, err := os.Stat(filepath.Join(dir, "promise.json")); err == nil {
		t.Error("a promise was written")
	}
}

// Of a damaged promise nothing is known but that it was not far ahead.
func TestPromise_Damaged(t *testing.T) {
	dir := t.TempDir()
	own := cluster(t, "u", "n1")
	newAgent(t, dir).has(t, "n1", own)
	if err := os.WriteFile(filepath.Join(dir, "promise.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := newAgent(t, dir)
	promised := a.statusOf(t, "").Promised
	if r := a.vote(t, "w", own.Next(), own.Hash()); r.Code != mesh.Stale || promised <= 2 {
		t.Errorf("%+v, promised %d", r, promised)
	}
	if r := a.vote(t, "w", at(own.Next(), promised+1), own.Hash()); r.Code != "" {
		t.Errorf("beyond it: %+v", r)
	}
}

// A generation that no commits led to does not shut the node off: a writer that has
// seen it replaces it by an honest one.
func TestGeneration_CannotBeExhausted(t *testing.T) {
	a := newAgent(t, t.TempDir())
	forged := at(cluster(t, "u", "n1"), 1<<63)
	a.has(t, "n1", forged)
	honest := at(forged, 8)
	if r := a.vote(t, "w", honest, ""); r.Code != mesh.Stale {
		t.Errorf("without having seen it: %+v", r)
	}
	if r := a.vote(t, "w", honest, forged.Hash()); r.Code != "" {
		t.Errorf("%+v", r)
	}
}
