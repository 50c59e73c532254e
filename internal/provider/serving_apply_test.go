package provider

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// TestApplyWaitsForDrains: the apply ends when the process may be stopped, or
// says until when it is needed.
func TestApplyWaitsForDrains(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	w := m.workspace()
	config := func(endpoints string, more ...string) string {
		return m.provider(cluster(), m.nodes(), web(endpoints, more...), published("http", "web", 8080))
	}
	both, first := `{ a = { node = routingmesh_node.n1.name }, b = { node = routingmesh_node.n2.name } }`, `{ a = { node = routingmesh_node.n1.name } }`
	w.write(config(both))
	w.apply()
	n3 := m.Node("n3")
	drains := mesh.Drains{Drains: []mesh.Drain{meshtest.DrainOf(m.record(), web8080, "b", 3, 60_000)}}
	n3.SetDrains(drains, 3)
	w.write(config(first))
	if out := w.apply(); strings.Contains(out, "Warning") {
		t.Errorf("a drain that came to its end warns:\n%s", out)
	}
	if n := n3.Count(mesh.PathDrains); n != 4 {
		t.Errorf("n3 was asked for its drains %d times, want 4", n)
	}

	w.write(config(both))
	w.apply()
	n3.SetDrains(drains, 0)
	w.write(config(first, `timeouts = { update = "3s" }`))
	says(t, w.apply(), "Warning: Applied; something needs attention",
		"The change is done. 3 connections of endpoint b of service web (node n2): still open, and given until", "Do not stop the process before.")
	n3.SetDrains(mesh.Drains{}, 0)
	w.settled()
	w.destroy()
}

// TestNodeThatWasDrainedAndStays: its removal was refused, and the plan shows
// what it is like.
func TestNodeThatWasDrainedAndStays(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	w := m.workspace()
	services := service("web", "n1", "n2") + published("http", "web", 8080)
	w.write(m.provider(cluster(), m.nodes(), services))
	w.apply()
	m.Node("n1").SetProblems(func(r *mesh.Record) []mesh.Problem {
		if r.Nodes["n3"] != nil {
			return nil
		}
		return []mesh.Problem{{Object: mesh.NodeRef("n3"), Text: "It is needed here."}}
	}, nil)
	w.write(m.provider(cluster(), m.node("n1"), m.node("n2"), services))
	says(t, w.fails("apply", "-auto-approve"), "Error: Node n1 refused the change", "It is needed here.",
		"Node n3 was not removed, and has been drained for it: its availability is drain in the cluster's record", "the next plan sets it back to active")
	m.Node("n1").SetProblems(nil, nil)
	w.write(m.provider(cluster(), m.nodes(), services))
	out, _ := w.plan()
	says(t, out, "# routingmesh_node.n3 will be updated in-place", `~ availability = "drain" -> "active"`)
	w.apply()
	w.settled()
	// And away with it.
	w.write(m.provider(cluster(), m.node("n1"), m.node("n2"), services))
	w.apply()
	w.settled()
	if m.Node("n3").Installed() {
		t.Error("n3 was not cleaned")
	}
	w.destroy()
}

func (w *workspace) destroy() {
	w.t.Helper()
	if out, code := w.run("destroy", "-auto-approve"); code != 0 {
		w.t.Errorf("destroy failed:\n%s", out)
	}
}

// TestHealthInTheDataSource, and nowhere in a plan.
func TestHealthInTheDataSource(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	w := m.workspace()
	w.write(m.provider(cluster(`health_address = ":10256"`), m.nodes(), published("http", "web", 8080, `locality = "prefer_local"`),
		web(`{ a = { node = routingmesh_node.n1.name, weight = 7 }, b = { node = routingmesh_node.n2.name } }`,
			`scheduler = "wlc"`, `health_check = { type = "http", interval = "1s", timeout = "1s" }`, `session_affinity = { timeout = "10m" }`, `drain_timeout = "1m"`),
		fmt.Sprintf(readCluster, "depends_on = [routingmesh_published_port.http]")))
	w.apply()
	w.settled()

	r := m.record()
	address := func(node string) netip.AddrPort { return netip.AddrPortFrom(r.Nodes[node].HostAddress(), 80) }
	b := mesh.EndpointHealth{Service: "web", Endpoint: "b", Address: address("n2"), Health: mesh.Unhealthy, Reason: "connection refused"}
	m.Node("n1").SetUnhealthy(b)
	m.Node("n3").SetUnhealthy(b)
	counters := func(endpoints ...mesh.EndpointCounters) mesh.Counters {
		return mesh.Counters{Ports: []mesh.PortCounters{{Port: web8080, Endpoints: endpoints}}}
	}
	gone := mesh.EndpointCounters{Endpoint: "b", Address: address("n3"), Draining: true, Active: 2} // it has moved to n2
	m.Node("n1").SetCounters(counters(
		mesh.EndpointCounters{Endpoint: "a", Address: address("n1"), Weight: 7, Health: mesh.Healthy},
		mesh.EndpointCounters{Endpoint: "b", Address: address("n2"), Health: mesh.Unhealthy, Reason: "connection refused", Active: 1}, gone))
	m.Node("n2").SetCounters(counters(
		mesh.EndpointCounters{Endpoint: "a", Address: address("n1"), Weight: 7, Health: mesh.Healthy},
		mesh.EndpointCounters{Endpoint: "b", Address: address("n2"), Weight: 1, Health: mesh.Healthy, Active: 4}))
	w.settledBut("Changes to Outputs")

	w.apply()
	it := w.output()
	same(t, "unhealthy", it["unhealthy"], []string{"endpoint b of service web fails the checks of n1 and n3 (connection refused); it works from n2 only."})
	same(t, "drift", it["drift"], []string{})
	same(t, "the settings' health_address", it["settings"].(values)["health_address"], ":10256")
	same(t, "the service", it["services"].(values)["web"], values{
		"scheduler": "wlc", "drain_timeout": "1m", "networks": values{}, "endpoint_mode": "vip", "vip_ports": values{}, "vip": nil, "session_affinity": values{"timeout": "10m", "netmask": 32},
		"health_check": values{"type": "http", "port": nil, "path": "/", "host": nil, "expected_status": "200-399", "interval": "1s", "timeout": "1s", "rise": 2, "fall": 3, "on_unhealthy": "drain"},
		"endpoints": values{
			"a": values{"node": "n1", "port": nil, "weight": 7, "container": nil, "addresses": []any{address("n1").Addr().String()}},
			"b": values{"node": "n2", "port": nil, "weight": 1, "container": nil, "addresses": []any{address("n2").Addr().String()}},
		},
	})
	seen := func(weight int, health, reason any, draining bool, active int) values {
		return values{"weight": weight, "health": health, "reason": reason, "draining": draining, "active_connections": active}
	}
	endpoint := func(node string, weight int, health any, draining bool, active int, by values) values {
		return values{"node": node, "weight": weight, "health": health, "draining": draining, "active_connections": active, "seen_by": by,
			"connections": 0, "inactive_connections": 0, "bytes_in": 0, "bytes_out": 0}
	}
	same(t, "the port", it["ports"].(values)["8080/tcp"], values{
		"service": "web", "mode": "ingress", "last_port": nil, "target_port": 80, "locality": "prefer_local", "one_packet": false, "allowed_cidrs": nil, "nodes": nil, "listen_addresses": nil, "client_address": "entry_node",
		"endpoints": values{
			"a":                   endpoint("n1", 7, "healthy", false, 0, values{"n1": seen(7, "healthy", nil, false, 0), "n2": seen(7, "healthy", nil, false, 0)}),
			"b":                   endpoint("n2", 0, "unhealthy", false, 5, values{"n1": seen(0, "unhealthy", "connection refused", false, 1), "n2": seen(1, "healthy", nil, false, 4)}),
			gone.Address.String(): endpoint("n3", 0, nil, true, 2, values{"n1": seen(0, nil, nil, true, 2)}),
		},
	})
	w.destroy()
}

// settledBut checks that no resource has anything to do, whatever outputs do.
func (w *workspace) settledBut(text string) {
	w.t.Helper()
	out, _ := w.plan()
	says(w.t, out, text)
	if strings.Contains(out, "will be updated") || strings.Contains(out, "to change") {
		w.t.Errorf("the plan is not empty:\n%s", out)
	}
}
