package provider

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

const readNodes = `
data "routingmesh_nodes" "this" {
  DEPENDS
}
data "routingmesh_nodes" "public" {
  labels = { side = "public" }
  DEPENDS
}
data "routingmesh_nodes" "nowhere" {
  labels = { side = "" }
  DEPENDS
}
output "it" {
  value = { all = data.routingmesh_nodes.this, public = data.routingmesh_nodes.public.nodes, nowhere = data.routingmesh_nodes.nowhere.nodes }
}
`

// TestNodesDataSource reads the inventory in the apply that makes the nodes, and from
// another state while a node is down: it says the same.
func TestNodesDataSource(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.ssh = `, timeout = "2s"`
	makes := m.workspace()
	makes.write(m.provider(cluster(), m.node("n1", `labels = { side = "public", rack = "a" }`), m.node("n2", `availability = "drain"`), m.node("n3"),
		strings.ReplaceAll(readNodes, "DEPENDS", "depends_on = [routingmesh_node.n1, routingmesh_node.n2, routingmesh_node.n3]")))
	makes.apply()
	makes.settled()
	r := m.record()
	node := func(name, availability string, labels values) values {
		n := r.Nodes[name]
		return values{"id": "demo/" + name, "address": n.Address, "mesh_address": n.MeshAddress(), "host_address": n.HostAddress(), "labels": labels, "availability": availability,
			"ssh": values{"host": "127.0.0.1", "port": m.Node(name).Port(), "user": "root", "bastion": nil}}
	}
	n1 := node("n1", "active", values{"side": "public", "rack": "a"})
	want := values{
		"all":    values{"cluster_id": "demo", "labels": nil, "nodes": values{"n1": n1, "n2": node("n2", "drain", values{}), "n3": node("n3", "active", values{})}},
		"public": values{"n1": n1}, "nowhere": values{},
	}
	same(t, "the inventory", makes.output(), want)

	m.Node("n3").SetDown(true)
	reads := m.workspace()
	reads.write(m.provider(strings.ReplaceAll(readNodes, "DEPENDS", "")))
	reads.apply()
	same(t, "the inventory without n3", reads.output(), want)
}

// TestNodesDataSource_Login: what a node leaves out of its ssh is the provider's.
func TestNodesDataSource_Login(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	cfg := m.ClientConfig("n1")
	cfg.SSH.User, cfg.SSH.Port = "deploy", 2200
	client, err := m.connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d := nodesData{base{&providerData{client: client}}}
	address := netip.MustParseAddr("192.0.2.11")
	for _, c := range []struct {
		ssh  mesh.SSH
		want sshData
	}{
		{mesh.SSH{}, sshData{"192.0.2.11", 2200, "deploy", nil}},
		{mesh.SSH{Host: "n1.example.com", Port: 22, User: "root"}, sshData{"n1.example.com", 22, "root", nil}},
		{mesh.SSH{BastionHost: "jump.example.com", BastionPort: 2222, BastionUser: "ops"}, sshData{"192.0.2.11", 2200, "deploy", new("ops@jump.example.com:2222")}},
	} {
		var diags diag.Diagnostics
		got := d.login("demo", &mesh.Node{Name: "n1", Address: address, SSH: c.ssh}, &diags)
		if diags.HasError() || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v: %+v (%v), want %+v", c.ssh, got, diags, c.want)
		}
	}
	var diags diag.Diagnostics
	d.login("demo", &mesh.Node{Name: "n1", Address: address, SSH: mesh.SSH{HostKey: "none"}}, &diags)
	if !diags.HasError() {
		t.Error("a host key that nobody can read is no error")
	}
}
