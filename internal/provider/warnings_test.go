package provider

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

func warns(code mesh.WarningCode, o mesh.Ref, text string) mesh.Warning {
	return mesh.Warning{Code: code, Object: o, Text: text}
}

const dropped = "The chain inet filter forward (policy drop) drops the mesh's packets. Run `nft insert rule inet filter forward iifname rmesh0 accept`."

// TestPlan_WarnsOfTraffic: "No changes" comes with what keeps traffic from flowing,
// in every plan, until it is gone; no apply is planned for it.
func TestPlan_WarnsOfTraffic(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	w := m.workspace()
	w.write(m.all())
	w.apply()
	w.settled()
	one := m.workspace() // a state that has a service alone
	one.write(m.provider("resource \"routingmesh_service\" \"db\" {\n  cluster_id = \"demo\"\n  name = \"db\"\n  endpoints = {}\n}\n"))
	one.apply()

	m.Node("n1").SetWarnings(warns(mesh.WarnFirewall, mesh.NodeRef("n1"), dropped))
	m.Node("n2").SetWarnings(warns(mesh.WarnFirewall, mesh.NodeRef("n2"), dropped), warns(mesh.WarnPath, mesh.PortRef(web8080), "Port 8080/tcp does not answer a connection from this host."))
	for range 2 {
		out, changes := w.plan()
		if changes {
			t.Errorf("a change is planned:\n%s", out)
		}
		says(t, out, "Warning: A firewall drops the mesh's packets on nodes n1 and n2", "nodes n1 and n2: "+dropped, noApplyRepairs,
			"Warning: Traffic does not flow on node n2", "node n2: Port 8080/tcp does not answer a connection from this host.", "No changes.")
		if n := strings.Count(out, "Warning:"); n != 2 {
			t.Errorf("%d warnings, want 2:\n%s", n, out)
		}
	}
	out, changes := one.plan()
	if says(t, out, "A firewall drops the mesh's packets on nodes n1 and n2", "No changes."); changes {
		t.Errorf("a change is planned:\n%s", out)
	}
	m.Node("n1").SetWarnings()
	m.Node("n2").SetWarnings()
	w.settled()
}

// TestApply_SaysWhatIsNew: several resources share a commit, and its warning is said
// once; the next plan says it, and not the next apply; a join names its own.
func TestApply_SaysWhatIsNew(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	w := m.workspace()
	w.write(m.provider(cluster(), m.node("n1"), m.node("n2"), service("web", "n1")))
	w.apply()
	m.Node("n1").WarnAtCommit(warns(mesh.WarnPath, mesh.NodeRef("n1"), "Packets are lost between rmesh0 and the mesh."))
	w.write(m.provider(cluster(), m.node("n1"), m.node("n2"), service("web", "n1"), published("a", "web", 8001), published("b", "web", 8002), published("c", "web", 8003)))
	out := w.apply()
	if says(t, out, "Traffic does not flow on node n1", "node n1: Packets are lost"); strings.Count(flat(out), flat("node n1: Packets are lost")) != 1 {
		t.Errorf("said more than once:\n%s", out)
	}
	out, changes := w.plan()
	if says(t, out, "Traffic does not flow on node n1", "No changes."); changes {
		t.Error(out)
	}

	m.Node("n3").SetWarnings(warns(mesh.WarnFirewall, mesh.NodeRef("n3"), dropped))
	w.write(m.provider(cluster(), m.nodes(), service("web", "n1"), published("a", "web", 8001), published("b", "web", 8002), published("c", "web", 8003), published("d", "web", 8004)))
	out = w.apply()
	says(t, out, "Warning: Node n3 has joined, but not whole", "with routingmesh_node.n3", "node n3: "+dropped)
	if n := strings.Count(flat(out), flat("node n3: "+dropped)); n != 1 {
		t.Errorf("said %d times:\n%s", n, out)
	}
}

// TestClusterData_Warnings: a check block fails by them.
func TestClusterData_Warnings(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	w := m.workspace()
	w.write(m.all())
	w.apply()
	m.Node("n3").SetWarnings(warns(mesh.WarnHost, mesh.NodeRef("n3"), "The route to 10.255.0.1 leads to eth0."))
	w.write(m.all(fmt.Sprintf(readCluster, ""), `check "traffic" {
  assert {
    condition     = length(data.routingmesh_cluster.this.warnings) == 0
    error_message = join("\n", data.routingmesh_cluster.this.warnings)
  }
}`))
	says(t, w.apply(), "Warning: Check block assertion failed", "node n3: The route to 10.255.0.1 leads to eth0.", "Warning: Host settings keep traffic from flowing on node n3")
	same(t, "warnings", w.output()["warnings"], []string{"node n3: The route to 10.255.0.1 leads to eth0."})
}

// TestTraffic_IsBounded: whatever a hundred nodes say is few diagnostics, each with
// a summary of its own, or Terraform would hide all but the first.
func TestTraffic_IsBounded(t *testing.T) {
	var all []meshclient.Warning
	for i := range 100 {
		for port := range 20 {
			all = append(all, meshclient.Warning{Code: mesh.WarnPath, Nodes: []string{fmt.Sprintf("n%d", i)}, Text: fmt.Sprintf("Port %d is dead.", port)})
		}
	}
	var diags diag.Diagnostics
	addTraffic(&diags, all, trafficSummary, "Look there.")
	seen := map[string]bool{}
	for _, d := range diags {
		if seen[d.Summary()] = true; strings.Count(d.Detail(), "\n\n") > maxSentences {
			t.Errorf("a long one: %s", d.Detail())
		}
	}
	if len(diags) != maxTrafficWarnings || len(seen) != len(diags) {
		t.Errorf("%d warnings with %d summaries", len(diags), len(seen))
	}
	if got := diags[maxTrafficWarnings-1].Summary(); got != "Traffic: 91 more warnings" {
		t.Error(got)
	}
	if got := diags[0].Detail(); !strings.Contains(got, "… and 16 more: Look there.") {
		t.Error(got)
	}
}
