package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// fakeReconciler notes what it is told to apply.
type fakeReconciler struct {
	commits    []string // "n1@3"
	calls      []string // of everything that must be in order
	problems   []mesh.Problem
	ctxErr     error // of the context during the last commit
	asked      [][]mesh.Ref
	full       error // what Announce fails with
	deaf       error // what Drains fails with
	draining   []mesh.Drain
	conditions compile.Conditions
}

func (f *fakeReconciler) Announce(rec *mesh.Record, node string, _ *mesh.Origin) error {
	f.calls = append(f.calls, fmt.Sprintf("announce %s@%d", node, rec.Generation))
	return f.full
}

func (f *fakeReconciler) Drains(context.Context) (*mesh.Drains, error) {
	return &mesh.Drains{Drains: f.draining, Entering: 5}, f.deaf
}

func (f *fakeReconciler) Draining() int { return len(f.draining) }

func (f *fakeReconciler) Conditions() compile.Conditions { return f.conditions }

func (f *fakeReconciler) Commit(ctx context.Context, rec *mesh.Record, node string) []mesh.Problem {
	f.commits = append(f.commits, fmt.Sprintf("%s@%d", node, rec.Generation))
	f.calls = append(f.calls, "apply "+f.commits[len(f.commits)-1])
	f.ctxErr = ctx.Err()
	return f.problems
}

func (f *fakeReconciler) Resume(ctx context.Context, rec *mesh.Record, node string) []mesh.Problem {
	return f.Commit(ctx, rec, node)
}

func (f *fakeReconciler) RepairObjects(_ context.Context, objects []mesh.Ref) []mesh.Problem {
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
		return []mesh.Problem{{Object: mesh.NodeRef(node), Text: "The disk is wet."}}
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
