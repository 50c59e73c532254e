package provider

import (
	"fmt"
	"strings"
	"testing"
)

// keyed is a for_each over one key.
func keyed(kind, key string, lines ...string) string {
	return block(kind, "this", append([]string{fmt.Sprintf("for_each = toset([%q])", key)}, lines...))
}

// TestRenamedKey: a port, or a node on the same host, whose key changes is
// destroyed and created by one apply, and the plan names the moved block.
func TestRenamedKey(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	config := func(port, node string) string {
		return m.provider(cluster(), m.node("n1"), m.node("n2"), service("web", "n1"),
			keyed("routingmesh_published_port", port, "service_id = routingmesh_service.web.id", "published_port = 7101", "target_port = 80"),
			keyed("routingmesh_node", node, "cluster_id = routingmesh_cluster.main.id", "name = each.key", fmt.Sprintf("address = %q", m.Node("n3").Address),
				fmt.Sprintf(`ssh = { host = "127.0.0.1", port = %d }`, m.Node("n3").Port())))
	}
	w := m.workspace()
	w.write(config("old", "n3"))
	w.apply()
	w.write(config("new", "web3"))
	out, _ := w.plan()
	says(t, out, "Warning: Published port is in use", "The cluster has the published port demo/web/7101/tcp already", "the port is closed for a moment",
		"moved { from = routingmesh_published_port.NAME[\"OLD\"] to = routingmesh_published_port.NAME[\"NEW\"] }",
		"Warning: Node conflicts with the cluster as it is", "The node n3 of the cluster has the underlay address "+m.Node("n3").Address.String(),
		"moved { from = routingmesh_node.NAME[\"OLD\"]", "2 to add, 0 to change, 2 to destroy")
	w.apply()
	w.settled()
	r := m.record()
	if r.Nodes["web3"] == nil || r.Nodes["n3"] != nil || len(r.Ports) != 1 {
		t.Errorf("the record has the nodes %v and %d ports", r.NodeNames(), len(r.Ports))
	}
	if n := m.Node("n3"); !n.Installed() || n.Record() == nil {
		t.Error("the host of web3 has no agent with a record")
	}
	// With the moved block there is neither a warning nor a change.
	w.write(config("newer", "web3") + "moved {\n  from = routingmesh_published_port.this[\"new\"]\n  to = routingmesh_published_port.this[\"newer\"]\n}\n")
	if out, _ := w.plan(); strings.Contains(out, "Warning") || strings.Contains(out, "destroy\n") {
		t.Errorf("a moved port is warned of:\n%s", out)
	}
}
