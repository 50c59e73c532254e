package main

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// servingStatus is of a node with all that a service can have, and trouble.
func servingStatus(t *testing.T) *mesh.Status {
	t.Helper()
	st := sampleStatus(t)
	st.Problems, st.AppliedGeneration = nil, st.Generation
	rec, three := st.Record, 3
	check := mesh.HealthCheck{Type: mesh.CheckTCP, IntervalMillis: 5000, TimeoutMillis: 2000, Rise: 2, Fall: 3, OnUnhealthy: mesh.KeepConnections}
	must(t, rec.PutService(&mesh.Service{
		Name: "web", Scheduler: "wlc", Affinity: &mesh.Affinity{TimeoutSeconds: 600, PrefixLength: 32}, HealthCheck: &check,
		Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1", Weight: &three}, "b": {Node: "n2", Port: 81}},
	}))
	must(t, rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress, Locality: mesh.PreferLocal}))
	must(t, rec.PutPort(&mesh.PublishedPort{Service: "later", Published: 54, Target: 53, Protocol: mesh.UDP, Mode: mesh.Ingress, OnePacket: true}))
	rec.Nodes["n2"].Availability = mesh.AvailabilityDrain
	st.Unhealthy = []mesh.EndpointHealth{
		{Service: "web", Endpoint: "a", Address: netip.MustParseAddrPort("10.255.0.2:80"), Health: mesh.Unhealthy, Reason: "connection refused"},
		{Service: "web", Endpoint: "b", Address: netip.MustParseAddrPort("10.255.1.2:81"), Health: mesh.UnhealthyKept, Reason: "no answer within 2s"},
	}
	return st
}

func TestStatusOfWhoGetsNoNewConnections(t *testing.T) {
	p, stdout, stderr := newProgram(t, "")
	answers := map[string]any{
		"GET " + mesh.PathStatus: servingStatus(t),
		"GET " + mesh.PathDrains: mesh.Drains{Drains: []mesh.Drain{{
			Port: mesh.PortKey{Port: 8080, Protocol: mesh.TCP}, Service: "web", Endpoint: "old", Node: "n2", Address: netip.MustParseAddrPort("10.255.1.2:82"),
			Active: 3, Inactive: 1, RemainingMillis: 24_600,
		}}},
	}
	answering(t, p, answers)
	if code := p.main(t.Context(), []string{"status"}); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	_, got, _ := strings.Cut(stdout.String(), "as the record asks\n")
	want := `
UNHEALTHY  ENDPOINT  ADDRESS        REASON
web        a         10.255.0.2:80  connection refused
web        b         10.255.1.2:81  no answer within 2s; all of its port fail, so all are used

DRAINING  SERVICE  ENDPOINT  ADDRESS        CONNECTIONS   ENDS WITHIN
8080/tcp  web      old       10.255.1.2:82  3, 1 closing  25s

PORT      MODE                   SERVICE                    ENDPOINTS
53/udp    host                   later                      none: connections are refused
54/udp    ingress, one_packet    later                      none: connections are refused
8080/tcp  ingress, prefer_local  web (wlc, affinity 10m0s)  n1:80(weight 3) n2:81(node drains)
`
	if got != want {
		t.Error(cmp.Diff(want, got))
	}
	answers["GET "+mesh.PathDrains] = "The agent could not count: IPVS is deaf."
	stdout.Reset()
	if code := p.main(t.Context(), []string{"status"}); code != exitFailed || !strings.Contains(stdout.String(), "UNHEALTHY") || !strings.Contains(stderr.String(), "IPVS is deaf") {
		t.Errorf("what is known is told: %d\n%s\n%s", code, stdout, stderr)
	}
}

func TestCheckOfEndpoints(t *testing.T) {
	c := testChecker(t)
	st := servingStatus(t)
	st.Record.Nodes["n2"].Availability = mesh.AvailabilityActive
	answering(t, c.program, map[string]any{"GET " + mesh.PathStatus: st})
	must(t, c.agent(t.Context()))
	c.endpoints()
	want := `ok    agent            version 1.2.3 runs
warn  endpoints        Service web: endpoint a (10.255.0.2:80) fails this node's health check: connection refused.
                       It gets no new connections from here.
FAIL  endpoints        Service web: endpoint b (10.255.1.2:81) fails this node's health check: no answer within 2s.
                       So do all others of a port of the service, so all are used as if they did not.

1 check failed.
`
	if got := c.report.text(t); got != want {
		t.Error(cmp.Diff(want, got))
	}
	c.report, c.status.Unhealthy = &report{}, nil
	if c.endpoints(); !strings.Contains(c.report.text(t), "2 are checked from here, and none fails") {
		t.Error(c.report.text(t))
	}
	c.report, c.stored.Record.Services["web"].HealthCheck = &report{}, nil
	if c.endpoints(); len(c.report.Findings) != 0 {
		t.Error("there is nothing to say where nobody is checked")
	}
}

func TestCheckOfIdleConnections(t *testing.T) {
	c := testChecker(t)
	c.stored.Record = sampleStatus(t).Record
	if c.idleConnections(); len(c.report.Findings) != 0 {
		t.Error("a host that tracks no connections forgets none")
	}
	file := c.path("proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established")
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	for content, want := range map[string]outcome{"432000\n": fine, "7800\n": fine, "7799\n": unsure, "3600\n": unsure} {
		c.report = &report{}
		must(t, os.WriteFile(file, []byte(content), 0o600))
		if c.idleConnections(); len(c.report.Findings) != 1 || c.report.Findings[0].Outcome != want {
			t.Errorf("%q: %+v", content, c.report.Findings)
		}
	}
	must(t, os.WriteFile(file, []byte("3600\n"), 0o600))
	c.report = &report{}
	c.idleConnections()
	want := "The host forgets a tcp connection after 1h0m0s without a packet, sooner than the cluster's tcp_idle_timeout of 2h10m0s: " +
		"connections to published ports that are idle for longer break here. Set net.netfilter.nf_conntrack_tcp_timeout_established = 7800 or more (sysctl), or lower the cluster's."
	if got := c.report.Findings[0].Text; got != want {
		t.Error(got)
	}
}

// TestVerdictsAndDrainsGoWithTheMesh: nothing of them stays on a host that leaves.
func TestVerdictsAndDrainsGoWithTheMesh(t *testing.T) {
	p, _, _ := newProgram(t, "")
	files := []string{p.health(), p.drains(), filepath.Join(filepath.Dir(p.health()), ".health.json.4711")} // see host.WriteFile
	for _, file := range files {
		must(t, os.MkdirAll(filepath.Dir(file), 0o700))
		must(t, os.WriteFile(file, nil, 0o600))
	}
	must(t, p.removeFiles())
	for _, file := range files {
		if _, err := os.Lstat(file); err == nil {
			t.Errorf("%s is still there", file)
		}
	}
	if filepath.Dir(p.health()) != p.runDir() || filepath.Dir(p.drains()) != p.stateDir() {
		t.Error("verdicts go with a boot, drains do not")
	}
}

// TestWhatRunsIsWiredTogether: verdicts and drains are kept where the next agent
// finds them, and the socket has the metrics.
func TestWhatRunsIsWiredTogether(t *testing.T) {
	p, _, _ := newProgram(t, "")
	must(t, os.MkdirAll(p.runDir(), 0o700))
	must(t, os.WriteFile(p.health(), []byte(`{"failing":[{"service":"web","address":"10.255.0.2:80","reason":"connection refused"}]}`), 0o600))
	a, err := p.newAgent(&kernel.Kernel{}, nil, mustFirewalld(t, p)) // nobody asks it here
	must(t, err)
	rec := servingStatus(t).Record
	a.health.Keep(rec, "n1")
	if down := (compile.Check{Service: "web", Addr: netip.MustParseAddrPort("10.255.0.2:80")}); !a.reconciler.Health.Failing()[down] {
		t.Error("an endpoint that was down before counts as healthy")
	}
	if a.reconciler.Options.Drains != p.drains() {
		t.Errorf("drains are kept in %q", a.reconciler.Options.Drains)
	}
	w := httptest.NewRecorder()
	a.server.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, mesh.PathMetrics, nil))
	if want := `routingmesh_agent_info{cluster="",node="",version="dev"} 1`; !strings.Contains(w.Body.String(), want) {
		t.Errorf("metrics of the socket: %d\n%s", w.Code, w.Body)
	}
	a.server.Options.Warnings = []func() []mesh.Warning{func() []mesh.Warning { return []mesh.Warning{{Code: mesh.WarnHost, Text: "Lost."}} }}
	w = httptest.NewRecorder()
	a.server.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, mesh.PathMetrics, nil))
	if want := `routingmesh_warnings{code="host"} 1`; !strings.Contains(w.Body.String(), want) {
		t.Errorf("what the server warns of is not in the metrics:\n%s", w.Body)
	}
	rec.Cluster.HealthAddress = "192.0.2.200:10256" // not this host's
	a.front.Follow(rec, "n1")
	t.Cleanup(func() { a.front.Follow(nil, "") })
	if problems := a.server.Front.Problems(); len(problems) != 1 || problems[0].Attribute != "health_address" {
		t.Errorf("problems of the addresses: %v", problems)
	}
}
