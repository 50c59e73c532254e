package provider

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
)

// refused is a plan that fails: offline, in the very first plan.
func (m *testMesh) refused(want string, parts ...string) resource.TestStep {
	return resource.TestStep{Config: m.provider(parts...), PlanOnly: true, ExpectError: regexp.MustCompile(`(?s)` + strings.ReplaceAll(want, " ", `\s+`))}
}

// TestPlanRefuses: everything that can be known to fail fails in the plan, on
// hosts that nobody has dialled.
func TestPlanRefuses(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	mesh := cluster() + m.nodes() + service("web", "n1") + service("api", "n2")
	node := func(name, address string) string {
		return block("routingmesh_node", "other", []string{"cluster_id = routingmesh_cluster.main.id", "depends_on = [routingmesh_node.n1]",
			fmt.Sprintf("name = %q", name), fmt.Sprintf("address = %q", address)})
	}
	m.test(
		// published ports
		m.refused(`published_port = 8080.*already published by service "(web|api)"`, mesh, published("a", "web", 8080), published("b", "api", 8080)),
		m.refused(`published_port = 8080.*Two resources of this configuration are the port 8080/tcp of the service demo/web`,
			mesh, published("a", "web", 8080), published("b", "web", 8080, "target_port = 81")),
		m.refused(`Port 22/tcp is where sshd answers`, mesh, published("a", "web", 22)),
		m.refused(fmt.Sprintf(`Port %d/tcp is the SSH port of node n2`, m.Node("n2").Port()), mesh, published("a", "web", int(m.Node("n2").Port()), "depends_on = [routingmesh_node.n2]")),
		m.refused(`Port 4789/udp carries the cluster's VXLAN overlay`, mesh, published("a", "web", 4789, `protocol = "udp"`)),
		m.refused(`published_port must be 1–65535, not 65536`, mesh, published("a", "web", 65536)),
		m.refused(`target_port must be 1–65535, not 0`, mesh, published("a", "web", 80, "target_port = 0")),
		m.refused(`protocol value must be one of: \["tcp" "udp"\]`, mesh, published("a", "web", 80, `protocol = "sctp"`)),
		m.refused(`mode value must be one of: \["ingress" "host"\]`, mesh, published("a", "web", 80, `mode = "swarm"`)),
		m.refused(`"demo" is not a valid service id`, mesh, strings.Replace(published("a", "web", 80), "routingmesh_service.web.id", `"demo"`, 1)),
		// services
		m.refused(`endpoints = .*names node "n9".*n1 n2 n3`, mesh, block("routingmesh_service", "more", []string{
			"cluster_id = routingmesh_cluster.main.id", `name = "more"`, `endpoints = { x = { node = "n9" } }`,
			"depends_on = [routingmesh_node.n1, routingmesh_node.n2, routingmesh_node.n3]"})),
		m.refused(`Endpoints "a" and "b" are the same process`, cluster(), m.nodes(), web(`{ a = { node = routingmesh_node.n1.name }, b = { node = routingmesh_node.n1.name } }`)),
		m.refused(`Two resources of this configuration are the service web of the cluster demo`, mesh, strings.Replace(service("web", "n1"), `"web"`, `"twin"`, 1)),
		m.refused(`endpoints\["a"\].port must be 1–65535, not 70000`, cluster(), m.nodes(), web(`{ a = { node = routingmesh_node.n1.name, port = 70000 } }`)),
		// networks, and services in them
		m.refused(`Two resources of this configuration are the network backend of the cluster demo`, mesh, network("backend"), strings.Replace(network("backend"), `"backend"`, `"twin"`, 1)),
		m.refused(`hosts = .*names node "n9".*n1 n2 n3`, mesh, network("backend", `hosts = ["n9"]`, "depends_on = [routingmesh_node.n1, routingmesh_node.n2, routingmesh_node.n3]")),
		m.refused(`hosts = .*"\*" stands for every node`, mesh, network("backend", `hosts = ["n1", "*"]`)),
		m.refused(`Invalid name.*"N1" is no name`, mesh, network("backend", `hosts = ["N1"]`)),
		m.refused(`networks = .*names network "missing", which the cluster demo does not have \(it has \[backend\]\)`,
			cluster(), m.nodes(), network("backend"), member("web", nil, `networks = { missing = {} }`, "depends_on = [routingmesh_network.backend]")),
		m.refused(`networks = .*In network "backend" the name "db" is service "db"'s already`, cluster(), m.nodes(), network("backend"), member("db", []string{"backend"}),
			member("web", nil, `networks = { (routingmesh_network.backend.name) = { aliases = ["db"] } }`, "depends_on = [routingmesh_service.db]")),
		m.refused(`"Back" is no name`, cluster(), m.nodes(), member("web", nil, `networks = { Back = {} }`)),
		m.refused(`"DB" is no name`, cluster(), m.nodes(), network("backend"), member("web", nil, `networks = { (routingmesh_network.backend.name) = { aliases = ["DB"] } }`)),
		m.refused(`Null Map Value.*networks = `, cluster(), m.nodes(), network("backend"), member("web", nil, `networks = { (routingmesh_network.backend.name) = null }`)),
		m.refused(`endpoint_mode value must be one of: \["vip" "dnsrr"\]`, cluster(), m.nodes(), member("web", nil, `endpoint_mode = "swarm"`)),
		m.refused(`endpoint_mode = "dnsrr".*An endpoint_mode is for services in networks`, cluster(), m.nodes(), member("web", nil, `endpoint_mode = "dnsrr"`)),
		m.refused(`vip_ports = .*Ports of a VIP are for services in networks`, cluster(), m.nodes(), member("web", nil, `vip_ports = { "80/tcp" = 80 }`)),
		m.refused(`"80" is not a port and a protocol`, cluster(), m.nodes(), network("backend"), member("web", []string{"backend"}, `vip_ports = { "80" = 80 }`)),
		m.refused(`must be 1–65535, not 70000`, cluster(), m.nodes(), network("backend"), member("web", []string{"backend"}, `vip_ports = { "80/tcp" = 70000 }`)),
		m.refused(`vip_ports = .*are as in "80/tcp" = 8080, and not 80/tcp = 0`, cluster(), m.nodes(), network("backend"), member("web", []string{"backend"}, `vip_ports = { "80/tcp" = 0 }`)),
		m.refused(`Invalid number.*must be a whole number, not 80.5`, cluster(), m.nodes(), network("backend"), member("web", []string{"backend"}, `vip_ports = { "80/tcp" = 80.5 }`)),
		m.refused(`An endpoint is a process of a host, and the VIP must not lead to everything`, cluster(), m.nodes(), network("backend"),
			web(`{ a = { node = routingmesh_node.n1.name } }`, `networks = { (routingmesh_network.backend.name) = {} }`)),
		m.refused(`endpoint_mode = "dnsrr".*an endpoint is a process of a host`, cluster(), m.nodes(), network("backend"),
			web(`{ a = { node = routingmesh_node.n1.name } }`, `networks = { (routingmesh_network.backend.name) = {} }`, `endpoint_mode = "dnsrr"`)),
		m.refused(`takes? one block of the address pool 10.9.0.0/28 for the VIPs|has room for 2 nodes of /29 each`,
			cluster(`address_pool = "10.9.0.0/28"`, "node_prefix_length = 29"), m.node("n1"), m.node("n2"), network("backend")),
		m.refused(`A cluster with networks cannot have addresses of 82.0.0.0/13 in its pool`, cluster(`address_pool = "82.0.0.0/16"`, "node_prefix_length = 24"), network("backend")),
		// nodes
		m.refused(`Two resources of this configuration are the node n1 of the cluster demo`, mesh, node("n1", "192.0.2.50")),
		m.refused(`Node n1 already has the underlay address 192.0.2.11`, mesh, node("n9", "192.0.2.11")),
		m.refused(`192.0.2.11 lies in the cluster's address pool 192.0.0.0/16`, cluster(`address_pool = "192.0.0.0/16"`), m.node("n1")),
		m.refused(`has room for 2 nodes of /29 each`, cluster(`address_pool = "10.9.0.0/28"`, "node_prefix_length = 29"), m.nodes()),
		m.refused(`"N1" is no name`, cluster(), m.node("n1", `name = "N1"`)),
		m.refused(`want the underlay address itself`, cluster(), m.node("n1", `address = "n1.example.com"`)),
		m.refused(`unicast IPv4 address`, cluster(), m.node("n1", `address = "224.0.0.1"`)),
		m.refused(`Invalid SSH host.*has a user in it: write host = "127.0.0.1" and user = "root"`, cluster(), m.node("n1", `ssh = { host = "root@127.0.0.1" }`)),
		m.refused(`ssh.port must be 1–65535, not 0`, cluster(), m.node("n1", `ssh = { port = 0 }`)),
		m.refused(`127.0.0.1 is in 127.0.0.0/8`, cluster(), m.node("n1", `address = "127.0.0.1"`)),
		m.refused(`contains 192.0.2.11, which is the underlay address of node n1|192.0.2.11 lies in the cluster's address pool`,
			cluster(`address_pool = "192.0.0.0/16"`, "depends_on = [routingmesh_node.n1]"), strings.Replace(m.node("n1"), "routingmesh_cluster.main.id", `"demo"`, 1)),
		m.refused(`169.254.0.0/16, the link-local network`, cluster(`address_pool = "169.254.0.0/16"`)),
		m.refused(`public key as in\s+authorized_keys`, cluster(), m.node("n1", `ssh = { host_key = "SHA256:abc" }`)),
		m.refused(`"demo/n1" is not a valid cluster id`, cluster(), strings.Replace(m.node("n1"), "routingmesh_cluster.main.id", `"demo/n1"`, 1)),
		// clusters
		m.refused(`write 10.255.0.0/16`, cluster(`address_pool = "10.255.3.0/16"`)),
		m.refused(`17–29, not 16`, cluster("node_prefix_length = 16")),
		m.refused(`"Demo" is no name`, strings.Replace(cluster(), `"demo"`, `"Demo"`, 1)),
		m.refused(`want FIRST-LAST`, cluster(`published_port_range = "high"`)),
		m.refused(`vxlan_port must be 1–65535, not 0`, cluster("vxlan_port = 0")),
		m.refused(`vni must be 1–16777215, not 16777216`, cluster("vni = 16777216")),
		m.refused(`host_dns value must be one of: \["hosts" "off"\]`, cluster(`host_dns = "dnsmasq"`)),
		m.refused(`mtu must be 576–65485, not 100`, cluster("mtu = 100")),
		m.refused(`The cluster "(demo|prod)" is planned on the same hosts`, cluster(), block("routingmesh_cluster", "prod", []string{`name = "prod"`})),
		m.refused(`Invalid number.*mtu must be a whole number, not 1400.5`, cluster("mtu = 1400.5")),
		m.refused(`Invalid number.*ssh.port must be a whole number, not 22.5`, cluster(), m.node("n1", `ssh = { port = 22.5 }`)),
		m.refused(`Invalid number.*target_port must be a whole number, not 1e\+30`, mesh, published("a", "web", 80, "target_port = 1e30")),
		m.refused(`Invalid timeout.*"0s" gives the operation no time`, cluster(`timeouts = { create = "0s" }`)),
		m.refused(`Invalid timeout.*"-5m" gives the operation no time`, cluster(), m.node("n1", `timeouts = { delete = "-5m" }`)),
		m.refused(`"soon" must be a string`, cluster(`timeouts = { create = "soon" }`)),
	)
	if n := m.TotalConnections(); n != 0 {
		t.Errorf("planning has dialled %d times", n)
	}
}

func TestProviderRefuses(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	step := func(want, block string) resource.TestStep {
		return resource.TestStep{Config: "provider \"routingmesh\" {\n" + block + "\n}\n" + cluster(), PlanOnly: true,
			ExpectError: regexp.MustCompile(`(?s)` + strings.ReplaceAll(want, " ", `\s+`))}
	}
	m.test(
		step(`hosts is missing.*ROUTINGMESH_HOSTS`, ""),
		step(`2 hosts are listed. List 1, 3 or 5`, `hosts = ["a", "b"]`),
		step(`"a:ssh" is no SSH address \(the port must be 1–65535\)`, `hosts = ["a:ssh"]`),
		step(`hosts = .*named twice`, `hosts = ["a", "b", "a"]`),
		step(`ssh.port must be 1–65535`, `hosts = ["a"]
  ssh = { port = 0 }`),
		step(`host_key_policy value must be one of`, `hosts = ["a"]
  ssh = { host_key_policy = "ask" }`),
		step(`no duration`, `hosts = ["a"]
  ssh = { timeout = "30" }`),
		step(`string length must be at least 1`, `hosts = ["a"]
  ssh = { user = "" }`),
		step(`Invalid SSH user.*"a\\nb" has a blank or a line break`, `hosts = ["a"]
  ssh = { user = "a\nb" }`),
		step(`Invalid SSH host.*"ssh://b" is a URL`, `hosts = ["a"]
  ssh = { bastion_host = "ssh://b" }`),
		step(`Invalid provider configuration`, `hosts = ["a"]
  ssh = { private_key = "not a key" }`),
	)
}

// TestPlanChecksSeeTheCluster: what another state has put into the record, and
// what only looks like a conflict.
func TestPlanChecksSeeTheCluster(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	rest := cluster() + m.nodes() + service("web", "n1") + service("api", "n2")
	swapped := published("a", "api", 8080) + published("b", "web", 8081)
	m.test(
		resource.TestStep{Config: m.provider(rest, published("a", "web", 8080), published("b", "api", 8081))},
		m.refused(`already published by service "(web|api)"`, rest, published("a", "web", 8080), published("b", "api", 8080)),
		m.refused(`are the port 8080/tcp of the service demo/web`, rest, published("a", "web", 8080), published("b", "api", 8081), published("c", "web", 8080, "target_port = 1")),
		m.refused(`is the SSH port of node n1|is published by service`, cluster(), m.node("n1", "ssh = { host = \"127.0.0.1\", port = 8080 }"), m.node("n2"), m.node("n3"),
			service("web", "n1"), service("api", "n2"), published("a", "web", 8080), published("b", "api", 8081)),
		resource.TestStep{
			Config: m.provider(rest, published("a", "web", 8080), published("b", "api", 8081), block("routingmesh_service", "more", []string{
				`cluster_id = "demo"`, `name = "more"`, `endpoints = { x = { node = "n9" }, y = { node = "n3" } }`, "depends_on = [routingmesh_cluster.main]"})),
			ExpectError: regexp.MustCompile(`names node "n9"`),
		},
		resource.TestStep{ // services swap their ports: both are replaced, none is taken
			Config: m.provider(rest, swapped), PlanOnly: true, ExpectNonEmptyPlan: true,
			ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPreRefresh: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction("routingmesh_published_port.a", replace), plancheck.ExpectResourceAction("routingmesh_published_port.b", replace),
			}},
		},
		resource.TestStep{ // a forced replacement is no duplicate of itself
			Config: m.provider(rest, published("a", "web", 8080, "lifecycle { replace_triggered_by = [terraform_data.x] }"), published("b", "api", 8081), `resource "terraform_data" "x" {}`),
		},
		resource.TestStep{
			Config: m.provider(rest, published("a", "web", 8080, "lifecycle { replace_triggered_by = [terraform_data.x] }"), published("b", "api", 8081),
				`resource "terraform_data" "x" { input = 1 }`),
			ConfigPlanChecks: actions("routingmesh_published_port.a", replace, "routingmesh_published_port.b", noop),
		},
	)
}

// TestNumbers_NotWhole: one error that says what to write, and no word of an
// error in the provider.
func TestNumbers_NotWhole(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	w := m.workspace()
	w.write(m.provider(cluster(), m.node("n1"), service("web", "n1"), published("http", "web", 0, "published_port = 8080.5")))
	out := w.fails("plan")
	says(t, out, "Error: Invalid number", "published_port must be a whole number, not 8080.5.")
	if strings.Contains(out, "report") || strings.Count(out, "Error: ") != 1 {
		t.Errorf("more is said than that:\n%s", out)
	}
}
