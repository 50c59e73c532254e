package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// testMesh is a fleet of hosts and a provider that is configured for them.
type testMesh struct {
	*meshtest.Fleet
	t         *testing.T
	factories map[string]func() (tfprotov6.ProviderServer, error)

	// ssh is more for the provider's ssh.
	ssh string

	mu      sync.Mutex
	clients []*meshclient.Client
}

// newMesh starts the hosts n1, n2 and n3 (or those named); the first up to three
// are the provider's.
func newMesh(t *testing.T, names ...string) *testMesh {
	t.Helper()
	if len(names) == 0 {
		names = []string{"n1", "n2", "n3"}
	}
	m := &testMesh{Fleet: meshtest.New(t, names...), t: t}
	m.factories = map[string]func() (tfprotov6.ProviderServer, error){
		"routingmesh": func() (tfprotov6.ProviderServer, error) {
			return providerserver.NewProtocol6(&meshProvider{version: "test", connect: m.connect})(), nil
		},
	}
	// Every Terraform command configures the provider anew, in this process.
	t.Cleanup(func() {
		for _, c := range m.clients {
			_ = c.Close()
		}
	})
	return m
}

func (m *testMesh) connect(cfg meshclient.Config) (*meshclient.Client, error) {
	cfg.AgentBinary = m.ClientConfig().AgentBinary
	if cfg.SSH.KnownHosts == nil {
		cfg.SSH.KnownHosts = []string{} // not the developer's own
	}
	c, err := meshclient.New(cfg)
	m.mu.Lock()
	defer m.mu.Unlock()
	if c != nil {
		m.clients = append(m.clients, c)
	}
	return c, err
}

// client changes the mesh behind Terraform's back.
func (m *testMesh) client() *meshclient.Client {
	c, err := m.connect(m.ClientConfig(m.hosts()...))
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

func (m *testMesh) hosts() []string {
	var names []string
	for _, n := range m.All() {
		names = append(names, n.Name)
	}
	return names[:min(3, len(names))]
}

// test runs the steps without TF_ACC, and checks that nothing is left.
func (m *testMesh) test(steps ...resource.TestStep) {
	m.t.Helper()
	resource.UnitTest(m.t, resource.TestCase{ProtoV6ProviderFactories: m.factories, Steps: steps})
	for _, n := range m.All() {
		if n.Installed() {
			m.t.Errorf("the host %s still has an agent after the destroy", n.Name)
		}
	}
}

// provider is the provider block, followed by parts.
func (m *testMesh) provider(parts ...string) string {
	return fmt.Sprintf("provider \"routingmesh\" {\n  hosts = [%s]\n  ssh = { private_key = %q, agent = false%s }\n}\n%s\n",
		quoted(m.Hosts(m.hosts()...)), m.PrivateKey, m.ssh, strings.Join(parts, "\n"))
}

func quoted(list []string) string { return `"` + strings.Join(list, `", "`) + `"` }

// cluster, node, service and port write a resource each, with more attributes.
func cluster(more ...string) string {
	return block("routingmesh_cluster", "main", append([]string{`name = "demo"`}, more...))
}

func (m *testMesh) node(name string, more ...string) string {
	n := m.Node(name)
	lines := []string{"cluster_id = routingmesh_cluster.main.id"}
	for attribute, line := range map[string]string{
		"name": fmt.Sprintf("name = %q", name), "address": fmt.Sprintf("address = %q", n.Address),
		"ssh": fmt.Sprintf("ssh = { host = \"127.0.0.1\", port = %d }", n.Port()),
	} {
		if !strings.Contains("\n"+strings.Join(more, "\n"), "\n"+attribute+" ") {
			lines = append(lines, line)
		}
	}
	return block("routingmesh_node", name, append(lines, more...))
}

// nodes joins every host.
func (m *testMesh) nodes() string {
	var parts []string
	for _, n := range m.All() {
		parts = append(parts, m.node(n.Name))
	}
	return strings.Join(parts, "\n")
}

// service has one endpoint on each of the nodes.
func service(name string, nodes ...string) string {
	var endpoints []string
	for _, n := range nodes {
		endpoints = append(endpoints, fmt.Sprintf("%s = { node = routingmesh_node.%s.name }", n, n))
	}
	return block("routingmesh_service", name, []string{
		"cluster_id = routingmesh_cluster.main.id", fmt.Sprintf("name = %q", name), "endpoints = { " + strings.Join(endpoints, ", ") + " }"})
}

func published(name, service string, port int, more ...string) string {
	lines := []string{"service_id = routingmesh_service." + service + ".id"}
	if port != 0 {
		lines = append(lines, fmt.Sprintf("published_port = %d", port))
	}
	if !strings.Contains(strings.Join(more, "\n"), "target_port") {
		lines = append(lines, "target_port = 80")
	}
	return block("routingmesh_published_port", name, append(lines, more...))
}

func block(kind, name string, lines []string) string {
	return fmt.Sprintf("resource %q %q {\n  %s\n}\n", kind, name, strings.Join(lines, "\n  "))
}

// Addresses in the configuration.
const (
	theCluster = "routingmesh_cluster.main"
	node1      = "routingmesh_node.n1"
	node2      = "routingmesh_node.n2"
	theService = "routingmesh_service.web"
	thePort    = "routingmesh_published_port.http"
)

// is checks an attribute: "mtu", "ssh.port".
func is(address, attribute string, want any) statecheck.StateCheck {
	steps := strings.Split(attribute, ".")
	at := tfjsonpath.New(steps[0])
	for _, s := range steps[1:] {
		at = at.AtMapKey(s)
	}
	return statecheck.ExpectKnownValue(address, at, wanted(want))
}

func at(attribute string) tfjsonpath.Path { return tfjsonpath.New(attribute) }

func wanted(want any) knownvalue.Check {
	switch w := want.(type) {
	case nil:
		return knownvalue.Null()
	case string:
		return knownvalue.StringExact(w)
	case int:
		return knownvalue.Int64Exact(int64(w))
	case bool:
		return knownvalue.Bool(w)
	case knownvalue.Check:
		return w
	}
	panic(fmt.Sprintf("no check for %T", want))
}

func actions(pairs ...any) resource.ConfigPlanChecks {
	var checks []plancheck.PlanCheck
	for i := 0; i < len(pairs); i += 2 {
		address, _ := pairs[i].(string)
		action, _ := pairs[i+1].(plancheck.ResourceActionType)
		checks = append(checks, plancheck.ExpectResourceAction(address, action))
	}
	return resource.ConfigPlanChecks{PreApply: checks, PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
}

const (
	create  = plancheck.ResourceActionCreate
	update  = plancheck.ResourceActionUpdate
	replace = plancheck.ResourceActionReplace
	noop    = plancheck.ResourceActionNoop
)

// record is what all hosts have, in the words of mesh.
func (m *testMesh) record() *mesh.Record {
	m.t.Helper()
	for _, n := range m.All() {
		if r := n.Record(); r != nil {
			return r
		}
	}
	m.t.Fatal("no host has a record")
	return nil
}

// recordCheck checks the record after a step.
type recordCheck struct {
	m  *testMesh
	ok func(*mesh.Record) bool
}

func (c recordCheck) CheckState(_ context.Context, _ statecheck.CheckStateRequest, resp *statecheck.CheckStateResponse) {
	if r := c.m.record(); !c.ok(r) {
		text, _ := json.Marshal(r)
		resp.Error = fmt.Errorf("the record is %s", text)
	}
}
