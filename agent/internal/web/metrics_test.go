package web

import (
	"errors"
	"flag"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/health"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/reconcile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func measured() *world {
	eight := mesh.PortKey{Port: 8080, Protocol: mesh.TCP}
	traffic := mesh.Traffic{Connections: 5, PacketsIn: 50, PacketsOut: 40, BytesIn: 5000, BytesOut: 1 << 40}
	return &world{
		warnings: []mesh.Warning{{Code: mesh.WarnPath, Object: mesh.MustParseRef("port/8080/tcp")}, {Code: mesh.WarnPath, Object: mesh.NodeRef("n1")}},
		stats:    reconcile.Stats{Generation: 7, Applied: 6, Repairs: 12, Problems: 3, LastApply: 1500 * time.Millisecond, LastApplyAt: time.Unix(1_700_000_000, 250_000_000)},
		results: map[compile.Check]health.Result{
			checkOf("10.255.0.2:80"): {Endpoint: "a", Failing: true, Reason: "connection refused"},
			checkOf("10.255.1.2:80"): {Endpoint: "b"},
		},
		counters: mesh.Counters{Ports: []mesh.PortCounters{
			{Port: eight, Traffic: traffic, Endpoints: []mesh.EndpointCounters{
				{Endpoint: "a", Address: netip.MustParseAddrPort("10.255.0.2:80"), Weight: 0, Active: 1, Inactive: 2, Traffic: traffic},
				{Endpoint: "old", Address: netip.MustParseAddrPort("10.255.1.2:81"), Draining: true},
			}},
			{Port: eight}, // the port changes its mode
			{Port: mesh.PortKey{Port: 9, Protocol: mesh.UDP}}, // not in the record any more
		}},
	}
}

func TestMetrics(t *testing.T) {
	f, _ := newFront(t, measured())
	f.Follow(record(t, nil), "n1")
	want := `
# HELP routingmesh_agent_info The agent's version, and which node of which cluster it is; 1.
# TYPE routingmesh_agent_info gauge
routingmesh_agent_info{cluster="demo",node="n1",version="1.2.3"} 1
# HELP routingmesh_applied_generation Last generation of the record that the kernel had as a whole.
# TYPE routingmesh_applied_generation gauge
routingmesh_applied_generation 6
# HELP routingmesh_endpoint_active_connections Established connections of an endpoint that came in on this node.
# TYPE routingmesh_endpoint_active_connections gauge
routingmesh_endpoint_active_connections{address="10.255.0.2:80",endpoint="a",port="8080/tcp",service="web"} 1
routingmesh_endpoint_active_connections{address="10.255.1.2:81",endpoint="old",port="8080/tcp",service="web"} 0
# HELP routingmesh_endpoint_draining Whether an endpoint is on its way out on this node (1) or not (0).
# TYPE routingmesh_endpoint_draining gauge
routingmesh_endpoint_draining{address="10.255.0.2:80",endpoint="a",port="8080/tcp",service="web"} 0
routingmesh_endpoint_draining{address="10.255.1.2:81",endpoint="old",port="8080/tcp",service="web"} 1
# HELP routingmesh_endpoint_healthy Whether an endpoint passes this node's checks (1) or fails them (0); none where it is not checked.
# TYPE routingmesh_endpoint_healthy gauge
routingmesh_endpoint_healthy{address="10.255.0.2:80",endpoint="a",service="web"} 0
routingmesh_endpoint_healthy{address="10.255.1.2:80",endpoint="b",service="web"} 1
# HELP routingmesh_last_apply_seconds How long the last commit took to reach the kernel.
# TYPE routingmesh_last_apply_seconds gauge
routingmesh_last_apply_seconds 1.5
# HELP routingmesh_last_apply_timestamp_seconds When the last commit reached the kernel.
# TYPE routingmesh_last_apply_timestamp_seconds gauge
routingmesh_last_apply_timestamp_seconds 1.70000000025e+09
# HELP routingmesh_port_connections_total Connections that came in on this node for a published port.
# TYPE routingmesh_port_connections_total counter
routingmesh_port_connections_total{port="8080/tcp",service="web"} 5
# HELP routingmesh_port_out_bytes_total Bytes to clients, of what came in on this node for a published port.
# TYPE routingmesh_port_out_bytes_total counter
routingmesh_port_out_bytes_total{port="8080/tcp",service="web"} 1.099511627776e+12
# HELP routingmesh_problems What the last look at the kernel found that is not as the record asks.
# TYPE routingmesh_problems gauge
routingmesh_problems 3
# HELP routingmesh_record_generation Generation of the cluster's record that the agent keeps to.
# TYPE routingmesh_record_generation gauge
routingmesh_record_generation 7
# HELP routingmesh_repairs_total Objects that the agent has repaired because something else had broken them, since it was installed.
# TYPE routingmesh_repairs_total counter
routingmesh_repairs_total 12
# HELP routingmesh_warnings What keeps traffic from flowing on this node and no apply can repair, by code: path, overlay, firewall, host, containers, names.
# TYPE routingmesh_warnings gauge
routingmesh_warnings{code="containers"} 0
routingmesh_warnings{code="firewall"} 0
routingmesh_warnings{code="host"} 0
routingmesh_warnings{code="names"} 0
routingmesh_warnings{code="overlay"} 0
routingmesh_warnings{code="path"} 2
`
	var names []string
	for line := range strings.Lines(want) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			names = append(names, strings.Fields(name)[0])
		}
	}
	if err := testutil.CollectAndCompare(&collector{f}, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(&collector{f}); n != 7+6+2+5+2*9 {
		t.Errorf("%d metrics", n)
	}
}

var update = flag.Bool("update", false, "write the golden files")

// TestMetrics_Golden: a page with every metric that there is. tools/monitoring checks the alert rules and the dashboard of
// examples/monitoring by it.
func TestMetrics_Golden(t *testing.T) {
	f, _ := newFront(t, measured())
	f.options.Queries = func() map[string]uint64 { return map[string]uint64{"answered": 12, "failed": 3} }
	f.Follow(record(t, nil), "n1")
	_, got, _ := strings.Cut(scrape(f), "\n")
	const file = "testdata/metrics.golden"
	if *update {
		must(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (go test -update writes it):\n%s", file, diff)
	}
	all := make(chan *prometheus.Desc, 100)
	(&collector{f}).Describe(all)
	close(all)
	for d := range all {
		name := strings.Split(d.String(), `"`)[1]
		if !strings.Contains(got, "\n# TYPE "+name+" ") {
			t.Errorf("the page lacks %s: it cannot be checked who asks for it", name)
		}
	}
}

func TestMetricsAreNamedAsOthersAre(t *testing.T) {
	f, _ := newFront(t, measured())
	f.Follow(record(t, nil), "n1")
	registry := prometheus.NewPedanticRegistry()
	must(t, registry.Register(&collector{f}))
	found, err := testutil.GatherAndLint(registry)
	must(t, err)
	for _, p := range found {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func scrape(f *Front) string {
	w := httptest.NewRecorder()
	f.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Result().Status + "\n" + w.Body.String()
}

func TestMetricsWithoutTheKernel(t *testing.T) {
	w := measured()
	w.deaf = errors.New("IPVS is deaf")
	f, _ := newFront(t, w)
	f.Follow(record(t, nil), "n1")
	if got := scrape(f); !strings.HasPrefix(got, "200 OK") || !strings.Contains(got, "routingmesh_repairs_total 12") || strings.Contains(got, "port_connections") {
		t.Errorf("what can be read is told:\n%s", got)
	}
}

func TestMetricsOfAHostThatIsNoNode(t *testing.T) {
	w := measured()
	w.deaf = errors.New("nobody asks")
	w.results = nil
	f, _ := newFront(t, w)
	for _, rec := range []*mesh.Record{nil, record(t, nil)} {
		if f.Follow(rec, ""); !strings.Contains(scrape(f), "routingmesh_record_generation 7") || strings.Contains(scrape(f), "endpoint_") {
			t.Errorf("metrics:\n%s", scrape(f))
		}
	}
}

// TestMetrics_Queries: of a cluster with networks only.
func TestMetrics_Queries(t *testing.T) {
	f, _ := newFront(t, measured())
	f.Follow(record(t, nil), "n1")
	var queries map[string]uint64
	f.options.Queries = func() map[string]uint64 { return queries }
	const name = "routingmesh_name_queries_total"
	if n := testutil.CollectAndCount(&collector{f}, name); n != 0 {
		t.Errorf("%d metrics without networks", n)
	}
	queries = map[string]uint64{"answered": 12, "failed": 3}
	want := `
# HELP routingmesh_name_queries_total Queries for names by members of networks on this node, by outcome: answered, no_data, nxdomain, not_yet, refused, malformed, forwarded; of those forwarded also failed, overload.
# TYPE routingmesh_name_queries_total counter
routingmesh_name_queries_total{outcome="answered"} 12
routingmesh_name_queries_total{outcome="failed"} 3
`
	if err := testutil.CollectAndCompare(&collector{f}, strings.NewReader(want), name); err != nil {
		t.Error(err)
	}
}
