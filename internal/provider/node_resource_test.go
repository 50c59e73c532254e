package provider

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

func TestNodeDefaultsAndImport(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	n1 := m.Node("n1")
	config := m.provider(cluster(), m.nodes())
	m.test(
		resource.TestStep{
			Config: config,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectKnownValue(node1, tfjsonpath.New("id"), knownvalue.StringExact("demo/n1")),
				plancheck.ExpectUnknownValue(node1, tfjsonpath.New("overlay_block")),
			}},
			ConfigStateChecks: []statecheck.StateCheck{
				is(node1, "id", "demo/n1"), is(node1, "cluster_id", "demo"), is(node1, "name", "n1"), is(node1, "address", "192.0.2.11"),
				is(node1, "ssh.host", "127.0.0.1"), is(node1, "ssh.port", int(n1.Port())), is(node1, "ssh.user", nil), is(node1, "ssh.bastion_host", nil),
				is(node1, "ssh.bastion_port", nil), is(node1, "ssh.bastion_user", nil), is(node1, "ssh.host_key", nil), is(node1, "labels", nil),
				is(node1, "overlay_block", knownvalue.StringRegexp(regexp.MustCompile(`^10\.255\.[012]\.0/24$`))),
				is(node1, "mesh_address", knownvalue.StringRegexp(regexp.MustCompile(`^10\.255\.[012]\.1$`))),
				is(node1, "host_address", knownvalue.StringRegexp(regexp.MustCompile(`^10\.255\.[012]\.2$`))),
				is(node1, "host_key", n1.HostKey), is(node1, "agent_version", "test"), is(node1, "kernel_release", "6.1.0-test"),
				is(node1, "drift", knownvalue.ListExact(nil)), is(node1, "timeouts", nil),
			},
		},
		resource.TestStep{Config: config, ConfigPlanChecks: actions(theCluster, noop, node1, noop, node2, noop)},
		resource.TestStep{ResourceName: node1, ImportState: true, ImportStateId: "demo/n1", ImportStateVerify: true},
		resource.TestStep{Config: config, ResourceName: node1, ImportState: true, ImportStateId: "demo/n1", ImportStateKind: resource.ImportBlockWithID},
		resource.TestStep{ResourceName: node1, ImportState: true, ImportStateId: "n1", ExpectError: regexp.MustCompile(`CLUSTER/NAME`)},
		resource.TestStep{ResourceName: node1, ImportState: true, ImportStateId: "demo/n9", ExpectError: regexp.MustCompile(`non-existent`)},
	)
}

func TestNodeChangesInPlace(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	n1 := m.Node("n1")
	sshPlus := fmt.Sprintf("ssh = { host = \"127.0.0.1\", port = %d, user = \"root\", host_key = \"%s root@n1\" }", n1.Port(), n1.HostKey)
	m.test(
		resource.TestStep{Config: m.provider(cluster(), m.node("n1"))},
		resource.TestStep{
			Config:           m.provider(cluster(), m.node("n1", `labels = { zone = "a" }`, sshPlus)),
			ConfigPlanChecks: actions(node1, update),
			ConfigStateChecks: []statecheck.StateCheck{
				is(node1, "labels.zone", "a"), is(node1, "ssh.user", "root"), is(node1, "ssh.host_key", n1.HostKey+" root@n1"),
				is(node1, "host_key", n1.HostKey), is(node1, "overlay_block", "10.255.0.0/24"), is(node1, "agent_version", "test"),
			},
		},
		resource.TestStep{ // behind Terraform's back
			PreConfig: func() {
				n := *m.record().Nodes["n1"]
				n.Labels = map[string]string{"zone": "b", "rack": "7"}
				if _, err := m.client().PutNode(t.Context(), "demo", n, false); err != nil {
					t.Fatal(err)
				}
			},
			Config:            m.provider(cluster(), m.node("n1", `labels = { zone = "a" }`, sshPlus)),
			ConfigPlanChecks:  actions(node1, update),
			ConfigStateChecks: []statecheck.StateCheck{is(node1, "labels", knownvalue.MapExact(map[string]knownvalue.Check{"zone": knownvalue.StringExact("a")}))},
		},
		resource.TestStep{ // another address of the host, and what is optional is removed
			PreConfig:         func() { m.move("n1", "192.0.2.99") },
			Config:            m.provider(cluster(), m.node("n1", `labels = {}`, `address = "192.0.2.99"`)),
			ConfigPlanChecks:  actions(node1, update),
			ConfigStateChecks: []statecheck.StateCheck{is(node1, "address", "192.0.2.99"), is(node1, "labels", knownvalue.MapExact(nil)), is(node1, "overlay_block", "10.255.0.0/24")},
		},
		resource.TestStep{
			Config:            m.provider(cluster(), m.node("n1", `address = "192.0.2.99"`, `timeouts = { read = "1m", create = "1m", update = "1m", delete = "1m" }`)),
			ConfigPlanChecks:  actions(node1, update),
			ConfigStateChecks: []statecheck.StateCheck{is(node1, "timeouts.read", "1m"), is(node1, "labels", nil)},
		},
	)
}

// move gives a host another underlay address.
func (m *testMesh) move(name, address string) {
	n := m.Node(name)
	n.SetRunning(true) // takes the lock that the server reads under
	n.Address = netip.MustParseAddr(address)
	n.SetRunning(true)
}

func TestNodeReplacement(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1", "n2", "n3")
	rename := strings.Replace(m.node("n1"), `name = "n1"`, `name = "first"`, 1)
	m.test(
		resource.TestStep{Config: m.provider(cluster(), m.node("n1"), m.node("n2"), service("web", "n1", "n2"))},
		resource.TestStep{
			Config:            m.provider(cluster(), rename, m.node("n2"), service("web", "n1", "n2")),
			ConfigPlanChecks:  actions(node1, replace, node2, noop, theService, update),
			ConfigStateChecks: []statecheck.StateCheck{is(node1, "id", "demo/first"), is(node1, "overlay_block", "10.255.2.0/24")},
		},
		resource.TestStep{ // a node leaves: the others and the service stay
			Config:           m.provider(cluster(), m.node("n2"), service("web", "n2")),
			ConfigPlanChecks: actions(node1, plancheck.ResourceActionDestroy, node2, noop, theService, update),
		},
	)
}

func TestNodeDisappears(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1", "n2", "n3")
	config := m.provider(cluster(), m.node("n1"), m.node("n2"))
	m.test(
		resource.TestStep{Config: config},
		resource.TestStep{
			PreConfig: func() {
				if _, err := m.client().RemoveNode(t.Context(), "demo", "n2", false); err != nil {
					t.Fatal(err)
				}
			},
			Config: config, ConfigPlanChecks: actions(node2, create, node1, noop),
		},
	)
}

// TestTooFewHostsKeepTheState: with one host of three a record may be old, and
// with none there is none.
func TestTooFewHostsKeepTheState(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.ssh = `, timeout = "2s"` // how long a host that is down is waited for
	config := m.provider(cluster(), m.nodes(), service("web", "n1"), published("http", "web", 8080))
	var old *mesh.Record
	m.test(
		resource.TestStep{Config: m.provider(cluster(), m.nodes(), service("web", "n1"))},
		resource.TestStep{PreConfig: func() { old = m.Node("n1").Record() }, Config: config},
		resource.TestStep{
			PreConfig: func() {
				m.Node("n1").SetRecord(old, "n1")
				m.Node("n2").SetDown(true)
				m.Node("n3").SetDown(true)
			},
			Config: config, ExpectError: regexp.MustCompile(`(?s)Too few hosts answer.*half of\s+its\s+3\s+voters`),
		},
		resource.TestStep{PreConfig: func() { m.Node("n1").SetDown(true) }, Config: config, ExpectError: regexp.MustCompile(`Too few hosts answer`)},
		resource.TestStep{
			PreConfig: func() {
				for _, n := range m.All() {
					n.SetDown(false)
				}
			},
			Config: config, ConfigPlanChecks: actions(node1, update, node2, noop, thePort, noop),
		},
	)
}

// TestCutOffRemoval: a node that has left the record while its host could not
// be cleaned is not forgotten. It is cleaned by the next apply, or rejoins.
func TestCutOffRemoval(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1", "n2", "n3", "n4")
	m.ssh = `, user = "ops"`
	n4 := "routingmesh_node.n4"
	with, without := m.provider(cluster(), m.node("n1"), m.node("n4")), m.provider(cluster(), m.node("n1"))
	cutOff := resource.TestStep{
		PreConfig: func() {
			committing, release := m.Node("n1").Hold(mesh.PathCommit)
			go func() {
				<-committing
				m.Node("n4").SetLogin(meshtest.Login{SudoRefused: "sudo: a password is required"})
				release()
			}()
		},
		Config: without, ExpectError: regexp.MustCompile(`Cannot become root on`),
	}
	back := func() { m.Node("n4").SetLogin(meshtest.Login{}) }
	m.test(
		resource.TestStep{Config: with},
		cutOff,
		resource.TestStep{
			PreConfig: back, Config: with,
			ConfigPlanChecks:  actions(n4, update, node1, noop),
			ConfigStateChecks: []statecheck.StateCheck{is(n4, "drift", knownvalue.ListExact(nil)), is(n4, "overlay_block", "10.255.2.0/24")},
		},
		cutOff,
		resource.TestStep{PreConfig: back, Config: without, ConfigPlanChecks: actions(n4, plancheck.ResourceActionDestroy, node1, noop)},
		resource.TestStep{
			PreConfig: func() {
				if m.Node("n4").Installed() {
					t.Error("n4 still has the agent")
				}
			},
			Config: without, ConfigPlanChecks: actions(node1, noop),
		},
	)
}
