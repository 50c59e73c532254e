package server

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/health"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// fakeFront notes, among the reconciler's calls, what it follows and which
// generation is on disk by then.
type fakeFront struct {
	agent    *agent
	problems []mesh.Problem
}

func (f *fakeFront) Follow(rec *mesh.Record, node string) {
	stored, err := f.agent.Store.Read()
	f.agent.reconciler.calls = append(f.agent.reconciler.calls, fmt.Sprintf("follow %s@%d, on disk %d %v", node, rec.Generation, stored.generation(), err))
}

func (f *fakeFront) Problems() []mesh.Problem { return f.problems }

type fakeHealth map[compile.Check]health.Result

func (f fakeHealth) Results() map[compile.Check]health.Result { return f }

func fronted(t *testing.T, dir string) (*agent, *fakeFront) {
	t.Helper()
	a := newAgent(t, dir)
	f := &fakeFront{agent: a}
	a.Front = f
	return a, f
}

func (a *agent) expectCalls(t *testing.T, what string, want ...string) {
	t.Helper()
	if got := fmt.Sprintf("%q", a.reconciler.calls); got != fmt.Sprintf("%q", want) {
		t.Errorf("%s:\n%s\nwant\n%q", what, got, want)
	}
	a.reconciler.calls = nil
}

func TestADrainIsOnDiskAndAnnouncedBeforeAnythingChanges(t *testing.T) {
	a, _ := fronted(t, t.TempDir())
	rec := cluster(t, "u", "n1")
	a.has(t, "n1", rec)
	a.expectCalls(t, "a first commit", "announce n1@1", "follow n1@1, on disk 1 <nil>", "apply n1@1")
	a.has(t, "n1", rec.Next())
	a.expectCalls(t, "a commit", "announce n1@2", "follow n1@2, on disk 2 <nil>", "apply n1@2")

	again, _ := fronted(t, a.dir)
	again.Start(t.Context())
	again.Start(t.Context())
	again.expectCalls(t, "a start", "follow n1@2, on disk 2 <nil>", "apply n1@2")
	early, _ := fronted(t, a.dir)
	early.has(t, "n1", rec.Next().Next())
	early.expectCalls(t, "a commit before the start", "follow n1@2, on disk 2 <nil>", "apply n1@2",
		"announce n1@3", "follow n1@3, on disk 3 <nil>", "apply n1@3")
	early.Start(t.Context())
	early.expectCalls(t, "the start after it")
}

func TestDrainsThatCannotBeKeptRefuseTheCommit(t *testing.T) {
	a, _ := fronted(t, t.TempDir())
	rec := cluster(t, "u", "n1")
	a.has(t, "n1", rec)
	a.reconciler.calls, a.reconciler.full = nil, errors.New("no space left on device")
	next := rec.Next()
	a.prepare(t, "w", "n1", next)
	_, refusal := a.call(t, "POST", mesh.PathCommit, mesh.CommitRequest{Holder: "w", Generation: 2, Hash: next.Hash()}, nil)
	want := "The node could not keep the record, and changed nothing: no space left on device. Is its disk full or read-only?"
	if refusal.Code != mesh.Failed || refusal.Text != want {
		t.Errorf("refused by %+v", refusal)
	}
	a.expectCalls(t, "calls", "announce n1@2")
	stored, err := a.Store.Read()
	if err != nil || stored.generation() != 1 || a.statusOf(t, "").Generation != 1 {
		t.Errorf("on disk: generation %d, %v", stored.generation(), err)
	}
	a.reconciler.full = nil
	if code := a.commit(t, "w", next); code != "" {
		t.Errorf("the same commit once there is space: %s", code)
	}
}

func TestWhatKeepsTheAddressesFromAnsweringIsAProblemOfStatusCommitAndRepair(t *testing.T) {
	a, f := fronted(t, t.TempDir())
	rec := cluster(t, "u", "n1")
	a.reconciler.problems = []mesh.Problem{{Object: mesh.ClusterRef, Text: "B."}, {Object: mesh.MustParseRef("port/80/tcp"), Text: "C."}}
	f.problems = []mesh.Problem{{Object: mesh.NodeRef("n1"), Text: "Taken."}, {Object: mesh.ClusterRef, Text: "A."}}
	a.prepare(t, "w", "n1", rec)
	var committed mesh.CommitResponse
	a.call(t, "POST", mesh.PathCommit, mesh.CommitRequest{Holder: "w", Generation: 1, Hash: rec.Hash()}, &committed)
	const sorted = "[{ cluster   A.} { cluster   B.} { node/n1   Taken.} { port/80/tcp   C.}]"
	if got := fmt.Sprint(committed.Problems); got != sorted {
		t.Errorf("the commit answers %s", got)
	}
	if got := fmt.Sprint(a.statusOf(t, "").Problems); got != sorted {
		t.Errorf("the status is %s", got)
	}
	for _, test := range []struct {
		objects []mesh.Ref
		want    string
	}{
		{nil, sorted},
		{[]mesh.Ref{mesh.NodeRef("n1")}, "[{ cluster   B.} { node/n1   Taken.} { port/80/tcp   C.}]"}, // the fake reconciler does not choose
	} {
		var repaired mesh.RepairResponse
		a.call(t, "POST", mesh.PathRepair, mesh.RepairRequest{Objects: test.objects}, &repaired)
		if got := fmt.Sprint(repaired.Problems); got != test.want {
			t.Errorf("the repair of %v answers %s", test.objects, got)
		}
	}
	if fmt.Sprint(f.problems) != "[{ node/n1   Taken.} { cluster   A.}]" {
		t.Errorf("the front's own problems were changed: %v", f.problems)
	}
}

func TestDrainsAreListedAndCountedInTheCommitsAnswer(t *testing.T) {
	a := newAgent(t, t.TempDir())
	a.reconciler.draining = []mesh.Drain{{Port: mesh.PortKey{Port: 80, Protocol: mesh.TCP}, Service: "web", Endpoint: "a", Active: 3}}
	rec := cluster(t, "u", "n1")
	a.prepare(t, "w", "n1", rec)
	var committed mesh.CommitResponse
	a.call(t, "POST", mesh.PathCommit, mesh.CommitRequest{Holder: "w", Generation: 1, Hash: rec.Hash()}, &committed)
	if committed.Drains != 1 {
		t.Errorf("the commit answers %+v", committed)
	}
	var drains mesh.Drains
	if code, refusal := a.call(t, "GET", mesh.PathDrains, "", &drains); code != http.StatusOK || len(drains.Drains) != 1 || drains.Drains[0].Active != 3 || drains.Entering != 5 {
		t.Errorf("%d %s, %+v", code, refusal.Text, drains)
	}
	a.reconciler.deaf = errors.New("IPVS is deaf")
	if code, refusal := a.call(t, "GET", mesh.PathDrains, "", nil); code != 500 || refusal.Text != "The agent could not count the connections of what drains: IPVS is deaf." {
		t.Errorf("%d %q", code, refusal.Text)
	}
}

func TestMetricsAreServedWhereThereAreSome(t *testing.T) {
	a := newAgent(t, t.TempDir())
	if code, _ := a.call(t, "GET", mesh.PathMetrics, "", nil); code != http.StatusNotFound {
		t.Errorf("without: %d", code)
	}
	a.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `"routingmesh_repairs_total 7"`) })
	var text string
	if code, _ := a.call(t, "GET", mesh.PathMetrics, "", &text); code != http.StatusOK || text != "routingmesh_repairs_total 7" {
		t.Errorf("%d %q", code, text)
	}
}

// served is a node n1 of a cluster whose service web is checked: a on n1, b and c
// on n2; and whose service plain is not.
func served(t *testing.T) (*agent, *fakeInspector, *mesh.Record) {
	t.Helper()
	a, f := inspected(t)
	rec := cluster(t, "u", "n1", "n2")
	check(t, rec.PutService(&mesh.Service{
		Name: "web", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1"}, "b": {Node: "n2"}, "c": {Node: "n2", Port: 81}},
		HealthCheck: &mesh.HealthCheck{Type: mesh.CheckTCP, IntervalMillis: 5000, TimeoutMillis: 2000, Rise: 2, Fall: 3, OnUnhealthy: mesh.KeepConnections},
	}))
	check(t, rec.PutService(&mesh.Service{Name: "plain", Endpoints: map[string]mesh.Endpoint{"d": {Node: "n1"}}}))
	for _, p := range []mesh.PublishedPort{
		{Service: "web", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress},
		{Service: "web", Published: 8443, Target: 443, Protocol: mesh.TCP, Mode: mesh.Ingress},
		{Service: "web", Published: 8443, Target: 444, Protocol: mesh.UDP, Mode: mesh.Ingress},
		{Service: "plain", Published: 9000, Target: 90, Protocol: mesh.TCP, Mode: mesh.Ingress},
	} {
		check(t, rec.PutPort(&p))
	}
	a.has(t, "n1", rec)
	return a, f, rec
}

// fail has the endpoint's address fail its check.
func (a *agent) fail(h fakeHealth, service, endpoint, addr, reason string) {
	c := compile.Check{Service: service, Addr: netip.MustParseAddrPort(addr)}
	h[c] = health.Result{Endpoint: endpoint, Failing: reason != "", Reason: reason}
	if a.reconciler.conditions.Unhealthy == nil {
		a.reconciler.conditions.Unhealthy = map[compile.Check]bool{}
	}
	a.reconciler.conditions.Unhealthy[c] = reason != ""
}

func TestTheStatusListsWhoFails(t *testing.T) {
	a, _, _ := served(t)
	h := fakeHealth{}
	a.Health = h
	if st := a.statusOf(t, ""); st.Unhealthy != nil {
		t.Errorf("nobody fails, but %v", st.Unhealthy)
	}
	a.fail(h, "web", "b", "10.255.1.2:80", "connection refused")
	a.fail(h, "web", "a", "10.255.0.2:80", "")
	a.fail(h, "web", "a", "10.255.0.2:443", "no answer within 2s")
	a.fail(h, "gone", "x", "10.255.0.2:1", "connection refused")
	expected := "[{web a 10.255.0.2:443 unhealthy no answer within 2s} {web b 10.255.1.2:80 unhealthy connection refused}]"
	if got := fmt.Sprint(a.statusOf(t, "").Unhealthy); got != expected {
		t.Errorf("unhealthy: %s\nwant %s", got, expected)
	}
	a.fail(h, "web", "b", "10.255.1.2:443", "reset")
	a.fail(h, "web", "c", "10.255.1.2:81", "reset") // with that nobody is left for 8443
	expected = "[{web a 10.255.0.2:443 unhealthy_kept no answer within 2s} {web b 10.255.1.2:80 unhealthy_kept connection refused} " +
		"{web b 10.255.1.2:443 unhealthy_kept reset} {web c 10.255.1.2:81 unhealthy_kept reset}]"
	if got := fmt.Sprint(a.statusOf(t, "").Unhealthy); got != expected {
		t.Errorf("unhealthy: %s\nwant %s", got, expected)
	}
}

func TestCountersSayWhoFailsAndWhoDrains(t *testing.T) {
	a, f, rec := served(t)
	h := fakeHealth{}
	a.Health = h
	a.fail(h, "web", "a", "10.255.0.2:80", "")
	a.fail(h, "web", "a", "10.255.0.2:443", "status 500, not 200-399")
	a.fail(h, "web", "c", "10.255.1.2:81", "")
	at := func(node string, port uint16) kernel.Destination {
		return kernel.Destination{Addr: netip.AddrPortFrom(rec.Nodes[node].HostAddress(), port)}
	}
	server := func(proto mesh.Protocol, port uint16, dests ...kernel.Destination) kernel.Server {
		return kernel.Server{Proto: proto, Addr: netip.AddrPortFrom(rec.Nodes["n1"].MeshAddress(), port), Destinations: dests}
	}
	f.servers = []kernel.Server{
		server(mesh.TCP, 8080, at("n1", 80), at("n2", 81), at("n2", 99)),
		server(mesh.TCP, 8443, at("n1", 443), at("n2", 81)),
		server(mesh.UDP, 8443, at("n1", 444)),
		server(mesh.TCP, 9000, at("n1", 90)),
	}
	a.reconciler.draining = []mesh.Drain{{Port: mesh.PortKey{Port: 8080, Protocol: mesh.TCP}, Endpoint: "old", Address: at("n2", 99).Addr}}
	a.expectCounters(t, ""+
		"8080/tcp a healthy \n8080/tcp c healthy \n8080/tcp old draining \n"+
		"8443/tcp a unhealthy status 500, not 200-399\n8443/tcp c healthy \n"+
		"8443/udp a unhealthy status 500, not 200-399\n"+
		"9000/tcp d  \n")
	a.reconciler.deaf = errors.New("IPVS is deaf")
	if code, _ := a.call(t, "GET", mesh.PathCounters, "", nil); code != 500 {
		t.Errorf("%d", code)
	}
}

func TestCountersGoByThePortThatTheCheckNames(t *testing.T) {
	a, f, rec := served(t)
	next := rec.Next()
	next.Services["web"].HealthCheck.Port = 7
	a.has(t, "n1", next)
	h := fakeHealth{}
	a.Health = h
	a.fail(h, "web", "a", "10.255.0.2:7", "connection refused")
	f.servers = []kernel.Server{{Proto: mesh.TCP, Addr: netip.MustParseAddrPort("10.255.0.1:8080"), Destinations: []kernel.Destination{
		{Addr: netip.MustParseAddrPort("10.255.0.2:80")}, {Addr: netip.MustParseAddrPort("10.255.1.2:80")},
	}}}
	a.expectCounters(t, "8080/tcp a unhealthy connection refused\n8080/tcp b  \n")
}

func (a *agent) expectCounters(t *testing.T, want string) {
	t.Helper()
	var c mesh.Counters
	if code, refusal := a.call(t, "GET", mesh.PathCounters, "", &c); code != http.StatusOK {
		t.Fatalf("%d %s", code, refusal.Text)
	}
	got := ""
	for _, p := range c.Ports {
		for _, e := range p.Endpoints {
			state := string(e.Health)
			if e.Draining {
				state += "draining"
			}
			got += fmt.Sprintf("%s %s %s %s\n", p.Port, e.Endpoint, state, e.Reason)
		}
	}
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
