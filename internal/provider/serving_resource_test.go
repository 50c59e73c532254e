package provider

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

const oneEndpoint = `{ a = { node = routingmesh_node.n1.name, weight = 3 } }`

// same wants no change of the address, by whatever spelling.
func unchanged(address, config string) resource.TestStep {
	return resource.TestStep{Config: config, ConfigPlanChecks: actions(address, noop)}
}

// imported wants the import to come to the state that the resource has, and to
// a plan without changes.
func imported(address, id, config string) []resource.TestStep {
	return []resource.TestStep{
		{ResourceName: address, ImportState: true, ImportStateId: id, ImportStateVerify: true},
		{Config: config, ResourceName: address, ImportState: true, ImportStateId: id, ImportStateKind: resource.ImportBlockWithID},
	}
}

// has checks what the record has of the service web.
func (m *testMesh) has(check func(*mesh.Service) bool) statecheck.StateCheck {
	return recordCheck{m, func(r *mesh.Record) bool { return check(r.Services["web"]) }}
}

func TestServingOfAService(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	rest := cluster() + m.node("n1")
	full := m.provider(rest, web(oneEndpoint, `scheduler = "wrr"`, `drain_timeout = "2m"`, `session_affinity = { timeout = "10m" }`,
		`health_check = { type = "http", port = 8081, path = "/healthz", host = "www.example.com", expected_status = "200, 204", interval = "1s", timeout = "500ms", rise = 1, fall = 5, on_unhealthy = "cut" }`))
	respelled := m.provider(rest, web(oneEndpoint, `scheduler = "wrr"`, `drain_timeout = "120s"`, `session_affinity = { timeout = "600s", netmask = 32 }`,
		`health_check = { type = "http", port = 8081, path = "/healthz", host = "www.example.com", expected_status = "200, 204", interval = "1000ms", timeout = "0.5s", rise = 1, fall = 5, on_unhealthy = "cut" }`))
	steps := []resource.TestStep{
		{
			Config: full,
			ConfigStateChecks: []statecheck.StateCheck{
				is(theService, "scheduler", "wrr"), is(theService, "drain_timeout", "2m"), is(theService, "endpoints.a.weight", 3),
				is(theService, "session_affinity.timeout", "10m"), is(theService, "session_affinity.netmask", 32),
				is(theService, "health_check.type", "http"), is(theService, "health_check.interval", "1s"), is(theService, "health_check.on_unhealthy", "cut"),
				m.has(func(s *mesh.Service) bool {
					return s.Scheduler == "wrr" && s.DrainSeconds == 120 && s.Endpoints["a"].Share() == 3 && *s.Affinity == mesh.Affinity{TimeoutSeconds: 600, PrefixLength: 32} &&
						*s.HealthCheck == mesh.HealthCheck{Type: "http", Port: 8081, Path: "/healthz", Host: "www.example.com", Status: "200, 204",
							IntervalMillis: 1000, TimeoutMillis: 500, Rise: 1, Fall: 5, OnUnhealthy: "cut"}
				}),
			},
		},
		unchanged(theService, full), unchanged(theService, respelled),
	}
	steps = append(steps, imported(theService, "demo/web", respelled)...)
	steps = append(steps,
		resource.TestStep{ // the defaults of a check by http, and one change in a respelled configuration
			Config:           m.provider(rest, web(oneEndpoint, `scheduler = "mh"`, `drain_timeout = "120s"`, `session_affinity = { timeout = "1h", netmask = 24 }`, `health_check = { type = "https" }`)),
			ConfigPlanChecks: actions(theService, update, node1, noop),
			ConfigStateChecks: []statecheck.StateCheck{
				is(theService, "scheduler", "mh"), is(theService, "session_affinity.timeout", "1h"), is(theService, "session_affinity.netmask", 24),
				is(theService, "health_check.port", nil), is(theService, "health_check.path", "/"), is(theService, "health_check.host", nil),
				is(theService, "health_check.expected_status", "200-399"), is(theService, "health_check.interval", "5s"), is(theService, "health_check.timeout", "2s"),
				is(theService, "health_check.rise", 2), is(theService, "health_check.fall", 3), is(theService, "health_check.on_unhealthy", "drain"),
			},
		},
		resource.TestStep{ // by tcp, without what is for http
			Config:           m.provider(rest, web(oneEndpoint, `health_check = {}`)),
			ConfigPlanChecks: actions(theService, update),
			ConfigStateChecks: []statecheck.StateCheck{
				is(theService, "health_check.type", "tcp"), is(theService, "health_check.path", nil), is(theService, "health_check.expected_status", nil),
				is(theService, "session_affinity", nil), is(theService, "scheduler", "rr"), is(theService, "drain_timeout", "30s"),
			},
		},
		resource.TestStep{ // behind Terraform's back
			PreConfig: func() {
				s := *m.record().Services["web"]
				s.Scheduler, s.HealthCheck, s.DrainSeconds = "lc", nil, 7
				if _, err := m.client().PutService(t.Context(), "demo", s, false); err != nil {
					t.Fatal(err)
				}
			},
			Config: m.provider(rest, web(oneEndpoint, `health_check = {}`)), ConfigPlanChecks: actions(theService, update),
			ConfigStateChecks: []statecheck.StateCheck{is(theService, "scheduler", "rr"), is(theService, "drain_timeout", "30s"), is(theService, "health_check.fall", 3)},
		},
		resource.TestStep{ // every default, which the record leaves out
			Config:           m.provider(rest, web(`{ a = { node = routingmesh_node.n1.name } }`)),
			ConfigPlanChecks: actions(theService, update),
			ConfigStateChecks: []statecheck.StateCheck{
				is(theService, "health_check", nil), is(theService, "endpoints.a.weight", 1),
				m.has(func(s *mesh.Service) bool {
					return s.Scheduler == "" && s.HealthCheck == nil && s.Endpoints["a"].Weight == nil
				}),
			},
		},
	)
	m.test(steps...)
}

// TestUnknownHealthCheck: what another resource makes is judged when it is known.
func TestUnknownHealthCheck(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	made := block("terraform_data", "type", []string{`input = "http"`}) + block("terraform_data", "time", []string{`input = "3s"`})
	m.test(resource.TestStep{
		Config: m.provider(cluster(), m.node("n1"), made, web(`{ a = { node = routingmesh_node.n1.name, weight = length(terraform_data.type.output) } }`,
			"health_check = { type = terraform_data.type.output, interval = terraform_data.time.output }", "drain_timeout = terraform_data.time.output",
			"session_affinity = { timeout = terraform_data.time.output }")),
		ConfigStateChecks: []statecheck.StateCheck{
			is(theService, "health_check.path", "/"), is(theService, "health_check.interval", "3s"), is(theService, "drain_timeout", "3s"),
			is(theService, "session_affinity.timeout", "3s"), is(theService, "endpoints.a.weight", 4),
		},
	})
}

func TestServingOfACluster(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	full := m.provider(cluster(`tcp_idle_timeout = "24h"`, `udp_idle_timeout = "30s"`, `health_address = ":10256"`, `metrics_address = "127.0.0.1:9100"`))
	respelled := m.provider(cluster(`tcp_idle_timeout = "1440m"`, `udp_idle_timeout = "0.5m"`, `health_address = ":10256"`, `metrics_address = "127.0.0.1:9100"`))
	defaults := []statecheck.StateCheck{
		is(theCluster, "tcp_idle_timeout", "2h10m"), is(theCluster, "udp_idle_timeout", "5m"), is(theCluster, "health_address", nil), is(theCluster, "metrics_address", nil),
		recordCheck{m, func(r *mesh.Record) bool {
			c := r.Cluster
			return c.TCPIdleSeconds == 0 && c.UDPIdleSeconds == 0 && c.HealthAddress == "" && c.MetricsAddress == ""
		}},
	}
	steps := []resource.TestStep{
		{Config: m.provider(cluster()), ConfigStateChecks: defaults},
		{
			Config: full, ConfigPlanChecks: actions(theCluster, update),
			ConfigStateChecks: []statecheck.StateCheck{
				is(theCluster, "tcp_idle_timeout", "24h"), is(theCluster, "udp_idle_timeout", "30s"), is(theCluster, "health_address", ":10256"), is(theCluster, "metrics_address", "127.0.0.1:9100"),
				recordCheck{m, func(r *mesh.Record) bool {
					c := r.Cluster
					return c.TCPIdleSeconds == 86400 && c.UDPIdleSeconds == 30 && c.HealthAddress == ":10256" && c.MetricsAddress == "127.0.0.1:9100"
				}},
			},
		},
		unchanged(theCluster, respelled),
	}
	steps = append(steps, imported(theCluster, "demo", respelled)...)
	m.test(append(steps, resource.TestStep{Config: m.provider(cluster()), ConfigPlanChecks: actions(theCluster, update), ConfigStateChecks: defaults})...)
}

func TestServingOfAPort(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	rest := cluster() + m.node("n1") + service("web", "n1")
	local := m.provider(rest, published("http", "web", 8080, `locality = "prefer_local"`))
	udp := m.provider(rest, published("http", "web", 8080, `protocol = "udp"`, `locality = "local_only"`, "one_packet = true"))
	steps := []resource.TestStep{
		{Config: m.provider(rest, published("http", "web", 8080)), ConfigStateChecks: []statecheck.StateCheck{is(thePort, "locality", "any"), is(thePort, "one_packet", false)}},
		{Config: local, ConfigPlanChecks: actions(thePort, update), ConfigStateChecks: []statecheck.StateCheck{is(thePort, "locality", "prefer_local"),
			recordCheck{m, func(r *mesh.Record) bool { return r.Ports[web8080].Locality == mesh.PreferLocal }}}},
		unchanged(thePort, local),
	}
	steps = append(steps, imported(thePort, "demo/web/8080/tcp", local)...)
	steps = append(steps,
		resource.TestStep{Config: m.provider(rest, published("http", "web", 8080, `locality = "any"`)), ConfigPlanChecks: actions(thePort, update),
			ConfigStateChecks: []statecheck.StateCheck{recordCheck{m, func(r *mesh.Record) bool { return r.Ports[web8080].Locality == mesh.AnyEndpoint }}}},
		resource.TestStep{Config: udp, ConfigPlanChecks: actions(thePort, replace), ConfigStateChecks: []statecheck.StateCheck{is(thePort, "one_packet", true), is(thePort, "locality", "local_only")}},
		unchanged(thePort, udp))
	steps = append(steps, imported(thePort, "demo/web/8080/udp", udp)...)
	m.test(append(steps, resource.TestStep{Config: m.provider(rest, published("http", "web", 8080, `protocol = "udp"`)), ConfigPlanChecks: actions(thePort, update),
		ConfigStateChecks: []statecheck.StateCheck{is(thePort, "one_packet", false), is(thePort, "locality", "any")}})...)
}

func TestAvailabilityOfANode(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1", "n2", "n3")
	rest := cluster() + m.node("n2") + m.node("n3")
	drained := m.provider(rest, m.node("n1", `availability = "drain"`))
	steps := []resource.TestStep{
		{Config: m.provider(rest, m.node("n1")), ConfigStateChecks: []statecheck.StateCheck{is(node1, "availability", "active")}},
		{Config: drained, ConfigPlanChecks: actions(node1, update, node2, noop), ConfigStateChecks: []statecheck.StateCheck{is(node1, "availability", "drain"),
			recordCheck{m, func(r *mesh.Record) bool { return !r.Nodes["n1"].Serving() && r.Nodes["n2"].Serving() }}}},
		unchanged(node1, drained),
	}
	steps = append(steps, imported(node1, "demo/n1", drained)[1:]...) // its ssh.host_key is in the record only
	m.test(append(steps, resource.TestStep{Config: m.provider(rest, m.node("n1")), ConfigPlanChecks: actions(node1, update),
		ConfigStateChecks: []statecheck.StateCheck{is(node1, "availability", "active"), recordCheck{m, func(r *mesh.Record) bool { return r.Nodes["n1"].Availability == "" }}}})...)
}

// TestPlanRefusesServing: what is wrong is pointed at, before anything exists.
func TestPlanRefusesServing(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	rest := cluster() + m.nodes() + service("api", "n1")
	of := func(line string) string { return web(oneEndpoint, line) }
	port := func(lines ...string) string { return published("a", "api", 8080, lines...) }
	m.test(
		m.refused(`scheduler value must be one of: \["rr" "wrr" "lc" "wlc" "sh" "mh" "sed" "nq"\]`, rest, of(`scheduler = "random"`)),
		m.refused(`endpoints\["a"\].weight must be 0–65535, not 65536`, rest, web(`{ a = { node = routingmesh_node.n1.name, weight = 65536 } }`)),
		m.refused(`drain_timeout = "soon".*valid Go Time Duration`, rest, of(`drain_timeout = "soon"`)),
		m.refused(`drain_timeout = "1500ms".*"1500ms" cannot be used: want a duration of 0s or more, in whole multiples of 1s`, rest, of(`drain_timeout = "1500ms"`)),
		m.refused(`drain_timeout = "25h".*must be 0s–24h`, rest, of(`drain_timeout = "25h"`)),
		m.refused(`"timeout" is required`, rest, of(`session_affinity = {}`)),
		m.refused(`session_affinity = .*session_affinity.timeout: "0s" cannot be used: want a duration of 1s or more`, rest, of(`session_affinity = { timeout = "0s" }`)),
		m.refused(`session_affinity = .*must be 1s–744h`, rest, of(`session_affinity = { timeout = "745h" }`)),
		m.refused(`session_affinity.netmask must be 1–32, not 33`, rest, of(`session_affinity = { timeout = "1m", netmask = 33 }`)),
		m.refused(`health_check.type value must be one of`, rest, of(`health_check = { type = "exec" }`)),
		m.refused(`path needs the type http or https; the type is tcp`, rest, of(`health_check = { path = "/" }`)),
		m.refused(`health_check = .*must begin with /`, rest, of(`health_check = { type = "http", path = "healthz" }`)),
		m.refused(`health_check = .*200,204,300-399`, rest, of(`health_check = { type = "http", expected_status = "2xx" }`)),
		m.refused(`Invalid health check of the service.*health_check = .*health_check.interval: The interval must be 200ms–1h0m0s, not 100ms`, rest, of(`health_check = { interval = "100ms", timeout = "100ms" }`)),
		m.refused(`health_check = .*no longer than the interval of 1s, not 2s`, rest, of(`health_check = { interval = "1s" }`)),
		m.refused(`health_check = .*With fall = 1 the timeout must be no longer than 2.5s`, rest, of(`health_check = { fall = 1, timeout = "3s" }`)),
		m.refused(`health_check.rise must be 1–100, not 0`, rest, of(`health_check = { rise = 0 }`)),
		m.refused(`health_check.on_unhealthy value must be one of: \["drain" "cut"\]`, rest, of(`health_check = { on_unhealthy = "kill" }`)),
		m.refused(`locality value must be one of: \["any" "prefer_local" "local_only"\]`, rest, port(`locality = "near"`)),
		m.refused(`locality = "local_only".*every node sends to its own endpoints anyway`, rest, port(`locality = "local_only"`, `mode = "host"`)),
		m.refused(`one_packet = true.*one_packet is for udp`, rest, port("one_packet = true")),
		// before the port has a number
		m.refused(`one_packet = true.*one_packet is for udp`, rest, published("a", "api", 0, "one_packet = true")),
		m.refused(`locality = "prefer_local".*every node sends to its own endpoints anyway`, rest, published("a", "api", 0, `locality = "prefer_local"`, `mode = "host"`)),
		m.refused(`availability value must be one of: \["active" "drain"\]`, cluster(), m.node("n1", `availability = "pause"`)),
		m.refused(`tcp_idle_timeout = "0s".*want a duration of 1s or more`, cluster(`tcp_idle_timeout = "0s"`)),
		m.refused(`udp_idle_timeout = "745h".*must be 1s–744h`, cluster(`udp_idle_timeout = "745h"`)),
		m.refused(`health_address = "10256".*no address to listen on`, cluster(`health_address = "10256"`)),
		m.refused(`metrics_address = ":22".*Port 22 is where sshd answers`, cluster(`metrics_address = ":22"`)),
		m.refused(`metrics_address = ":9".*must have different ports`, cluster(`health_address = ":9"`, `metrics_address = ":9"`)),
		m.refused(`published_port = 8080.*where the nodes' agents listen \(health_address`, cluster(`health_address = ":8080"`), m.nodes(), service("api", "n1"), port()),
	)
	if n := m.TotalConnections(); n != 0 {
		t.Errorf("planning has dialled %d times", n)
	}
}

// TestDurationsThatAreUnchangedKeepTheirSpelling in the plan of another change.
func TestDurationsThatAreUnchangedKeepTheirSpelling(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	m.test(
		resource.TestStep{Config: m.provider(cluster(`tcp_idle_timeout = "90m"`))},
		resource.TestStep{
			Config: m.provider(cluster(`tcp_idle_timeout = "1h30m"`, `udp_idle_timeout = "1m"`)),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectKnownValue(theCluster, at("tcp_idle_timeout"), wanted("90m")), plancheck.ExpectKnownValue(theCluster, at("udp_idle_timeout"), wanted("1m")),
			}},
		},
	)
}
