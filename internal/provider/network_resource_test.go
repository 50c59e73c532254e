package provider

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

const (
	theNetwork = "routingmesh_network.backend"
	front      = "routingmesh_network.front"
)

func network(name string, more ...string) string {
	return block("routingmesh_network", name, append([]string{"cluster_id = routingmesh_cluster.main.id", fmt.Sprintf("name = %q", name)}, more...))
}

// member is a service with a container on n1, in the networks of these resources.
func member(name string, networks []string, more ...string) string {
	lines := []string{"cluster_id = routingmesh_cluster.main.id", fmt.Sprintf("name = %q", name),
		fmt.Sprintf("endpoints = { c = { node = routingmesh_node.n1.name, container = { name = %q } } }", name)}
	if networks != nil {
		var keys []string
		for _, n := range networks {
			keys = append(keys, "(routingmesh_network."+n+".name) = {}")
		}
		lines = append(lines, "networks = { "+strings.Join(keys, ", ")+" }")
	}
	return block("routingmesh_service", name, append(lines, more...))
}

func inNetworks(names ...string) knownvalue.Check {
	all := map[string]knownvalue.Check{}
	for _, n := range names {
		all[n] = knownvalue.ObjectExact(map[string]knownvalue.Check{"aliases": knownvalue.Null()})
	}
	return knownvalue.MapExact(all)
}

func setOf(texts ...string) knownvalue.Check {
	var all []knownvalue.Check
	for _, text := range texts {
		all = append(all, knownvalue.StringExact(text))
	}
	return knownvalue.SetExact(all)
}

func TestNetworkAttributesAndImport(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	rest := cluster() + m.nodes()
	config := m.provider(rest, network("backend", `hosts = [routingmesh_node.n2.name, routingmesh_node.n1.name]`))
	m.test(
		resource.TestStep{
			Config: config,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectKnownValue(theNetwork, at("id"), knownvalue.StringExact("demo/backend")),
				plancheck.ExpectUnknownValue(theNetwork, at("identity")), plancheck.ExpectUnknownValue(theNetwork, at("resolver")),
			}},
			ConfigStateChecks: []statecheck.StateCheck{
				is(theNetwork, "id", "demo/backend"), is(theNetwork, "cluster_id", "demo"), is(theNetwork, "name", "backend"), is(theNetwork, "hosts", setOf("n1", "n2")),
				is(theNetwork, "identity", 1), is(theNetwork, "resolver", "10.255.255.1"), is(theNetwork, "drift", inSync), is(theNetwork, "timeouts", nil),
			},
		},
		resource.TestStep{Config: config, ConfigPlanChecks: actions(theNetwork, noop)},
		resource.TestStep{ResourceName: theNetwork, ImportState: true, ImportStateId: "demo/backend", ImportStateVerify: true},
		resource.TestStep{Config: config, ResourceName: theNetwork, ImportState: true, ImportStateId: "demo/backend", ImportStateKind: resource.ImportBlockWithID},
		resource.TestStep{ResourceName: theNetwork, ImportState: true, ImportStateId: "backend", ExpectError: regexp.MustCompile(`CLUSTER/NAME`)},
		resource.TestStep{
			Config:            m.provider(rest, network("backend", `hosts = ["*"]`)),
			ConfigPlanChecks:  actions(theNetwork, update),
			ConfigStateChecks: []statecheck.StateCheck{is(theNetwork, "hosts", setOf("*")), is(theNetwork, "identity", 1), is(theNetwork, "resolver", "10.255.255.1")},
		},
		resource.TestStep{ // behind Terraform's back
			PreConfig: func() {
				if _, err := m.client().PutNetwork(t.Context(), "demo", mesh.Network{Name: "backend", Hosts: []string{"n3"}}, false); err != nil {
					t.Fatal(err)
				}
			},
			Config:           m.provider(rest, network("backend", `hosts = []`)),
			ConfigPlanChecks: actions(theNetwork, update), ConfigStateChecks: []statecheck.StateCheck{is(theNetwork, "hosts", setOf())},
		},
		resource.TestStep{
			Config:           m.provider(rest, network("backend", `timeouts = { read = "1m" }`)),
			ConfigPlanChecks: actions(theNetwork, update), ConfigStateChecks: []statecheck.StateCheck{is(theNetwork, "hosts", nil), is(theNetwork, "timeouts.read", "1m")},
		},
		resource.TestStep{ // disappears
			PreConfig: func() {
				if _, err := m.client().RemoveNetwork(t.Context(), "demo", "backend"); err != nil {
					t.Fatal(err)
				}
			},
			Config: m.provider(rest, network("backend")), ConfigPlanChecks: actions(theNetwork, create, node1, noop),
		},
	)
}

// TestNetworks_OneApply: networks and the services that refer to them come, change and go
// together, each in one apply, though Terraform destroys a network before it updates the
// services that were in it.
func TestNetworks_OneApply(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	rest := cluster() + m.nodes()
	renamed := strings.Replace(network("backend"), `"backend"
}`, `"rear"
}`, 1)
	networks := func(want ...string) statecheck.StateCheck {
		return recordCheck{m, func(r *mesh.Record) bool { return strings.Join(r.NetworkNames(), " ") == strings.Join(want, " ") }}
	}
	m.test(
		resource.TestStep{
			Config: m.provider(rest, network("backend"), member("web", []string{"backend"}), member("db", []string{"backend"})),
			ConfigStateChecks: []statecheck.StateCheck{networks("backend"), is(theService, "networks", inNetworks("backend")), is(theService, "endpoint_mode", "vip"),
				is(theService, "vip", knownvalue.StringRegexp(regexp.MustCompile(`^10\.255\.255\.[23]$`)))},
		},
		resource.TestStep{ // a second network, and out of the first, which goes
			Config:            m.provider(rest, network("front"), member("web", []string{"front"}), member("db", []string{"front"})),
			ConfigPlanChecks:  actions(theNetwork, plancheck.ResourceActionDestroy, front, create, theService, update),
			ConfigStateChecks: []statecheck.StateCheck{networks("front"), is(theService, "networks", inNetworks("front"))},
		},
		resource.TestStep{ // one of two stays
			Config:            m.provider(rest, network("front"), network("backend"), member("web", []string{"front", "backend"}), member("db", []string{"backend"})),
			ConfigPlanChecks:  actions(theNetwork, create, front, noop, theService, update),
			ConfigStateChecks: []statecheck.StateCheck{networks("backend", "front")},
		},
		resource.TestStep{ // replaced by a network of another name
			Config:            m.provider(rest, network("front"), renamed, member("web", []string{"front", "backend"}), member("db", []string{"backend"})),
			ConfigPlanChecks:  actions(theNetwork, replace, theService, update),
			ConfigStateChecks: []statecheck.StateCheck{networks("front", "rear"), is(theService, "networks", inNetworks("front", "rear"))},
		},
		resource.TestStep{ // replaced as it is: the services stay in it, and notice nothing
			Config: m.provider(rest, network("front"), strings.Replace(renamed, "}", "lifecycle { replace_triggered_by = [terraform_data.x] }\n}", 1), `resource "terraform_data" "x" { input = 1 }`,
				member("web", []string{"front", "backend"}), member("db", []string{"backend"})),
		},
		resource.TestStep{
			Config: m.provider(rest, network("front"), strings.Replace(renamed, "}", "lifecycle { replace_triggered_by = [terraform_data.x] }\n}", 1), `resource "terraform_data" "x" { input = 2 }`,
				member("web", []string{"front", "backend"}), member("db", []string{"backend"})),
			ConfigPlanChecks:  actions(theNetwork, replace, theService, noop),
			ConfigStateChecks: []statecheck.StateCheck{networks("front", "rear"), is(theService, "networks", inNetworks("front", "rear"))},
		},
		resource.TestStep{ // out of all networks, which go
			Config:            m.provider(rest, member("web", nil), member("db", []string{})),
			ConfigPlanChecks:  actions(theService, update),
			ConfigStateChecks: []statecheck.StateCheck{networks(), is(theService, "networks", nil), is("routingmesh_service.db", "networks", inNetworks()), is(theService, "vip", nil)},
		},
		resource.TestStep{Config: m.provider(rest, network("backend"), member("web", []string{"backend"}))}, // and destroyed by m.test
	)
}

// TestServiceInNetworks: the attributes of a service that are about networks.
func TestServiceInNetworks(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	rest := cluster() + m.nodes() + network("backend") + network("front")
	aliased := `networks = { (routingmesh_network.backend.name) = { aliases = ["web", "site"] }, (routingmesh_network.front.name) = { aliases = [] } }`
	vip := knownvalue.StringExact("10.255.255.2")
	known := resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
		plancheck.ExpectResourceAction(theService, update), plancheck.ExpectKnownValue(theService, at("vip"), vip)}}
	unknown := resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
		plancheck.ExpectResourceAction(theService, update), plancheck.ExpectUnknownValue(theService, at("vip"))}}
	none := resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
		plancheck.ExpectResourceAction(theService, update), plancheck.ExpectKnownValue(theService, at("vip"), knownvalue.Null())}}
	m.test(
		resource.TestStep{
			Config:            m.provider(rest, member("web", []string{"backend"})),
			ConfigPlanChecks:  resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectUnknownValue(theService, at("vip"))}},
			ConfigStateChecks: []statecheck.StateCheck{is(theService, "vip", vip), is(theService, "vip_ports", nil)},
		},
		resource.TestStep{ResourceName: theService, ImportState: true, ImportStateId: "demo/web", ImportStateVerify: true},
		resource.TestStep{ // aliases, one of which says nothing; the VIP stays
			Config: m.provider(rest, member("web", nil, aliased)), ConfigPlanChecks: known,
			ConfigStateChecks: []statecheck.StateCheck{is(theService, "vip", vip), recordCheck{m, func(r *mesh.Record) bool {
				return len(r.Services["web"].Networks) == 2 && strings.Join(r.Services["web"].Networks["backend"].Aliases, " ") == "site"
			}}},
		},
		resource.TestStep{Config: m.provider(rest, member("web", nil, aliased)), ConfigPlanChecks: actions(theService, noop)},
		resource.TestStep{
			Config: m.provider(rest, member("web", []string{"front"}, `vip_ports = { "80/tcp" = 8080, "53/udp" = 53 }`)), ConfigPlanChecks: known,
			ConfigStateChecks: []statecheck.StateCheck{is(theService, "vip_ports", knownvalue.MapExact(map[string]knownvalue.Check{"80/tcp": wanted(8080), "53/udp": wanted(53)}))},
		},
		resource.TestStep{ResourceName: theService, ImportState: true, ImportStateId: "demo/web", ImportStateVerify: true},
		resource.TestStep{
			Config: m.provider(rest, member("web", []string{"front"}, `endpoint_mode = "dnsrr"`)), ConfigPlanChecks: none,
			ConfigStateChecks: []statecheck.StateCheck{is(theService, "vip", nil), is(theService, "endpoint_mode", "dnsrr")},
		},
		resource.TestStep{
			Config: m.provider(rest, member("web", []string{"front"})), ConfigPlanChecks: unknown,
			ConfigStateChecks: []statecheck.StateCheck{is(theService, "vip", "10.255.255.3")},
		},
		resource.TestStep{
			Config: m.provider(rest, member("web", nil, "vip_ports = {}")), ConfigPlanChecks: none,
			ConfigStateChecks: []statecheck.StateCheck{is(theService, "vip", nil), is(theService, "vip_ports", knownvalue.MapExact(nil))},
		},
		resource.TestStep{Config: m.provider(rest, member("web", []string{"front"})), ConfigPlanChecks: unknown},
	)
}

// TestNetworks_Unknown: what another resource makes in the same apply.
func TestNetworks_Unknown(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	made := func(name, value string) string { return block("terraform_data", name, []string{"input = " + value}) }
	m.test(resource.TestStep{
		Config: m.provider(cluster(), m.nodes(), made("network", `"backend"`), made("mode", `"dnsrr"`), made("alias", `"site"`), made("port", "8080"), made("ports", `{ "80/tcp" = 8080 }`), made("host", `"n3"`),
			block("routingmesh_network", "backend", []string{"cluster_id = routingmesh_cluster.main.id", "name = terraform_data.network.output", "hosts = [terraform_data.host.output]", "depends_on = [routingmesh_node.n3]"}),
			member("mode", []string{"backend"}, "endpoint_mode = terraform_data.mode.output"),
			member("alias", nil, "networks = { (routingmesh_network.backend.name) = { aliases = [terraform_data.alias.output] } }"),
			web(`{ a = { node = routingmesh_node.n1.name } }`, `networks = { backend = {} }`, `vip_ports = { "80/tcp" = terraform_data.port.output }`, "depends_on = [routingmesh_network.backend]"),
			strings.ReplaceAll(web(`{ a = { node = routingmesh_node.n1.name } }`, `networks = { (routingmesh_network.backend.name) = {} }`, `vip_ports = terraform_data.ports.output`), `"web"`, `"whole"`)),
		ConfigStateChecks: []statecheck.StateCheck{
			is("routingmesh_service.mode", "vip", nil), is("routingmesh_service.alias", "networks", knownvalue.MapSizeExact(1)),
			is(theService, "vip_ports", knownvalue.MapExact(map[string]knownvalue.Check{"80/tcp": wanted(8080)})), is("routingmesh_service.whole", "vip_ports", knownvalue.MapSizeExact(1)),
		},
	})
}

// TestNetworks_TwoStates: one state has the network, another one a service in it. The network
// is destroyed, the service keeps it, and its own plan says what to do.
func TestNetworks_TwoStates(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	first, second := m.workspace(), m.workspace()
	first.write(m.provider(cluster(), m.nodes(), network("backend")))
	first.apply()
	service := func(networks string) string {
		return m.provider(block("routingmesh_service", "db", []string{`cluster_id = "demo"`, `name = "db"`, `endpoints = { c = { node = "n1", container = { name = "db" } } }`, "networks = " + networks}))
	}
	second.write(service("{ backend = {} }"))
	second.apply()
	second.settled()
	first.write(m.provider(cluster(), m.nodes()))
	says(t, first.apply(), "0 added, 0 changed, 1 destroyed")
	first.settled()
	if r := m.record(); r.HasNetwork("backend") || r.Networks["backend"] == nil || !r.Services["db"].VIP.IsValid() {
		t.Errorf("the record has the networks %v: db must keep the one that it is in", r.NetworkNames())
	}
	says(t, second.fails("plan"), `names network "backend", which the cluster demo does not have`)
	second.write(service("{}"))
	second.apply()
	second.settled()
	if r := m.record(); r.HasNetworks() || r.Addressing != nil {
		t.Error("the last service has left the network, and it is still there")
	}
}

// TestHostDNS goes to the record and back in place; its default is left out of the record.
func TestHostDNS(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	recorded := func(want mesh.HostDNSMode) statecheck.StateCheck {
		return recordCheck{m, func(r *mesh.Record) bool { return r.Cluster.HostDNS == want }}
	}
	m.test(
		resource.TestStep{Config: m.provider(cluster()), ConfigStateChecks: []statecheck.StateCheck{is(theCluster, "host_dns", "hosts"), recorded(mesh.HostDNSHosts)}},
		resource.TestStep{Config: m.provider(cluster(`host_dns = "off"`)), ConfigPlanChecks: actions(theCluster, update),
			ConfigStateChecks: []statecheck.StateCheck{is(theCluster, "host_dns", "off"), recorded(mesh.HostDNSOff)}},
		resource.TestStep{ResourceName: theCluster, ImportState: true, ImportStateId: "demo", ImportStateVerify: true, ImportStateVerifyIgnore: []string{"force_remove", "timeouts"}},
		resource.TestStep{Config: m.provider(cluster()), ConfigPlanChecks: actions(theCluster, update), ConfigStateChecks: []statecheck.StateCheck{recorded(mesh.HostDNSHosts)}},
	)
}
