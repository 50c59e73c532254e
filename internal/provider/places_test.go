package provider

import (
	"fmt"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// one is a configuration with one host, by its address, and the nodes.
func (m *testMesh) one(host string, parts ...string) string {
	return fmt.Sprintf("provider \"routingmesh\" {\n  hosts = [%q]\n  ssh = { private_key = %q, agent = false, timeout = \"2s\" }\n}\n%s\n",
		host, m.PrivateKey, strings.Join(parts, "\n"))
}

// TestLost_OnlyHostReinstalled: the only host of the provider has no agent any
// more, and the nodes that the state knows have the record. Nothing is planned
// to be deleted; the way that the error names repairs it.
func TestLost_OnlyHostReinstalled(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	n1, n2 := m.Node("n1"), m.Node("n2")
	parts := []string{cluster(), m.nodes(), service("web", "n1", "n2"), published("http", "web", 8080)}
	w := m.workspace()
	w.write(m.one(n1.Addr(), parts...))
	w.apply()
	w.apply() // refreshes the private state of the cluster, which has no nodes before
	n1.SetInstalled(false)
	out := w.fails("plan")
	says(t, out, "Error: Hosts without the cluster's record", `The cluster "demo" exists: node n2 (`+n2.Addr()+") has its record",
		n1.Addr()+" has no agent now. It was in the cluster: was it reinstalled?", `Set hosts = ["`+n2.Addr()+`"] and apply`)
	if strings.Contains(out, "has been deleted") || strings.Contains(out, "to add") {
		t.Errorf("something is deleted:\n%s", out)
	}
	says(t, w.fails("destroy", "-auto-approve", "-refresh=false"), "Hosts without the cluster's record")
	w.write(m.one(n2.Addr(), parts...))
	if out, _ := w.plan(); strings.Contains(out, "will be created") || strings.Contains(out, "will be destroyed") {
		t.Errorf("something is created or destroyed:\n%s", out)
	}
	w.apply()
	w.write(m.one(n1.Addr(), parts...))
	w.apply()
	w.settled()
	m.level("8080/tcp")
}

// TestLost_WrongHost: hosts name a machine that never was in the cluster. No
// second cluster is made there, and an unreachable cluster is not gone; one
// whose hosts all answer without a record is.
func TestLost_WrongHost(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1", "n2")
	n1, n2 := m.Node("n1"), m.Node("n2")
	w := m.workspace()
	w.write(m.one(n1.Addr(), cluster(), m.node("n1")))
	w.apply()
	w.write(m.one(n2.Addr(), cluster(), m.node("n1")))
	says(t, w.fails("apply", "-auto-approve"), "Hosts without the cluster's record", `The cluster "demo" exists: host `+n1.Addr()+" has its record",
		n2.Addr()+" has no agent, and the state does not know it as a host or node of the cluster. Is it the wrong host",
		`Name the cluster's own hosts in hosts, for example hosts = ["`+n1.Addr()+`"]`)
	// Without a refresh nobody has met that host before.
	w.write(strings.Replace(m.one(n2.Addr(), cluster(), m.node("n1")), "agent = false", fmt.Sprintf("agent = false, host_key = %q", n2.HostKey), 1))
	says(t, w.fails("apply", "-auto-approve", "-refresh=false", "-replace=routingmesh_cluster.main"), "Hosts without the cluster's record")
	w.write(m.one(n2.Addr(), cluster(), m.node("n1")))
	n1.SetDown(true)
	says(t, w.fails("plan"), "Hosts without the cluster's record", "could not be asked, and may have it", "terraform state rm")
	if n2.Installed() {
		t.Error("an agent was installed on the wrong host")
	}
	n1.SetDown(false)
	n1.SetInstalled(false)
	out, _ := w.plan()
	says(t, out, "2 to add")
}

// TestLost_StateOfServices: a state without cluster and nodes knows where the
// record is from its services.
func TestLost_StateOfServices(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1", "n2")
	infra, team := m.workspace(), m.workspace()
	infra.write(m.one(m.Node("n1").Addr(), cluster(), m.nodes()))
	infra.apply()
	team.write(m.one(m.Node("n1").Addr(), block("routingmesh_service", "web", []string{
		`cluster_id = "demo"`, `name = "web"`, `endpoints = { a = { node = "n2" } }`}), published("http", "web", 8080)))
	team.apply()
	m.Node("n1").SetInstalled(false)
	says(t, team.fails("plan"), "Hosts without the cluster's record", `The cluster "demo" exists: node n2`)
	// The first plan after the nodes have joined: the private state of the cluster
	// does not have them yet.
	says(t, infra.fails("plan"), "Hosts without the cluster's record", `The cluster "demo" exists: node n2`)
}

// TestLost_OneResource: each resource knows by itself where else the cluster is.
// Terraform destroys in any order, so that no other may have told the client before.
func TestLost_OneResource(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1", "n2")
	infra, team := m.workspace(), m.workspace()
	host := m.Node("n1").Addr()
	infra.write(m.one(host, cluster(), m.nodes(), service("web", "n2")))
	infra.apply()
	infra.apply() // the private state of the first node has the second one now
	team.write(m.one(host, block("routingmesh_published_port", "http", []string{`service_id = "demo/web"`, `published_port = 8080`, `target_port = 80`})))
	team.apply()
	m.Node("n1").SetInstalled(false)
	const want = `The cluster "demo" exists: node n2`
	says(t, team.fails("destroy", "-auto-approve", "-refresh=false"), want)
	says(t, team.fails("plan"), want)
	for _, address := range []string{"routingmesh_node.n1", "routingmesh_node.n2", "routingmesh_service.web"} {
		says(t, infra.fails("destroy", "-auto-approve", "-refresh=false", "-target="+address), want)
	}
}

// TestPins_ApplyWalk: an apply holds the hosts to the keys that the plan has seen, also a
// saved plan's, and one of a state that has neither the cluster nor a node.
func TestPins_ApplyWalk(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	host := m.Node("n1").Addr()
	infra, team := m.workspace(), m.workspace()
	infra.write(m.one(host, cluster(), m.nodes(), service("web", "n1")))
	infra.apply()
	port := func(target int) string {
		return m.one(host, block("routingmesh_published_port", "http", []string{`service_id = "demo/web"`, `published_port = 8080`, fmt.Sprintf("target_port = %d", target)}))
	}
	team.write(port(80))
	team.apply()
	team.write(port(81))
	team.plan("-out=saved")
	record, own := m.record(), m.Node("n1").HostKey
	m.Node("n1").Rebuild() // an impostor, with a record of its own
	m.Node("n1").SetInstalled(true)
	m.Node("n1").SetRecord(record, "n1")
	for _, args := range [][]string{{"apply", "saved"}, {"destroy", "-auto-approve", "-refresh=false"}, {"plan"}} {
		says(t, team.fails(args...), "Error: Host key of "+host+" refused", "from the Terraform state")
	}
	says(t, infra.fails("destroy", "-auto-approve", "-refresh=false"), "Error: Host key of "+host+" refused")
	if m.record().Ports[mesh.PortKey{Port: 8080, Protocol: mesh.TCP}].Target != 80 || own == m.Node("n1").HostKey {
		t.Error("the impostor was told to change the port")
	}
}
