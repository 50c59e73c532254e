package provider

import (
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

func TestClusterDefaultsAndImport(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	keys := map[string]knownvalue.Check{}
	for _, n := range m.All() {
		keys[n.Addr()] = knownvalue.StringExact(n.HostKey)
	}
	config := m.provider(cluster())
	m.test(
		resource.TestStep{
			Config: config,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectKnownValue(theCluster, tfjsonpath.New("id"), knownvalue.StringExact("demo")),
				plancheck.ExpectKnownValue(theCluster, tfjsonpath.New("vni"), knownvalue.Int64Exact(int64(mesh.DefaultVNI("demo")))),
			}},
			ConfigStateChecks: []statecheck.StateCheck{
				is(theCluster, "id", "demo"), is(theCluster, "name", "demo"),
				is(theCluster, "address_pool", "10.255.0.0/16"), is(theCluster, "node_prefix_length", 24),
				is(theCluster, "vxlan_port", 4789), is(theCluster, "vni", int(mesh.DefaultVNI("demo"))),
				is(theCluster, "mtu", 1450), is(theCluster, "published_port_range", "30000-32767"),
				is(theCluster, "host_keys", knownvalue.MapExact(keys)), is(theCluster, "timeouts", nil),
			},
		},
		resource.TestStep{Config: config, ConfigPlanChecks: actions(theCluster, noop)},
		resource.TestStep{ResourceName: theCluster, ImportState: true, ImportStateId: "demo", ImportStateVerify: true},
		resource.TestStep{Config: config, ResourceName: theCluster, ImportState: true, ImportStateId: "demo", ImportStateKind: resource.ImportBlockWithID},
		resource.TestStep{ResourceName: theCluster, ImportState: true, ImportStateId: "demo/x", ExpectError: regexp.MustCompile(`The id of a\s+cluster is its name`)},
		resource.TestStep{ResourceName: theCluster, ImportState: true, ImportStateId: "other", ExpectError: regexp.MustCompile(`Hosts of another cluster`)},
	)
}

func TestClusterChangesInPlace(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.test(
		resource.TestStep{Config: m.provider(cluster("mtu = 1400"))},
		resource.TestStep{
			Config:           m.provider(cluster("vxlan_port = 4790", "vni = 77", "mtu = 1300", `published_port_range = "40000-40010"`)),
			ConfigPlanChecks: actions(theCluster, update),
			ConfigStateChecks: []statecheck.StateCheck{
				is(theCluster, "vxlan_port", 4790), is(theCluster, "vni", 77), is(theCluster, "mtu", 1300), is(theCluster, "published_port_range", "40000-40010"),
			},
		},
		resource.TestStep{ // behind Terraform's back
			PreConfig: func() {
				c := m.record().Cluster
				c.VXLANPort, c.MTU = 5000, 1200
				if _, err := m.client().UpdateCluster(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			},
			Config:            m.provider(cluster("vxlan_port = 4790", "vni = 77", "mtu = 1300", `published_port_range = "40000-40010"`)),
			ConfigPlanChecks:  actions(theCluster, update),
			ConfigStateChecks: []statecheck.StateCheck{is(theCluster, "vxlan_port", 4790), is(theCluster, "mtu", 1300)},
		},
		resource.TestStep{ // every optional attribute removed
			Config:           m.provider(cluster()),
			ConfigPlanChecks: actions(theCluster, update),
			ConfigStateChecks: []statecheck.StateCheck{
				is(theCluster, "vxlan_port", 4789), is(theCluster, "vni", int(mesh.DefaultVNI("demo"))), is(theCluster, "mtu", 1450),
				is(theCluster, "published_port_range", "30000-32767"),
			},
		},
		resource.TestStep{
			PreConfig:         m.ResetRequests,
			Config:            m.provider(cluster(`timeouts = { create = "1m", read = "1m", update = "1m", delete = "1m" }`)),
			ConfigPlanChecks:  actions(theCluster, update),
			ConfigStateChecks: []statecheck.StateCheck{is(theCluster, "timeouts.read", "1m"), is(theCluster, "mtu", 1450)},
		},
		resource.TestStep{
			PreConfig: func() {
				if n := m.TotalRequests(mesh.PathCommit); n != 0 {
					t.Errorf("a change of timeouts made %d commits", n)
				}
				if m.record().Cluster.MTU != 0 {
					t.Errorf("the record has an mtu of %d though none is configured", m.record().Cluster.MTU)
				}
			},
			Config: m.provider(cluster()), ConfigPlanChecks: actions(theCluster, update),
		},
	)
}

// TestClusterReplacement shows that what hangs on a cluster is replaced with it,
// also where the cluster keeps its name.
func TestClusterReplacement(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	rest := m.node("n1") + service("web", "n1") + published("http", "web", 8080)
	all := actions(theCluster, replace, node1, replace, theService, replace, thePort, replace)
	m.test(
		resource.TestStep{Config: m.provider(cluster(), rest)},
		resource.TestStep{
			Config: m.provider(cluster(`address_pool = "10.7.0.0/16"`), rest), ConfigPlanChecks: all,
			ConfigStateChecks: []statecheck.StateCheck{is(theCluster, "address_pool", "10.7.0.0/16"), is(node1, "overlay_block", "10.7.0.0/24"), is(node1, "cluster_id", "demo")},
		},
		resource.TestStep{
			Config: m.provider(cluster("node_prefix_length = 26"), rest), ConfigPlanChecks: all,
			ConfigStateChecks: []statecheck.StateCheck{is(theCluster, "node_prefix_length", 26), is(node1, "overlay_block", "10.255.0.0/26")},
		},
		resource.TestStep{
			Config: m.provider(block("routingmesh_cluster", "main", []string{`name = "prod"`}), rest), ConfigPlanChecks: all,
			ConfigStateChecks: []statecheck.StateCheck{is(theCluster, "id", "prod"), is(node1, "id", "prod/n1"), is(theService, "id", "prod/web"), is(thePort, "id", "prod/web/8080/tcp")},
		},
	)
}

func TestClusterDisappears(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.test(
		resource.TestStep{Config: m.provider(cluster())},
		resource.TestStep{
			PreConfig: func() {
				if _, err := m.client().DestroyCluster(t.Context(), "demo", false); err != nil {
					t.Fatal(err)
				}
			},
			Config: m.provider(cluster()), ConfigPlanChecks: actions(theCluster, create),
		},
	)
}

// TestClusterMTUFollowsTheNodes: what is read back never makes a diff.
func TestClusterMTUFollowsTheNodes(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	config := m.provider(cluster(), m.node("n1"), `output "mtu" { value = routingmesh_cluster.main.mtu }`)
	m.test(
		resource.TestStep{Config: config, ConfigStateChecks: []statecheck.StateCheck{is(theCluster, "mtu", 1450)}},
		resource.TestStep{
			PreConfig: func() {
				r := m.record().Clone()
				r.Nodes["n1"].UnderlayMTU = 9000
				m.Node("n1").SetRecord(r, "n1")
			},
			Config:            config,
			ConfigPlanChecks:  actions(theCluster, noop, node1, noop),
			ConfigStateChecks: []statecheck.StateCheck{is(theCluster, "mtu", 8950)},
		},
		resource.TestStep{ // and changes of other attributes leave it alone
			Config:            m.provider(cluster("vxlan_port = 4790"), m.node("n1")),
			ConfigPlanChecks:  actions(theCluster, update),
			ConfigStateChecks: []statecheck.StateCheck{is(theCluster, "mtu", 8950)},
		},
	)
}

// TestClusterPinsHostKeys: accept-new accepts once.
func TestClusterPinsHostKeys(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	strict := m.provider(cluster())
	m.ssh = `, host_key_policy = "insecure"`
	insecure := m.provider(cluster())
	m.test(
		resource.TestStep{Config: strict},
		resource.TestStep{
			PreConfig: func() {
				_, signer := meshtest.NewKey(t)
				m.Node("n1").SetHostKeys(signer)
				m.Node("n1").Cut()
			},
			Config: strict, ExpectError: regexp.MustCompile(`(?s)Host key of .* refused.*SHA256:.*SHA256:`),
		},
		resource.TestStep{Config: insecure},
		resource.TestStep{Config: strict, ConfigPlanChecks: actions(theCluster, noop)},
	)
}

func TestHostsOfAnotherClusterAreNoRemoval(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	m.test(
		resource.TestStep{Config: m.provider(cluster())},
		resource.TestStep{
			PreConfig: func() {
				r := m.record().Clone()
				r.Cluster.Name = "prod"
				m.Node("n1").SetRecord(r, "")
			},
			Config: m.provider(cluster()), ExpectError: regexp.MustCompile(`(?s)Hosts of another cluster.*"prod"`),
		},
		resource.TestStep{
			PreConfig: func() {
				r := m.record().Clone()
				r.Cluster.Name = "demo"
				m.Node("n1").SetRecord(r, "")
			},
			Config: m.provider(cluster()), ConfigPlanChecks: actions(theCluster, noop),
		},
	)
}
