package reconcile

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/health"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// webOf is a record of n1, n2, n3 and the service web, published as 8080/tcp → 80:
// a on n1 (10.255.0.2), b on n2 (10.255.1.2), c on n3 (10.255.2.2), changed by edit.
func webOf(t *testing.T, edit func(*mesh.Record, *mesh.Service)) *mesh.Record {
	t.Helper()
	rec := record(t, 0)
	put := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	put(rec.PutNode(&mesh.Node{Name: "n3", Address: netip.MustParseAddr("192.0.2.3"), UnderlayMTU: 1500}))
	web := &mesh.Service{
		Name: "web", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1"}, "b": {Node: "n2"}, "c": {Node: "n3"}}, DrainSeconds: 30,
		HealthCheck: &mesh.HealthCheck{Type: mesh.CheckTCP, IntervalMillis: 1000, TimeoutMillis: 500, Rise: 1, Fall: 1, OnUnhealthy: mesh.KeepConnections},
	}
	if edit != nil {
		edit(rec, web)
	}
	put(rec.PutService(web))
	return rec
}

// after is the next generation of rec, changed by edit.
func after(t *testing.T, rec *mesh.Record, edit func(*mesh.Record, *mesh.Service)) *mesh.Record {
	t.Helper()
	next := rec.Next()
	edit(next, next.Services["web"])
	if err := next.Validate(); err != nil {
		t.Fatal(err)
	}
	return next
}

func without3(_ *mesh.Record, web *mesh.Service) { delete(web.Endpoints, "c") }

// to is the address of the endpoint on n1, n2 or n3.
func to(node int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 255, byte(node - 1), 2}), 80)
}

// toward is the key of 8080/tcp's destination on n1, n2 or n3, as n1 has it.
func toward(node int) state.Key {
	return state.RealServer{Proto: "tcp", Server: netip.MustParseAddrPort("10.255.0.1:8080"), Addr: to(node)}.Key()
}

// weights are those of 8080/tcp's destinations, "1 1 0", or - for none.
func (f *fakeKernel) weights() string { return weights(f.has) }

func weights(s state.State) string {
	var list []string
	for node := 1; node <= 3; node++ {
		if o, ok := s[toward(node)].(state.RealServer); ok {
			list = append(list, fmt.Sprint(o.Weight))
		} else {
			list = append(list, "-")
		}
	}
	return strings.Join(list, " ")
}

// did is what the kernel was told, and forgets it.
func (f *fakeKernel) did() string {
	var list []string
	for _, op := range f.ops {
		list = append(list, op.String())
	}
	f.forget()
	return strings.Join(list, "; ")
}

// fakeHealth says what it is told.
type fakeHealth struct {
	mu      sync.Mutex
	failing map[compile.Check]bool
	changed chan struct{}
	kept    []string // "n1@3"
	onKeep  func()
}

func newFakeHealth() *fakeHealth {
	return &fakeHealth{failing: map[compile.Check]bool{}, changed: make(chan struct{}, 1)}
}

func (h *fakeHealth) Keep(rec *mesh.Record, node string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	generation := uint64(0)
	if rec != nil {
		generation = rec.Generation
	}
	h.kept = append(h.kept, fmt.Sprintf("%s@%d", node, generation))
	if h.onKeep != nil {
		h.onKeep()
	}
}

func (h *fakeHealth) Failing() map[compile.Check]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failing
}

func (h *fakeHealth) Results() map[compile.Check]health.Result {
	h.mu.Lock()
	defer h.mu.Unlock()
	results := map[compile.Check]health.Result{}
	for c, fails := range h.failing {
		results[c] = health.Result{Failing: fails, Reason: "connection refused"}
	}
	return results
}

func (h *fakeHealth) Changed() <-chan struct{} { return h.changed }

// is has the endpoint of web on the node fail or pass from now on.
func (h *fakeHealth) is(failing bool, nodes ...int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := maps.Clone(h.failing)
	if now == nil {
		now = map[compile.Check]bool{}
	}
	for _, node := range nodes {
		now[compile.Check{Service: "web", Addr: to(node)}] = failing
	}
	h.failing = now
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// checkedReconciler has a fake of everything.
func checkedReconciler(o Options) (*Reconciler, *fakeKernel, *fakeHealth, *fakeWatch, *bytes.Buffer) {
	k, h := newFakeKernel(), newFakeHealth()
	o.Health = h
	r, w, log := newWatched(k, o)
	return r, k, h, w, log
}
