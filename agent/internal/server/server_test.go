package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// fakeReconciler notes what it is told to apply.
type fakeReconciler struct {
	commits  []string // "n1@3"
	problems []mesh.Problem
	ctxErr   error // of the context during the last commit
	asked    [][]mesh.Object
}

func (f *fakeReconciler) Commit(ctx context.Context, rec *mesh.Record, node string) []mesh.Problem {
	f.commits = append(f.commits, fmt.Sprintf("%s@%d", node, rec.Generation))
	f.ctxErr = ctx.Err()
	return f.problems
}

func (f *fakeReconciler) Resume(ctx context.Context, rec *mesh.Record, node string) []mesh.Problem {
	return f.Commit(ctx, rec, node)
}

func (f *fakeReconciler) RepairObjects(_ context.Context, objects []mesh.Object) []mesh.Problem {
	f.asked = append(f.asked, objects)
	return f.problems
}

func (f *fakeReconciler) Repairs() uint64 { return 7 }

func (f *fakeReconciler) Status(context.Context) (uint64, []mesh.Problem) {
	return uint64(len(f.commits)), f.problems
}

// fakeHost says of every node but the one named fine that its disk is wet.
type fakeHost struct{ checked []string }

func (f *fakeHost) Facts() (mesh.HostFacts, error) { return mesh.HostFacts{Hostname: "box"}, nil }

func (f *fakeHost) Preflight(_ context.Context, _, next *mesh.Record, node string) []mesh.Problem {
	f.checked = append(f.checked, node)
	if next.Nodes[node].Labels["wet"] != "" {
		return []mesh.Problem{{Object: mesh.NodeObject(node), Text: "The disk is wet."}}
	}
	return nil
}

// agent is a server with everything around it faked but the disk.
type agent struct {
	*Server
	dir        string
	reconciler *fakeReconciler
	host       *fakeHost
	now        time.Time
}

func newAgent(t *testing.T, dir string) *agent {
	t.Helper()
	a := &agent{dir: dir, reconciler: &fakeReconciler{}, host: &fakeHost{}, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	s, err := New(Options{
		Store: NewStore(dir), Reconciler: a.reconciler, Host: a.host, Log: slog.New(slog.DiscardHandler),
		Version: "1.2.3", BinarySHA256: "abc", Now: func() time.Time { return a.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	a.Server = s
	return a
}

// call returns the HTTP status and the refusal; a 200 is read into into.
func (a *agent) call(t *testing.T, method, path string, body, into any) (int, mesh.Refusal) {
	t.Helper()
	data, ok := body.(string)
	if !ok {
		encoded, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		data = string(encoded)
	}
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(data)))
	var refusal mesh.Refusal
	if w.Code >= 400 {
		into = &refusal
	}
	if into != nil {
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatalf("%s %s answered %d %q: %v", method, path, w.Code, w.Body, err)
		}
	}
	return w.Code, refusal
}

func (a *agent) prepare(t *testing.T, holder, node string, rec *mesh.Record) (mesh.RefusalCode, string) {
	t.Helper()
	var resp mesh.PrepareResponse
	_, refusal := a.call(t, "POST", mesh.PathPrepare, mesh.PrepareRequest{Holder: holder, Node: node, Record: rec}, &resp)
	return refusal.Code, refusal.Text
}

func (a *agent) commit(t *testing.T, holder string, rec *mesh.Record) mesh.RefusalCode {
	t.Helper()
	var resp mesh.CommitResponse
	_, refusal := a.call(t, "POST", mesh.PathCommit, mesh.CommitRequest{Holder: holder, Generation: rec.Generation, Hash: rec.Hash()}, &resp)
	return refusal.Code
}

func (a *agent) statusOf(t *testing.T, query string) mesh.Status {
	t.Helper()
	var st mesh.Status
	if code, refusal := a.call(t, "GET", mesh.PathStatus+query, "", &st); code != http.StatusOK {
		t.Fatalf("status: %d %s", code, refusal.Text)
	}
	return st
}

// has commits rec as the named node, which must go through.
func (a *agent) has(t *testing.T, node string, rec *mesh.Record) {
	t.Helper()
	if code, text := a.prepare(t, "setup", node, rec); code != "" {
		t.Fatalf("prepare: %s: %s", code, text)
	}
	if code := a.commit(t, "setup", rec); code != "" {
		t.Fatalf("commit: %s", code)
	}
}

// cluster returns generation 1 of a cluster with the nodes.
func cluster(tb testing.TB, uid string, nodes ...string) *mesh.Record {
	tb.Helper()
	rec, err := mesh.NewRecord(uid, mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("demo"), PublishedPortRange: mesh.DefaultPortRange,
	})
	if err != nil {
		tb.Fatal(err)
	}
	for i, name := range nodes {
		if err := rec.PutNode(&mesh.Node{Name: name, Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}); err != nil {
			tb.Fatal(err)
		}
	}
	return rec.Next()
}

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
	}{
		{"the next generation", "n1", "n1", next, "", ""},
		{"a name is not needed twice", "n1", "", next, "", ""},
		{"a node that has missed some", "n1", "n1", lagging, "", ""},
		{"a new host takes any generation", "-", "n1", lagging, "", ""},
		{"a host that keeps the record becomes a node", "", "n2", next, "", ""},
		{"a host that leaves may say its old name", "n1", "n1", without, "", ""},
		{"a host that left may come back as another node", "n1", "n2", without, "", ""},
		{"the same generation again", "n1", "n1", own, mesh.Stale, "has generation 1, the change was made for generation 1"},
		{"another parent", "n1", "n1", fork, mesh.Stale, "forked"},
		{"another cluster of the same name", "n1", "n1", cluster(t, "other", "n1").Next(), mesh.Foreign, "routingmesh-agent uninstall"},
		{"another node of this cluster", "n1", "n2", next, mesh.Foreign, "already node n1"},
		{"a record that breaks a rule", "n1", "n1", broken, mesh.Failed, "identifier"},
		{"a record that is not one to commit yet", "-", "", &mesh.Record{}, mesh.Failed, "generation 0"},
		{"no record", "n1", "n1", nil, mesh.Failed, "no record"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newAgent(t, t.TempDir())
			if tt.node != "-" {
				a.has(t, tt.node, own)
			}
			code, text := a.prepare(t, "w", tt.ask, tt.rec)
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
	if len(resp.Problems) != 1 || resp.Problems[0].Object != "node/n1" {
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
