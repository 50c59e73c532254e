package provider

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func TestPublishedPortDefaultsAndImport(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	rest := cluster() + m.node("n1") + service("web", "n1")
	config := m.provider(rest, published("http", "web", 8080))
	m.test(
		resource.TestStep{
			Config: config,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectKnownValue(thePort, tfjsonpath.New("id"), knownvalue.StringExact("demo/web/8080/tcp")),
			}},
			ConfigStateChecks: []statecheck.StateCheck{
				is(thePort, "id", "demo/web/8080/tcp"), is(thePort, "service_id", "demo/web"), is(thePort, "published_port", 8080),
				is(thePort, "target_port", 80), is(thePort, "protocol", "tcp"), is(thePort, "mode", "ingress"), is(thePort, "timeouts", nil),
			},
		},
		resource.TestStep{Config: config, ConfigPlanChecks: actions(thePort, noop)},
		resource.TestStep{ResourceName: thePort, ImportState: true, ImportStateId: "demo/web/8080/tcp", ImportStateVerify: true},
		resource.TestStep{Config: config, ResourceName: thePort, ImportState: true, ImportStateId: "demo/web/8080/tcp", ImportStateKind: resource.ImportBlockWithID},
		resource.TestStep{ResourceName: thePort, ImportState: true, ImportStateId: "demo/web/8080", ExpectError: regexp.MustCompile(`CLUSTER/SERVICE/PORT/PROTOCOL`)},
		resource.TestStep{
			Config:           m.provider(rest, published("http", "web", 8080, "target_port = 8000", `mode = "host"`, `timeouts = { create = "1m" }`)),
			ConfigPlanChecks: actions(thePort, update, theService, noop),
			ConfigStateChecks: []statecheck.StateCheck{
				is(thePort, "target_port", 8000), is(thePort, "mode", "host"), is(thePort, "timeouts.create", "1m"), is(thePort, "published_port", 8080),
			},
		},
		resource.TestStep{ // behind Terraform's back
			PreConfig: func() {
				p := *m.record().Ports[web8080]
				p.Target, p.Mode = 1, mesh.Host
				if _, err := m.client().PutPort(t.Context(), "demo", p, false); err != nil {
					t.Fatal(err)
				}
			},
			Config:            config,
			ConfigPlanChecks:  actions(thePort, update),
			ConfigStateChecks: []statecheck.StateCheck{is(thePort, "target_port", 80), is(thePort, "mode", "ingress")},
		},
		resource.TestStep{ // disappears
			PreConfig: func() {
				if _, err := m.client().RemovePort(t.Context(), "demo", "web", web8080); err != nil {
					t.Fatal(err)
				}
			},
			Config: config, ConfigPlanChecks: actions(thePort, create, theService, noop),
		},
	)
}

func TestPublishedPortReplacement(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	rest := cluster() + m.node("n1") + service("web", "n1") + service("api", "n1")
	step := func(id string, config string) resource.TestStep {
		return resource.TestStep{
			Config: m.provider(rest, config), ConfigPlanChecks: actions(thePort, replace, theService, noop),
			ConfigStateChecks: []statecheck.StateCheck{is(thePort, "id", id)},
		}
	}
	first := step("demo/web/8080/tcp", published("http", "web", 8080))
	first.ConfigPlanChecks = actions(thePort, create)
	m.test(
		first,
		step("demo/web/8081/tcp", published("http", "web", 8081)),
		step("demo/web/8081/udp", published("http", "web", 8081, `protocol = "udp"`)),
		step("demo/api/8081/udp", published("http", "api", 8081, `protocol = "udp"`)),
	)
}

// TestAllocatedPortStays: omitted, it is the next free one, and then stays.
func TestAllocatedPortStays(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	rest := cluster(`published_port_range = "30000-30009"`) + m.node("n1") + service("web", "n1")
	m.test(
		resource.TestStep{
			Config: m.provider(rest, published("http", "web", 0)),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectUnknownValue(thePort, tfjsonpath.New("id")), plancheck.ExpectUnknownValue(thePort, tfjsonpath.New("published_port")),
			}},
			ConfigStateChecks: []statecheck.StateCheck{is(thePort, "published_port", 30000), is(thePort, "id", "demo/web/30000/tcp")},
		},
		resource.TestStep{
			Config:            m.provider(rest, published("http", "web", 0, "target_port = 81"), published("two", "web", 0)),
			ConfigPlanChecks:  actions(thePort, update, "routingmesh_published_port.two", create),
			ConfigStateChecks: []statecheck.StateCheck{is(thePort, "published_port", 30000), is("routingmesh_published_port.two", "published_port", 30001)},
		},
		resource.TestStep{ // named and then omitted: it stays as well
			Config:           m.provider(rest, published("http", "web", 30000, "target_port = 81"), published("two", "web", 0)),
			ConfigPlanChecks: actions(thePort, noop),
		},
		resource.TestStep{
			Config:           m.provider(rest, published("http", "web", 0, "target_port = 81"), published("two", "web", 0)),
			ConfigPlanChecks: actions(thePort, noop),
		},
	)
}

// TestPublishingTouchesOnlyThePort: neither the service nor its endpoints nor
// another port changes in the record, and one commit does it.
func TestPublishingTouchesOnlyThePort(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	rest := cluster() + m.nodes() + service("web", "n1", "n2") + published("http", "web", 8080)
	var before *mesh.Record
	onlyPort := func(want int) func() {
		return func() {
			after := m.record().Clone()
			if got := after.Generation - before.Generation; got != 1 {
				t.Errorf("publishing took %d commits", got)
			}
			if len(after.Ports) != want {
				t.Errorf("the record has %d ports, want %d", len(after.Ports), want)
			}
			delete(after.Ports, mesh.PortKey{Port: 9090, Protocol: mesh.TCP})
			same := before.Clone()
			delete(same.Ports, mesh.PortKey{Port: 9090, Protocol: mesh.TCP})
			after.Generation, after.Parent = same.Generation, same.Parent
			if after.Hash() != same.Hash() {
				t.Error("publishing changed more than its port")
			}
			before = m.record()
		}
	}
	m.test(
		resource.TestStep{Config: m.provider(rest)},
		resource.TestStep{
			PreConfig:        func() { before = m.record() },
			Config:           m.provider(rest, published("more", "web", 9090)),
			ConfigPlanChecks: actions("routingmesh_published_port.more", create, theService, noop, thePort, noop, node1, noop),
		},
		resource.TestStep{
			PreConfig: onlyPort(2), Config: m.provider(rest),
			ConfigPlanChecks: actions("routingmesh_published_port.more", plancheck.ResourceActionDestroy, theService, noop, thePort, noop),
		},
		resource.TestStep{PreConfig: onlyPort(1), Config: m.provider(rest), ConfigPlanChecks: actions(thePort, noop)},
	)
}

// TestTenPortsFewCommits: operations that wait join the next commit.
func TestTenPortsFewCommits(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	rest := cluster() + m.nodes() + service("web", "n1", "n2")
	var before *mesh.Record
	m.test(
		resource.TestStep{Config: m.provider(rest)},
		resource.TestStep{
			PreConfig: func() { before = m.record() },
			Config:    m.provider(rest, published("many", "web", 0, "count = 10")),
		},
		resource.TestStep{
			PreConfig: func() {
				after := m.record()
				if commits := after.Generation - before.Generation; commits > 5 || len(after.Ports) != 10 {
					t.Errorf("%d ports took %d commits, want 10 in at most 5", len(after.Ports), commits)
				}
			},
			Config: m.provider(rest),
		},
	)
}

// callsAtMost checks what the plan that was made has cost.
type callsAtMost struct {
	m                   *testMesh
	status, connections int
}

func (c callsAtMost) CheckPlan(_ context.Context, _ plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	if status, connections := c.m.TotalRequests(mesh.PathStatus), c.m.TotalConnections(); status > c.status || connections > c.connections {
		resp.Error = fmt.Errorf("the plan made %d status calls over %d connections, want %d over %d", status, connections, c.status, c.connections)
	}
}

// noDialling checks that a plan was made without asking anybody.
type noDialling struct{ m *testMesh }

func (c noDialling) CheckPlan(ctx context.Context, req plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	callsAtMost{c.m, 0, 0}.CheckPlan(ctx, req, resp)
}

// TestAllowedCIDRs: changed in place, in any order, and taken away.
func TestAllowedCIDRs(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	config := func(more ...string) string {
		return m.provider(cluster(), m.node("n1"), service("web", "n1"), published("http", "web", 8080, more...))
	}
	allowed := func() mesh.PrefixList {
		return m.record().Ports[mesh.PortKey{Port: 8080, Protocol: mesh.TCP}].AllowedCIDRs
	}
	step := func(want mesh.PrefixList, change plancheck.ResourceActionType, more ...string) resource.TestStep {
		return resource.TestStep{Config: config(more...), ConfigPlanChecks: actions(thePort, change), Check: func(*terraform.State) error {
			if got := allowed(); got != want {
				return fmt.Errorf("the record has %q, want %q", got, want)
			}
			return nil
		}}
	}
	m.test(
		step("10.0.0.0/8,192.0.2.0/24", create, `allowed_cidrs = ["192.0.2.0/24", "10.0.0.0/8"]`),
		step("10.0.0.0/8,192.0.2.0/24", noop, `allowed_cidrs = ["10.0.0.0/8", "192.0.2.0/24"]`),
		step("192.0.2.7/32", update, `allowed_cidrs = ["192.0.2.7/32"]`),
		resource.TestStep{ResourceName: thePort, ImportState: true, ImportStateVerify: true},
		resource.TestStep{Config: config(`allowed_cidrs = ["10.1.0.0/8"]`), ExpectError: regexp.MustCompile(`(?s)Invalid network.*is 10.0.0.0/8 meant`)},
		resource.TestStep{Config: config(`allowed_cidrs = []`), ExpectError: regexp.MustCompile(`(?s)allowed_cidrs.*at least 1`)},
		step("", update),
	)
}

// TestOpenNowhere: a name that no node has is said.
func TestOpenNowhere(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	w := m.workspace()
	w.write(m.provider(cluster(), m.nodes(), service("web", "n1"), published("http", "web", 8080)))
	w.apply()
	w.write(m.provider(cluster(), m.nodes(), service("web", "n1"), published("http", "web", 8080, `nodes = ["n11", "n12"]`)))
	out, _ := w.plan()
	says(t, out, "Warning: Published port is open nowhere", "none of the nodes of the published port 8080/tcp (n11, n12)")
	w.write(m.provider(cluster(), m.nodes(), service("web", "n1"), published("http", "web", 8080, `nodes = ["n1", "n12"]`)))
	if out, _ := w.plan(); strings.Contains(out, "Warning") {
		t.Errorf("a node that has left may stay in the list:\n%s", out)
	}
}

// TestOpenOnNodes: which nodes a port is open on is changed in place, in any order.
func TestOpenOnNodes(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1", "n2", "n3")
	config := func(more ...string) string {
		return m.provider(cluster(), m.node("n1"), m.node("n2"), service("web", "n1"), published("http", "web", 8080, more...))
	}
	step := func(want mesh.NodeList, change plancheck.ResourceActionType, more ...string) resource.TestStep {
		return resource.TestStep{Config: config(more...), ConfigPlanChecks: actions(thePort, change), Check: func(*terraform.State) error {
			if got := m.record().Ports[mesh.PortKey{Port: 8080, Protocol: mesh.TCP}].Nodes; got != want {
				return fmt.Errorf("the record has %q, want %q", got, want)
			}
			return nil
		}}
	}
	m.test(
		step("n1,n2", create, `nodes = [routingmesh_node.n2.name, routingmesh_node.n1.name]`),
		step("n1,n2", noop, `nodes = ["n1", "n2"]`),
		step("n1", update, `nodes = ["n1"]`),
		resource.TestStep{ResourceName: thePort, ImportState: true, ImportStateVerify: true},
		resource.TestStep{Config: config(`nodes = ["N1"]`), ExpectError: regexp.MustCompile(`(?s)Invalid name`)},
		resource.TestStep{Config: config(`nodes = []`), ExpectError: regexp.MustCompile(`(?s)nodes.*at least 1`)},
		step("", update),
	)
}

// TestListenAddresses: where a port is open is changed in place, in any order and spelling,
// and two services may have one number.
func TestListenAddresses(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1", "n2", "n3")
	config := func(more ...string) string {
		return m.provider(append([]string{cluster(), m.node("n1"), m.node("n2"), service("web", "n1"), service("api", "n2")}, more...)...)
	}
	const web, api = `listen_addresses = ["192.0.2.0/24", "127.0.0.0/8"]`, `listen_addresses = ["10.0.0.0/8", "203.0.113.7"]`
	step := func(want string, change plancheck.ResourceActionType, ports ...string) resource.TestStep {
		return resource.TestStep{Config: config(ports...), ConfigPlanChecks: actions(thePort, change), Check: func(*terraform.State) error {
			got := ""
			for _, p := range m.record().PortsAt(mesh.PortKey{Port: 8080, Protocol: mesh.TCP}) {
				got += fmt.Sprintf("%s=%s:%s ", p.Key(), p.Service, p.Listen)
			}
			if got != want {
				return fmt.Errorf("the record has %q, want %q", got, want)
			}
			return nil
		}}
	}
	const pair = "8080/tcp=web:127.0.0.0/8,192.0.2.0/24 8080/tcp/1=api:10.0.0.0/8,203.0.113.7/32 "
	m.test(
		step("8080/tcp=web:192.0.2.7/32 ", create, published("http", "web", 8080, `listen_addresses = ["192.0.2.7/32"]`)),
		step("8080/tcp=web:192.0.2.7/32 ", noop, published("http", "web", 8080, `listen_addresses = ["192.0.2.7/32"]`)),
		step("8080/tcp=web:127.0.0.0/8,192.0.2.0/24 ", update, published("http", "web", 8080, web)),
		step(pair, noop, published("http", "web", 8080, web), published("api", "api", 8080, api)),
		step(pair, noop, published("http", "web", 8080, `listen_addresses = ["127.0.0.0/8", "192.0.2.0/24"]`), published("api", "api", 8080, api)),
		resource.TestStep{ResourceName: "routingmesh_published_port.api", ImportState: true, ImportStateVerify: true},
		// The address goes from one to the other in one apply, in whatever order.
		step("8080/tcp=web:192.0.2.0/24 8080/tcp/1=api:10.0.0.0/8,127.0.0.1/32 ", update,
			published("http", "web", 8080, `listen_addresses = ["192.0.2.0/24"]`), published("api", "api", 8080, `listen_addresses = ["10.0.0.0/8", "127.0.0.1"]`)),
		resource.TestStep{Config: config(published("http", "web", 8080, web), published("api", "api", 8080, `listen_addresses = ["127.0.0.1"]`)),
			ExpectError: regexp.MustCompile(`(?s)Published port not available.*at\s+127\.0\.0\.1`)},
		resource.TestStep{Config: config(published("http", "web", 8080), published("api", "api", 8080, api)),
			ExpectError: regexp.MustCompile(`(?s)Published port not available.*listen_addresses that do not\s+overlap`)},
		resource.TestStep{Config: config(published("http", "web", 8080, `listen_addresses = ["127.0.0.1/8"]`)), ExpectError: regexp.MustCompile(`(?s)Invalid address.*127\.0\.0\.0/8`)},
		resource.TestStep{Config: config(published("http", "web", 8080, `listen_addresses = []`)), ExpectError: regexp.MustCompile(`(?s)listen_addresses.*at least 1`)},
		step("8080/tcp/1=api:10.0.0.0/8 ", plancheck.ResourceActionDestroy, published("api", "api", 8080, `listen_addresses = ["10.0.0.0/8"]`)),
	)
}

// TestListensNowhere: a plan names the nodes that have none of the addresses.
func TestListensNowhere(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	w := m.workspace()
	w.write(m.provider(cluster(), m.nodes(), service("web", "n1"), published("http", "web", 8080)))
	w.apply()
	plan := func(attributes ...string) string {
		w.write(m.provider(cluster(), m.nodes(), service("web", "n1"), published("http", "web", 8080, attributes...)))
		out, _ := w.plan()
		return out
	}
	says(t, plan(`listen_addresses = ["203.0.113.0/24"]`), "Warning: Published port is closed on some nodes", "none of the listen_addresses of the published port 8080/tcp (203.0.113.0/24): n1 (")
	one := m.record().Nodes["n1"].Address.String()
	out := plan(`listen_addresses = ["` + one + `"]`)
	says(t, out, "Warning: Published port is closed on some nodes", "n2 (")
	if strings.Contains(out, "n1 (") {
		t.Errorf("n1 has the address:\n%s", out)
	}
	for _, fine := range [][]string{{`listen_addresses = ["` + one + `"]`, `nodes = ["n1"]`}, {`listen_addresses = ["127.0.0.1"]`}, {`listen_addresses = ["0.0.0.0/1", "128.0.0.0/1"]`}} {
		if out := plan(fine...); strings.Contains(out, "Warning") {
			t.Errorf("%v:\n%s", fine, out)
		}
	}
}

// TestClientAddress: it is changed in place; an endpoint's way back stays for what is open.
func TestClientAddress(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	config := func(more ...string) string {
		return m.provider(cluster(), m.node("n1"), service("web", "n1"), published("http", "web", 8080, more...))
	}
	step := func(want mesh.ClientAddress, before bool, change plancheck.ResourceActionType, more ...string) resource.TestStep {
		return resource.TestStep{Config: config(more...), ConfigPlanChecks: actions(thePort, change), Check: func(*terraform.State) error {
			got := m.record().Ports[mesh.PortKey{Port: 8080, Protocol: mesh.TCP}]
			if got.ClientAddress != want || got.PreservedBefore != before {
				return fmt.Errorf("the record has %q, before: %t; want %q, %t", got.ClientAddress, got.PreservedBefore, want, before)
			}
			return nil
		}}
	}
	m.test(
		step(mesh.Preserve, false, create, `client_address = "preserve"`),
		resource.TestStep{ResourceName: thePort, ImportState: true, ImportStateVerify: true},
		step(mesh.EntryNode, true, update),
		step(mesh.EntryNode, true, noop, `client_address = "entry_node"`),
		step(mesh.Preserve, false, update, `client_address = "preserve"`),
		resource.TestStep{Config: config(`client_address = "preserve"`, `listen_addresses = ["192.0.2.1"]`), ExpectError: regexp.MustCompile(`(?s)open at all addresses of a\s+node: leave\s+listen_addresses\s+out`)},
		resource.TestStep{Config: config(`client_address = "server"`), ExpectError: regexp.MustCompile(`(?s)client_address.*entry_node`)},
		step(mesh.EntryNode, true, update),
	)
}

// TestClientAddress_LargePool: entry addresses have room for so many blocks only.
func TestClientAddress_LargePool(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	m.test(m.refused(`at most 8192 blocks`, cluster(`address_pool = "10.0.0.0/8"`), m.node("n1"), service("web", "n1"), published("http", "web", 8080, `client_address = "preserve"`)))
}

// TestPortRange: a range grows, shrinks and gets other targets in place, becomes a port and a
// range again; its targets are the same ports by default.
func TestPortRange(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	config := func(more ...string) string {
		return m.provider(cluster(), m.node("n1"), service("web", "n1"), fmt.Sprintf(`
resource "routingmesh_published_port" "http" {
  service_id     = routingmesh_service.web.id
  published_port = 10000
  %s
}
`, strings.Join(more, "\n  ")))
	}
	step := func(want string, change plancheck.ResourceActionType, more ...string) resource.TestStep {
		return resource.TestStep{Config: config(more...), ConfigPlanChecks: actions(thePort, change), Check: func(*terraform.State) error {
			p := m.record().Ports[mesh.PortKey{Port: 10000, Protocol: mesh.TCP}]
			if got := fmt.Sprintf("%s to %d", p.Name(), p.Target); got != want {
				return fmt.Errorf("the record has %q, want %q", got, want)
			}
			return nil
		}}
	}
	m.test(
		step("10000-10999/tcp to 10000", create, `last_port = 10999`),
		step("10000-10999/tcp to 10000", noop, `last_port = 10999`),
		resource.TestStep{ResourceName: thePort, ImportState: true, ImportStateVerify: true},
		step("10000-29999/tcp to 20000", update, `last_port = 29999`, `target_port = 20000`),
		step("10000-10009/tcp to 20000", update, `last_port = 10009`, `target_port = 20000`),
		step("10000/tcp to 20000", update, `target_port = 20000`),
		step("10000/tcp to 10000", update),
		step("10000-10009/tcp to 10000", update, `last_port = 10009`),
		resource.TestStep{Config: config(`last_port = 9999`), ExpectError: regexp.MustCompile(`(?s)last_port must be greater\s+than\s+published_port`)},
		resource.TestStep{Config: config(`last_port = 20000`, `target_port = 60000`), ExpectError: regexp.MustCompile(`(?s)target_port.*the last\s+port is 65535`)},
		resource.TestStep{Config: config(`last_port = 20000`, `listen_addresses = ["192.0.2.7"]`), ExpectError: regexp.MustCompile(`(?s)leave\s+listen_addresses\s+out`)},
	)
}

// TestPortRange_Refused: what a range would hurt, or cannot be, is refused by the plan.
func TestPortRange_Refused(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	rest := cluster() + m.node("n1") + service("web", "n1")
	ranging := func(name string, first, last int, more ...string) string {
		return published(name, "web", first, append(more, fmt.Sprintf("last_port = %d", last))...)
	}
	with := func(text string, parts ...string) resource.TestStep {
		words := strings.Join(strings.Fields(regexp.QuoteMeta(text)), `\s+`)
		return resource.TestStep{Config: m.provider(append([]string{rest}, parts...)...), PlanOnly: true, ExpectError: regexp.MustCompile(words)}
	}
	own := strings.Replace(rest, "node = routingmesh_node.n1.name", "node = routingmesh_node.n1.name\n      port = 99", 1)
	m.test(
		with("22/tcp is where sshd answers", ranging("http", 20, 30)),
		with("carries the cluster's VXLAN overlay", ranging("http", 4000, 5000, `protocol = "udp"`)),
		with("overlap", ranging("http", 8000, 9000), published("one", "web", 8500)),
		with("overlap", ranging("http", 8000, 9000), ranging("more", 9000, 9100)),
		with("set target_port to the port on which they listen", `
resource "routingmesh_published_port" "http" {
  service_id = routingmesh_service.web.id
}
`),
		with("set published_port", `
resource "routingmesh_published_port" "http" {
  service_id  = routingmesh_service.web.id
  last_port   = 8080
  target_port = 80
}
`),
		resource.TestStep{Config: m.provider(own, ranging("http", 8000, 9000)), PlanOnly: true, ExpectError: regexp.MustCompile(`have\s+ports\s+of\s+their\s+own`)},
	)
}
