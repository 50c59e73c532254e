package provider

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// all is a whole mesh: n1, n2 and n3, and a port of the service web.
func (m *testMesh) all(more ...string) string {
	return m.provider(append([]string{cluster(), m.nodes(), service("web", "n1", "n2"), published("http", "web", 8080)}, more...)...)
}

func lacks(o mesh.Ref, text string) mesh.Problem { return mesh.Problem{Object: o, Text: text} }

// TestDriftIsPlannedAway: every resource shows what nodes lack of it and nothing
// else, the apply repairs exactly that, without a commit, and then all is well.
func TestDriftIsPlannedAway(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		address string
		object  mesh.Ref
		text    string
	}{
		{theCluster, mesh.ClusterRef, "The record on disk is not the one that is applied."},
		{node2, mesh.NodeRef("n2"), "The chain nat ROUTINGMESH (host) is missing."},
		{theService, mesh.ServiceRef("web"), "Its endpoints cannot be read."},
		{theNetwork, mesh.NetworkRef("backend"), "The route to the VIPs 10.255.255.0/24 is missing."},
		{thePort, mesh.PortRef(web8080), "IPVS 10.255.1.1:8080/tcp has no destination 10.255.0.2:80."},
	} {
		t.Run(tc.address, func(t *testing.T) {
			t.Parallel()
			m := newMesh(t)
			config := m.all(network("backend"))
			checks := []plancheck.PlanCheck{plancheck.ExpectUnknownValue(tc.address, at("drift"))}
			for _, a := range []string{theCluster, node1, node2, theService, thePort, theNetwork} {
				action := noop
				if a == tc.address {
					action = update
				}
				checks = append(checks, plancheck.ExpectResourceAction(a, action))
			}
			m.test(
				resource.TestStep{Config: config, ConfigStateChecks: []statecheck.StateCheck{is(tc.address, "drift", inSync)}},
				resource.TestStep{
					PreConfig: func() {
						m.ResetRequests()
						m.Node("n2").Break(lacks(tc.object, tc.text))
					},
					RefreshState: true, ExpectNonEmptyPlan: true,
				},
				resource.TestStep{
					Config:            config,
					ConfigPlanChecks:  resource.ConfigPlanChecks{PreApply: checks, PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
					ConfigStateChecks: []statecheck.StateCheck{is(tc.address, "drift", inSync)},
				},
				resource.TestStep{
					PreConfig: func() {
						if c, r := m.TotalRequests(mesh.PathCommit), m.TotalRequests(mesh.PathRepair); c != 0 || r != 1 || m.Node("n2").Count(mesh.PathRepair) != 1 {
							t.Errorf("the repair took %d commits and %d repairs, want one of n2 alone", c, r)
						}
					},
					Config: config, ConfigPlanChecks: actions(tc.address, noop),
				},
			)
		})
	}
}

// inSync is drift that is empty, and not null.
var inSync = knownvalue.ListExact(nil)

// TestDriftReads: what people see.
func TestDriftReads(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	w := m.workspace()
	w.write(m.all())
	w.apply()
	w.settled()

	m.Node("n1").Break(lacks(mesh.PortRef(web8080), "IPVS 10.255.1.1:8080/tcp has no destination 10.255.0.2:80."))
	m.Node("n2").Break(lacks(mesh.PortRef(web8080), "The ipset routingmesh-tcp lacks port 8080, so that no traffic gets in."))
	out, _ := w.plan()
	says(t, out, `# routingmesh_published_port.http will be updated in-place
  ~ resource "routingmesh_published_port" "http" {
      ~ drift          = [
          - "node n1: IPVS 10.255.1.1:8080/tcp has no destination 10.255.0.2:80.",
          - "node n2: The ipset routingmesh-tcp lacks port 8080, so that no traffic gets in.",
        ] -> (known after apply)
        id             = "demo/web/8080/tcp"
        # (8 unchanged attributes hidden)
    }`, "Plan: 0 to add, 1 to change, 0 to destroy.")
	if again, _ := w.plan(); planned(again) != planned(out) {
		t.Errorf("two plans of the same drift differ:\n%s\n%s", out, again)
	}
	says(t, w.apply(), "0 added, 1 changed, 0 destroyed")
	w.settled()

	// Without drift, another change says nothing of it.
	w.write(strings.Replace(m.all(), "target_port = 80\n", "target_port = 81\n", 1))
	out, _ = w.plan()
	says(t, out, "~ target_port    = 80 -> 81", "1 to change")
	if strings.Contains(out, "drift") {
		t.Errorf("the plan speaks of drift where there is none:\n%s", out)
	}
}

// TestDriftThatStays: what cannot be repaired is an error, and stays in view.
func TestDriftThatStays(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	w := m.workspace()
	w.write(m.all())
	w.apply()
	m.Node("n2").SetProblems(nil, func(r *mesh.Record) []mesh.Problem {
		if r.Ports[web8080] == nil {
			return nil
		}
		return []mesh.Problem{lacks(mesh.PortRef(web8080), "the kernel refuses 8080 in the set routingmesh-tcp")}
	})
	for range 2 {
		says(t, w.fails("apply", "-auto-approve"), "Error: Node n2 could not be repaired",
			"the kernel refuses 8080 in the set routingmesh-tcp. It stays in drift, and the next apply tries again.",
			"This happened while repairing the published port demo/web/8080/tcp.")
	}
	w.write(strings.Replace(m.all(), "target_port = 80\n", "target_port = 81\n", 1))
	says(t, w.fails("apply", "-auto-approve"), "Error: Node n2 did not take the change", "the other nodes have it", "while changing the published port")
	out, _ := w.plan()
	says(t, out, "- \"node n2: the kernel refuses 8080")
	if strings.Contains(out, "~ target_port") {
		t.Errorf("the change is in the record, and is planned again:\n%s", out)
	}
	m.Node("n2").SetProblems(nil, nil)
	w.apply()
	w.settled()
}

// TestCreatedInSpiteOfANode: what works on two of three nodes is kept, with the
// reason, and not replaced.
func TestCreatedInSpiteOfANode(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	w := m.workspace()
	w.write(m.provider(cluster(), m.nodes(), service("web", "n1", "n2")))
	w.apply()
	m.Node("n2").SetProblems(nil, func(r *mesh.Record) []mesh.Problem {
		if r.Ports[web8080] == nil {
			return nil
		}
		return []mesh.Problem{{Object: mesh.PortRef(web8080), Attribute: "published_port", Text: "nginx (pid 77) listens on 8080/tcp"}}
	})
	w.write(m.all())
	says(t, w.apply(), "Warning: Node n2 lacks the published port demo/web/8080/tcp",
		"nginx (pid 77) listens on 8080/tcp. It is created all the same, and works on the other nodes. What is missing is in drift",
		"1 added, 0 changed, 0 destroyed")
	if state, _ := w.run("show"); !strings.Contains(state, `"node n2: nginx (pid 77) listens on 8080/tcp."`) || strings.Contains(state, "tainted") {
		t.Errorf("the state is\n%s", state)
	}
	out, _ := w.plan()
	says(t, out, "will be updated in-place", "0 to add, 1 to change, 0 to destroy")
	m.Node("n2").SetProblems(nil, nil)
	w.apply()
	w.settled()
}

// TestFirewallMode goes to the record and back in place. The default is left out of
// the record, so that one from before there was a choice reads as it.
func TestFirewallMode(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	recorded := func(want mesh.FirewallMode) func() {
		return func() {
			if got := m.record().Cluster.Firewall; got != want {
				t.Errorf("the record has firewall %q, want %q", got, want)
			}
		}
	}
	m.test(
		m.refused(`firewall value must be one of: \["manage" "report"\]`, cluster(`firewall = "off"`)),
		resource.TestStep{
			Config:            m.provider(cluster(), m.node("n1")),
			ConfigStateChecks: []statecheck.StateCheck{is(theCluster, "firewall", "manage")},
		},
		resource.TestStep{
			PreConfig:        recorded(mesh.FirewallManage),
			Config:           m.provider(cluster(`firewall = "report"`), m.node("n1")),
			ConfigPlanChecks: actions(theCluster, update, node1, noop), ConfigStateChecks: []statecheck.StateCheck{is(theCluster, "firewall", "report")},
		},
		resource.TestStep{
			PreConfig:    recorded(mesh.FirewallReport),
			ResourceName: theCluster, ImportState: true, ImportStateId: "demo", ImportStateVerify: true, ImportStateVerifyIgnore: []string{"force_remove", "timeouts"},
		},
		resource.TestStep{
			Config:            m.provider(cluster(), m.node("n1")),
			ConfigPlanChecks:  actions(theCluster, update, node1, noop),
			ConfigStateChecks: []statecheck.StateCheck{is(theCluster, "firewall", "manage")},
		},
		resource.TestStep{PreConfig: recorded(mesh.FirewallManage), RefreshState: true},
	)
}

// TestRepairMode goes to the record and back in place, and the count of what
// the agents repair by themselves is never a diff.
func TestRepairMode(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	recorded := func(want mesh.RepairMode) func() {
		return func() {
			if got := m.record().Cluster.Repair; got != want {
				t.Errorf("the record has repair %q, want %q", got, want)
			}
		}
	}
	m.test(
		m.refused(`repair value must be one of: \["automatic" "report"\]`, cluster(`repair = "never"`)),
		resource.TestStep{
			Config:            m.provider(cluster(), m.node("n1")),
			ConfigStateChecks: []statecheck.StateCheck{is(theCluster, "repair", "automatic"), is(node1, "repairs", 0)},
		},
		resource.TestStep{
			PreConfig:        func() { recorded(mesh.RepairAutomatic)(); m.Node("n1").SetRepairs(7) },
			Config:           m.provider(cluster(`repair = "report"`), m.node("n1")),
			ConfigPlanChecks: actions(theCluster, update, node1, noop), ConfigStateChecks: []statecheck.StateCheck{is(theCluster, "repair", "report"), is(node1, "repairs", 7)},
		},
		resource.TestStep{ // another change leaves the count alone, though it has gone up since
			PreConfig: func() { recorded(mesh.RepairReport)(); m.Node("n1").SetRepairs(8) },
			Config:    m.provider(cluster(), m.node("n1", `labels = { a = "b" }`)),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(theCluster, update), plancheck.ExpectKnownValue(node1, at("repairs"), knownvalue.Int64Exact(8)),
			}},
			ConfigStateChecks: []statecheck.StateCheck{is(theCluster, "repair", "automatic"), is(node1, "repairs", 8)},
		},
		resource.TestStep{
			PreConfig: func() { recorded(mesh.RepairAutomatic)(); m.Node("n1").SetRepairs(9) }, RefreshState: true,
		},
	)
}
