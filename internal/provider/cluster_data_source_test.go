package provider

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

const readCluster = "data \"routingmesh_cluster\" \"this\" {\n%s\n}\noutput \"it\" { value = data.routingmesh_cluster.this }\n"

// values are JSON's, as an output has them.
type values = map[string]any

// output decodes the output "it".
func (w *workspace) output() values {
	w.t.Helper()
	out, _ := w.run("output", "-json", "it")
	var it values
	if err := json.Unmarshal([]byte(out), &it); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	return it
}

// same compares as JSON: numbers are alike, whatever type they have here.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(text, &plain); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, plain) {
		have, _ := json.Marshal(got)
		t.Errorf("%s is\n%s\nwant\n%s", what, have, text)
	}
}

// counted are the counters of one node for 8080/tcp.
func counted(weight int, factor uint64, endpoints ...string) mesh.Counters {
	port := mesh.PortCounters{Port: web8080}
	for i, name := range endpoints {
		n := factor * uint64(i+1)
		port.Endpoints = append(port.Endpoints, mesh.EndpointCounters{
			Endpoint: name, Address: netip.MustParseAddrPort("10.255.0.2:80"), Weight: weight, Active: uint32(n), Inactive: uint32(2 * n),
			Traffic: mesh.Traffic{Connections: 10 * n, BytesIn: 100 * n, BytesOut: 1000 * n},
		})
	}
	return mesh.Counters{Ports: []mesh.PortCounters{port}}
}

func portOfWeb(endpoints values) values {
	return values{"8080/tcp": values{"service": "web", "mode": "ingress", "last_port": nil, "target_port": 80, "locality": "any", "one_packet": false, "allowed_cidrs": nil, "nodes": nil, "listen_addresses": nil, "client_address": "entry_node", "endpoints": endpoints}}
}

// endpointOf has what nodes say of it in pairs: name, connections, weight.
func endpointOf(node string, weight any, n int, seen ...any) values {
	by := values{}
	for i := 0; i < len(seen); i += 3 {
		by[seen[i].(string)] = values{"weight": seen[i+2], "health": nil, "reason": nil, "draining": false, "active_connections": seen[i+1]}
	}
	return values{"node": node, "weight": weight, "health": nil, "draining": false, "seen_by": by, "connections": 10 * n, "active_connections": n, "inactive_connections": 2 * n, "bytes_in": 100 * n, "bytes_out": 1000 * n}
}

// TestClusterDataSource reads a mesh that is well, in the apply that makes it;
// and one that is not, from a state that has nothing of it.
func TestClusterDataSource(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.ssh = `, timeout = "2s"`
	makes := m.workspace()
	makes.write(m.all(fmt.Sprintf(readCluster, "depends_on = [routingmesh_published_port.http]")))
	makes.apply()
	makes.settled()
	it, r := makes.output(), m.record()
	node := func(name string) values {
		n := r.Nodes[name]
		return values{"address": n.Address, "mesh_address": n.MeshAddress(), "host_address": n.HostAddress(), "labels": values{}, "availability": "active", "reachable": true, "generation": r.Generation,
			"agent_version": "test", "kernel_release": "6.1.0-test", "repairs": 0, "drift": []string{}}
	}
	nodes := values{"n1": node("n1"), "n2": node("n2"), "n3": node("n3")}
	want := values{
		"id": "demo", "name": "demo", "uid": r.UID, "generation": r.Generation, "drift": []string{}, "unhealthy": []string{}, "warnings": []string{}, "nodes": nodes,
		"settings": values{"address_pool": "10.255.0.0/16", "node_prefix_length": 24, "vxlan_port": 4789, "vni": mesh.DefaultVNI("demo"), "mtu": 1450,
			"published_port_range": "30000-32767", "repair": "automatic", "firewall": "manage",
			"tcp_idle_timeout": "2h10m", "udp_idle_timeout": "5m", "health_address": nil, "metrics_address": nil, "mark_bit": 12, "host_dns": "hosts"},
		"networks": values{}, "resolver": nil,
		"services": values{"web": values{"scheduler": "rr", "session_affinity": nil, "health_check": nil, "drain_timeout": "30s", "networks": values{}, "endpoint_mode": "vip", "vip_ports": values{}, "vip": nil,
			"endpoints": values{
				"n1": values{"node": "n1", "port": nil, "weight": 1, "container": nil, "addresses": []any{r.Nodes["n1"].HostAddress().String()}},
				"n2": values{"node": "n2", "port": nil, "weight": 1, "container": nil, "addresses": []any{r.Nodes["n2"].HostAddress().String()}},
			}}},
		"ports": portOfWeb(values{"n1": endpointOf("n1", nil, 0), "n2": endpointOf("n2", nil, 0)}),
	}
	same(t, "the data source", it, want)

	m.Node("n1").SetCounters(counted(1, 1, "n1", "n2", "")) // "" is what the record does not have
	m.Node("n2").SetCounters(counted(0, 10, "n1"))
	m.Node("n3").SetCounters(counted(9, 100, "n1", "n2"))
	m.Node("n3").SetDown(true)
	m.Node("n2").SetRepairs(3)
	m.Node("n1").Break(lacks(mesh.PortRef(web8080), "The ipset routingmesh-tcp lacks port 8080, so that no traffic gets in."))
	gone := "node n3: cannot be reached over SSH; it serves what it last had."
	n2, n3 := node("n2"), node("n3")
	n2["repairs"], n3["reachable"], n3["drift"] = 3, false, []string{gone}
	n3["generation"], n3["agent_version"], n3["kernel_release"], n3["repairs"] = nil, nil, nil, nil
	want["nodes"] = values{"n1": node("n1"), "n2": n2, "n3": n3}
	want["ports"] = portOfWeb(values{"n1": endpointOf("n1", 0, 11, "n1", 1, 1, "n2", 10, 0), "n2": endpointOf("n2", 1, 2, "n1", 2, 1)})
	want["drift"] = []string{gone, "node n1: The ipset routingmesh-tcp lacks port 8080, so that no traffic gets in."}
	reads := m.workspace()
	reads.write(m.provider(fmt.Sprintf(readCluster, `name = "demo"`),
		`check "in_sync" {
  assert {
    condition     = length(data.routingmesh_cluster.this.drift) == 0
    error_message = join("\n", data.routingmesh_cluster.this.drift)
  }
}`))
	out := reads.apply()
	same(t, "the data source", reads.output(), want)
	says(t, out, "Warning: Check block assertion failed", gone)
	if n := strings.Count(out, "Warning: Node n3 cannot be read"); n != 1 {
		t.Errorf("%d warnings about n3, want one:\n%s", n, out)
	}
}

func TestClusterDataSourceErrors(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	w := m.workspace()
	w.write(m.provider(fmt.Sprintf(readCluster, "")))
	says(t, w.fails("plan"), "Error: No cluster there", "none has a record of a cluster", "depends_on")
	w.write(m.provider(cluster()))
	w.apply()
	w.write(m.provider(cluster(), fmt.Sprintf(readCluster, `name = "prod"`)))
	says(t, w.fails("plan"), "Error: Hosts of another cluster", `The provider's hosts hold the cluster "demo", not "prod"`)
	for _, n := range m.All() {
		n.SetDown(true)
	}
	other := m.workspace()
	m.ssh = `, timeout = "2s"`
	other.write(m.provider(fmt.Sprintf(readCluster, "")))
	says(t, other.fails("plan"), "Error: Too few hosts answer", "No host of the cluster could be asked")
	other.write(strings.Replace(m.provider(fmt.Sprintf(readCluster, ""), block("terraform_data", "host", []string{`input = "127.0.0.1"`})), `hosts = [`, `hosts = [terraform_data.host.output] #`, 1))
	says(t, other.fails("plan"), "Error: Hosts not known yet")
}

// TestClusterDataSource_Networks: what Terraform states have put into networks, and the
// resolver's address for those that only read.
func TestClusterDataSource_Networks(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	w := m.workspace()
	w.write(m.provider(cluster(`host_dns = "off"`), m.nodes(), network("backend", "hosts = [routingmesh_node.n3.name]"), network("front"),
		member("web", []string{"backend", "front"}, `vip_ports = { "80/tcp" = 8080 }`),
		member("db", nil, `networks = { (routingmesh_network.backend.name) = { aliases = ["database"] } }`, `endpoint_mode = "dnsrr"`),
		fmt.Sprintf(readCluster, "depends_on = [routingmesh_service.web, routingmesh_service.db]")))
	w.apply()
	it, r := w.output(), m.record()
	identity := func(name string) uint16 { id, _ := r.Identity(mesh.NewNetworkSet(name)); return id }
	same(t, "networks", it["networks"], values{
		"backend": values{"hosts": []string{"n3"}, "identity": identity("backend"), "services": []string{"db", "web"}},
		"front":   values{"hosts": []string{}, "identity": identity("front"), "services": []string{"web"}},
	})
	same(t, "resolver", it["resolver"], "10.255.255.1")
	same(t, "host_dns", it["settings"].(values)["host_dns"], "off")
	for name, want := range map[string]values{
		"web": {"networks": values{"backend": []string{}, "front": []string{}}, "endpoint_mode": "vip", "vip_ports": values{"80/tcp": 8080}, "vip": "10.255.255.2"},
		"db":  {"networks": values{"backend": []string{"database"}}, "endpoint_mode": "dnsrr", "vip_ports": values{}, "vip": nil},
	} {
		for attribute, want := range want {
			same(t, name+"."+attribute, it["services"].(values)[name].(values)[attribute], want)
		}
	}
}
