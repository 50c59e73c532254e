package report

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/term"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func TestStatusOfWhoGetsNoNewConnections(t *testing.T) {
	r, stdout, stderr := newReporter(t)
	answers := map[string]any{
		"GET " + mesh.PathStatus: agenttest.ServingStatus(t),
		"GET " + mesh.PathDrains: mesh.Drains{Drains: []mesh.Drain{{
			Port: mesh.PortKey{Port: 8080, Protocol: mesh.TCP}, Service: "web", Endpoint: "old", Node: "n2", Address: netip.MustParseAddrPort("10.255.1.2:82"),
			Active: 3, Inactive: 1, RemainingMillis: 24_600,
		}}},
	}
	agenttest.Serve(t, r.Socket(), answers)
	if err := r.Status(t.Context(), false); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	_, got, _ := strings.Cut(stdout.String(), "as the record asks\n")
	want := `
Endpoints that fail their check:
SERVICE  ENDPOINT  ADDRESS        REASON
web      a         10.255.0.2:80  connection refused
web      b         10.255.1.2:81  no answer within 2s; all of its port fail, so
                                  all are used

Endpoints that drain:
PORT      SERVICE  ENDPOINT  ADDRESS        CONNECTIONS   ENDS WITHIN
8080/tcp  web      old       10.255.1.2:82  3, 1 closing  25s

PORT      MODE                   SERVICE             ENDPOINTS
53/udp    host                   later               none: connections are
                                                     refused
54/udp    ingress, one_packet    later               none: connections are
                                                     refused
8080/tcp  ingress, prefer_local  web (wlc, affinity  n1:80(weight 3)
                                 10m0s)              n2:81(node drains)
`
	if got != want {
		t.Error(cmp.Diff(want, got))
	}
	answers["GET "+mesh.PathDrains] = "The agent could not count: IPVS is deaf."
	stdout.Reset()
	if err := r.Status(t.Context(), false); err == nil || !strings.Contains(stdout.String(), "Endpoints that fail their check:") || !strings.Contains(err.Error(), "IPVS is deaf") {
		t.Errorf("what is known is told: %v\n%s", err, stdout)
	}
}

func TestCheckOfEndpoints(t *testing.T) {
	c := testChecker(t)
	st := agenttest.ServingStatus(t)
	st.Record.Nodes["n2"].Availability = mesh.AvailabilityActive
	agenttest.Serve(t, c.Socket(), map[string]any{"GET " + mesh.PathStatus: st})
	agenttest.Must(t, c.agent(t.Context()))
	c.endpoints()
	want := `ok    agent            version 1.2.3 runs
warn  endpoints        Service web: endpoint a (10.255.0.2:80) fails this node's
                       health check: connection refused. It gets no new
                       connections from here.
FAIL  endpoints        Service web: endpoint b (10.255.1.2:81) fails this node's
                       health check: no answer within 2s. So do all others of a
                       port of the service, so all are used as if they did not.

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
	c.stored.Record = agenttest.Status(t).Record
	if c.idleConnections(); len(c.report.Findings) != 0 {
		t.Error("a host that tracks no connections forgets none")
	}
	file := c.Path("proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established")
	agenttest.Must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	for content, want := range map[string]outcome{"432000\n": fine, "7800\n": fine, "7799\n": unsure, "3600\n": unsure} {
		c.report = &report{}
		agenttest.Must(t, os.WriteFile(file, []byte(content), 0o600))
		if c.idleConnections(); len(c.report.Findings) != 1 || c.report.Findings[0].Outcome != want {
			t.Errorf("%q: %+v", content, c.report.Findings)
		}
	}
	agenttest.Must(t, os.WriteFile(file, []byte("3600\n"), 0o600))
	c.report = &report{}
	c.idleConnections()
	want := "The host forgets a tcp connection after 1h0m0s without a packet, sooner than the cluster's tcp_idle_timeout of 2h10m0s: " +
		"connections to published ports that are idle for longer break here. Set net.netfilter.nf_conntrack_tcp_timeout_established = 7800 or more (sysctl), or lower the cluster's."
	if got := c.report.Findings[0].Text; got != want {
		t.Error(got)
	}
}

// A range is shown with its first and last port, and that of its targets.
func TestWritePorts_Range(t *testing.T) {
	rec := agenttest.Status(t).Record
	agenttest.Must(t, rec.PutService(&mesh.Service{Name: "media", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1"}}}))
	agenttest.Must(t, rec.PutPort(&mesh.PublishedPort{Service: "media", Published: 6000, Last: 6999, Target: 7000, Protocol: mesh.UDP, Mode: mesh.Ingress}))
	var out bytes.Buffer
	page := term.On(&out)
	writePorts(page, rec)
	agenttest.Must(t, page.Show())
	if !strings.Contains(out.String(), "6000-6999/udp  ingress  media    n1:7000-7999") {
		t.Errorf("ports:\n%s", &out)
	}
}
