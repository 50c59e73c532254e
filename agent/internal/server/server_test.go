package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func TestACommitIsKeptAppliedAndThereAfterARestart(t *testing.T) {
	a := newAgent(t, t.TempDir())
	rec := cluster(t, "u", "n1")
	a.has(t, "n1", rec)
	again := newAgent(t, a.dir)
	again.Start(t.Context())
	st := again.statusOf(t, "")
	if st.Node != "n1" || st.Generation != 1 || st.Hash != rec.Hash() || st.Record == nil || st.Record.Hash() != rec.Hash() || st.API != mesh.APIVersion {
		t.Errorf("status %+v", st)
	}
	if got := fmt.Sprint(a.reconciler.commits, again.reconciler.commits); got != "[n1@1] [n1@1]" {
		t.Errorf("applied %s", got)
	}
	if st := again.statusOf(t, "?known="+rec.Hash()); st.Record != nil || st.Hash != rec.Hash() {
		t.Error("the record was sent to a caller who knows it")
	}
	if info, err := os.Stat(filepath.Join(a.dir, "record.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("record.json: %v %v", info, err)
	}
}

func TestAHostWithoutARecordSaysSoAndAppliesNothing(t *testing.T) {
	a := newAgent(t, t.TempDir())
	a.Start(t.Context())
	if st := a.statusOf(t, "?known="); st.Generation != 0 || st.Hash != "" || st.Record != nil || st.Problems == nil {
		t.Errorf("status %+v", st)
	}
	if len(a.reconciler.commits) != 0 {
		t.Error("something was applied")
	}
}

// at is the record with another generation.
func at(rec *mesh.Record, generation uint64) *mesh.Record {
	other := rec.Clone()
	other.Generation = generation
	return other
}

func TestThePrepareProtocol(t *testing.T) {
	own := cluster(t, "u", "n1", "n2")
	next := own.Next()
	fork := own.Next()
	fork.Parent = strings.Repeat("0", 64)
	lagging := next.Next().Next()
	without := own.Next()
	without.RemoveNode("n1")
	broken := own.Next()
	broken.Cluster.VNI = 0
	tests := []struct {
		name string
		node string // the host already is, with own; "-" for no record
		ask  string
		rec  *mesh.Record
		want mesh.RefusalCode
		says string
		seen string // the record that the writer has seen there
	}{
		{"the next generation", "n1", "n1", next, "", "", ""},
		{"a name is not needed twice", "n1", "", next, "", "", ""},
		{name: "a node that has missed some", node: "n1", ask: "n1", rec: lagging, seen: own.Hash()},
		{"a node that has something else", "n1", "n1", lagging, mesh.Stale, "is not the record that the writer has seen here", next.Hash()},
		{"a node that has lost it", "-", "n1", lagging, mesh.Stale, "has no record any more", own.Hash()},
		{name: "a fork that the writer has seen", node: "n1", ask: "n1", rec: fork, seen: own.Hash()},
		{"further than commits lead", "n1", "n1", at(lagging, 1<<60), mesh.Stale, "damaged or forged", own.Hash()},
		{"a new host takes any generation", "-", "n1", lagging, "", "", ""},
		{"a host that keeps the record becomes a node", "", "n2", next, "", "", ""},
		{"a host that leaves may say its old name", "n1", "n1", without, "", "", ""},
		{"a host that left may come back as another node", "n1", "n2", without, "", "", ""},
		{"the same generation again", "n1", "n1", own, mesh.Stale, "has generation 1, the change was made for generation 1", ""},
		{"another parent", "n1", "n1", fork, mesh.Stale, "forked", ""},
		{"another cluster of the same name", "n1", "n1", cluster(t, "other", "n1").Next(), mesh.Foreign, "routingmesh-agent uninstall", ""},
		{"another node of this cluster", "n1", "n2", next, mesh.Foreign, "already node n1", ""},
		{"a record that breaks a rule", "n1", "n1", broken, mesh.Failed, "vni must be 1–16777215, not 0", ""},
		{"a record that is not one to commit yet", "-", "", &mesh.Record{}, mesh.Failed, "generation 0", ""},
		{"no record", "n1", "n1", nil, mesh.Failed, "no record", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newAgent(t, t.TempDir())
			if tt.node != "-" {
				a.has(t, tt.node, own)
			}
			var resp mesh.PrepareResponse
			_, refusal := a.call(t, "POST", mesh.PathPrepare, mesh.PrepareRequest{Holder: "w", Node: tt.ask, Record: tt.rec, Replaces: tt.seen}, &resp)
			code, text := refusal.Code, refusal.Text
			if code != tt.want || !strings.Contains(text, tt.says) {
				t.Errorf("answer %q %q, want %q with %q", code, text, tt.want, tt.says)
			}
		})
	}
}

func TestAHostThatLeavesKeepsTheRecordAsNoNode(t *testing.T) {
	a := newAgent(t, t.TempDir())
	rec := cluster(t, "u", "n1", "n2")
	a.has(t, "n1", rec)
	next := rec.Next()
	next.RemoveNode("n1")
	a.has(t, "n1", next)
	if st := a.statusOf(t, ""); st.Node != "" || st.Generation != 2 {
		t.Errorf("status %+v", st)
	}
	if got := a.reconciler.commits[1]; got != "@2" {
		t.Errorf("applied %q", got)
	}
}

func TestALeaseKeepsOtherWritersOutUntilItRunsOut(t *testing.T) {
	a := newAgent(t, t.TempDir())
	rec := cluster(t, "u", "n1")
	a.prepare(t, "first", "n1", rec)
	a.now = a.now.Add(20 * time.Second)
	_, refusal := a.call(t, "POST", mesh.PathPrepare, mesh.PrepareRequest{Holder: "second", Record: rec}, nil)
	if refusal.Code != mesh.Busy || refusal.RetryAfterMillis != 40_000 {
		t.Errorf("the second writer hears %+v", refusal)
	}
	if code, _ := a.prepare(t, "first", "n1", rec); code != "" {
		t.Errorf("the holder may not prepare again: %s", code)
	}
	a.now = a.now.Add(mesh.LeaseTTL)
	if code := a.commit(t, "first", rec); code != mesh.NotPrepared {
		t.Errorf("commit after the lease: %q", code)
	}
	if code, _ := a.prepare(t, "second", "n1", rec); code != "" {
		t.Errorf("after the lease the second writer hears %s", code)
	}
	if code := a.commit(t, "first", rec); code != mesh.NotPrepared {
		t.Errorf("commit with another's lease: %q", code)
	}
	if code := a.commit(t, "second", rec); code != "" {
		t.Errorf("commit: %q", code)
	}
	if code, _ := a.prepare(t, "third", "n1", rec.Next()); code != "" {
		t.Errorf("a commit does not give the lease back: %s", code)
	}
}

func TestAnAbortGivesOnlyTheOwnLeaseBack(t *testing.T) {
	a := newAgent(t, t.TempDir())
	rec := cluster(t, "u", "n1")
	a.prepare(t, "first", "n1", rec)
	a.call(t, "POST", mesh.PathAbort, mesh.AbortRequest{Holder: "second"}, nil)
	if code, _ := a.prepare(t, "second", "n1", rec); code != mesh.Busy {
		t.Errorf("another's abort gave the lease back: %q", code)
	}
	if status, _ := a.call(t, "POST", mesh.PathAbort, mesh.AbortRequest{Holder: "first"}, nil); status != http.StatusNoContent {
		t.Errorf("abort answered %d", status)
	}
	if code, _ := a.prepare(t, "second", "n1", rec); code != "" {
		t.Errorf("after the abort: %q", code)
	}
}

func TestOnlyThePreparedRecordIsCommitted(t *testing.T) {
	a := newAgent(t, t.TempDir())
	rec := cluster(t, "u", "n1")
	if code := a.commit(t, "w", rec); code != mesh.NotPrepared {
		t.Errorf("without a prepare: %q", code)
	}
	a.prepare(t, "w", "n1", rec)
	if code := a.commit(t, "w", cluster(t, "u", "n1", "n2")); code != mesh.NotPrepared {
		t.Errorf("another record: %q", code)
	}
	if a.statusOf(t, "").Generation != 0 {
		t.Error("something was kept")
	}
}

func TestProblemsOfTheChecksAreAnswersAndHoldTheLease(t *testing.T) {
	a := newAgent(t, t.TempDir())
	rec := cluster(t, "u", "n1")
	rec.Nodes["n1"].Labels = map[string]string{"wet": "yes"}
	var resp mesh.PrepareResponse
	a.call(t, "POST", mesh.PathPrepare, mesh.PrepareRequest{Holder: "w", Node: "n1", Record: rec}, &resp)
	if len(resp.Problems) != 1 || resp.Problems[0].Object != mesh.NodeRef("n1") {
		t.Errorf("problems %+v", resp.Problems)
	}
	if code, _ := a.prepare(t, "other", "n1", rec); code != mesh.Busy {
		t.Errorf("the lease is not held: %q", code)
	}
	a.prepare(t, "w", "", cluster(t, "u"))
	if len(a.host.checked) != 1 {
		t.Errorf("checked %v: a host that is no node has nothing to check", a.host.checked)
	}
}

func TestACommitGoesOnWhenItsCallerHangsUp(t *testing.T) {
	a := newAgent(t, t.TempDir())
	rec := cluster(t, "u", "n1")
	a.prepare(t, "w", "n1", rec)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	body, err := json.Marshal(mesh.CommitRequest{Holder: "w", Generation: 1, Hash: rec.Hash()})
	if err != nil {
		t.Fatal(err)
	}
	a.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "POST", mesh.PathCommit, bytes.NewReader(body)))
	if len(a.reconciler.commits) != 1 || a.reconciler.ctxErr != nil {
		t.Errorf("applied %v under a context that is %v", a.reconciler.commits, a.reconciler.ctxErr)
	}
}

func TestADiskThatFailsChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	a := newAgent(t, dir)
	rec := cluster(t, "u", "n1")
	a.prepare(t, "w", "n1", rec)
	if code := a.commit(t, "w", rec); code != mesh.Failed {
		t.Errorf("commit: %q", code)
	}
	if len(a.reconciler.commits) != 0 || a.statusOf(t, "").Generation != 0 {
		t.Error("a record that is not on disk was applied")
	}
}

func TestRequestsThatAreNotUnderstood(t *testing.T) {
	a := newAgent(t, t.TempDir())
	tests := []struct {
		name, method, path, body string
		status                   int
		says                     string
	}{
		{"no JSON", "POST", mesh.PathPrepare, "hello", 400, "not what this agent"},
		{"an unknown field", "POST", mesh.PathAbort, `{"holder":"w","force":true}`, 400, "force"},
		{"more than one value", "POST", mesh.PathAbort, `{"holder":"w"}{}`, 400, "more after"},
		{"an unknown path", "GET", "/v9/status", "", 404, "/v9/status"},
		{"an unknown method", "POST", mesh.PathStatus, "", 404, "POST"},
		{"no holder", "POST", mesh.PathPrepare, `{"holder":"","node":"","record":null}`, 400, "holder"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, refusal := a.call(t, tt.method, tt.path, tt.body, nil)
			if status != tt.status || refusal.Code != mesh.Failed || !strings.Contains(refusal.Text, tt.says) {
				t.Errorf("answer %d %+v", status, refusal)
			}
		})
	}
}

func TestARequestThatIsTooLargeIsRefusedUnread(t *testing.T) {
	req := httptest.NewRequestWithContext(t.Context(), "POST", mesh.PathAbort, strings.NewReader("{"))
	req.ContentLength = maxBody + 1
	w := httptest.NewRecorder()
	newAgent(t, t.TempDir()).Handler().ServeHTTP(w, req)
	if w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), "64 MiB") {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
}

func TestAnUnreadableRecordIsSetAsideAndReported(t *testing.T) {
	for name, content := range map[string]string{
		"torn":              `{"node":"n1","record":{"format":1,"uid`,
		"empty":             "",
		"of a newer format": `{"node":"n1","record":{"format":99}}`,
		"null":              "null",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "record.json"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			a := newAgent(t, dir)
			a.Start(t.Context())
			st := a.statusOf(t, "")
			if len(st.Problems) != 1 || !strings.Contains(st.Problems[0].Text, "record.json.bad") || st.Generation != 0 {
				t.Errorf("status %+v", st)
			}
			if kept, err := os.ReadFile(filepath.Join(dir, "record.json.bad")); err != nil || string(kept) != content {
				t.Errorf("set aside: %q, %v", kept, err)
			}
			a.has(t, "n1", cluster(t, "u", "n1"))
			if st := a.statusOf(t, ""); len(st.Problems) != 0 {
				t.Errorf("after a commit: %+v", st.Problems)
			}
		})
	}
}
