package provider

import (
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func web(endpoints string, more ...string) string {
	return block("routingmesh_service", "web", append([]string{"cluster_id = routingmesh_cluster.main.id", `name = "web"`, "endpoints = " + endpoints}, more...))
}

func endpoints(pairs ...any) knownvalue.Check {
	all := map[string]knownvalue.Check{}
	for i := 0; i < len(pairs); i += 3 {
		key, _ := pairs[i].(string)
		all[key] = knownvalue.ObjectExact(map[string]knownvalue.Check{"node": wanted(pairs[i+1]), "port": wanted(pairs[i+2]), "weight": wanted(1), "container": knownvalue.Null()})
	}
	return knownvalue.MapExact(all)
}

func TestServiceAttributesAndImport(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1", "n2", "n3")
	rest := cluster() + m.node("n1") + m.node("n2")
	both := web(`{ a = { node = routingmesh_node.n1.name }, b = { node = routingmesh_node.n2.name, port = 8081 } }`)
	config := m.provider(rest, both)
	m.test(
		resource.TestStep{
			Config: config,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectKnownValue(theService, tfjsonpath.New("id"), knownvalue.StringExact("demo/web")),
			}},
			ConfigStateChecks: []statecheck.StateCheck{
				is(theService, "id", "demo/web"), is(theService, "cluster_id", "demo"), is(theService, "name", "web"), is(theService, "timeouts", nil),
				is(theService, "endpoints", endpoints("a", "n1", nil, "b", "n2", 8081)),
			},
		},
		resource.TestStep{Config: config, ConfigPlanChecks: actions(theService, noop)},
		resource.TestStep{ResourceName: theService, ImportState: true, ImportStateId: "demo/web", ImportStateVerify: true},
		resource.TestStep{Config: config, ResourceName: theService, ImportState: true, ImportStateId: "demo/web", ImportStateKind: resource.ImportBlockWithID},
		resource.TestStep{ResourceName: theService, ImportState: true, ImportStateId: "demo/web/8080/tcp", ExpectError: regexp.MustCompile(`CLUSTER/NAME`)},
		resource.TestStep{
			Config:            m.provider(rest, web(`{ a = { node = routingmesh_node.n2.name, port = 9000 } }`)),
			ConfigPlanChecks:  actions(theService, update, node1, noop),
			ConfigStateChecks: []statecheck.StateCheck{is(theService, "endpoints", endpoints("a", "n2", 9000))},
		},
		resource.TestStep{ // behind Terraform's back
			PreConfig: func() {
				s := mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"z": {Node: "n1"}}}
				if _, err := m.client().PutService(t.Context(), "demo", s, false); err != nil {
					t.Fatal(err)
				}
			},
			Config:           m.provider(rest, web(`{ a = { node = routingmesh_node.n2.name } }`)),
			ConfigPlanChecks: actions(theService, update), ConfigStateChecks: []statecheck.StateCheck{is(theService, "endpoints", endpoints("a", "n2", nil))},
		},
		resource.TestStep{
			Config:           m.provider(rest, web("{}", `timeouts = { read = "1m" }`)),
			ConfigPlanChecks: actions(theService, update), ConfigStateChecks: []statecheck.StateCheck{is(theService, "endpoints", endpoints()), is(theService, "timeouts.read", "1m")},
		},
		resource.TestStep{ // disappears
			PreConfig: func() {
				if _, err := m.client().RemoveService(t.Context(), "demo", "web"); err != nil {
					t.Fatal(err)
				}
			},
			Config: m.provider(rest, web("{}")), ConfigPlanChecks: actions(theService, create, node1, noop),
		},
		resource.TestStep{ // replaced with its ports
			Config: m.provider(rest, web("{}"), published("http", "web", 8080)),
		},
		resource.TestStep{
			Config: m.provider(rest, strings.Replace(web("{}"), `"web"
`, `"site"
`, 1), published("http", "web", 8080)),
			ConfigPlanChecks:  actions(theService, replace, thePort, replace),
			ConfigStateChecks: []statecheck.StateCheck{is(theService, "id", "demo/site"), is(thePort, "id", "demo/site/8080/tcp")},
		},
	)
}

// TestUnknownInputs: what another resource makes in the same apply.
func TestUnknownInputs(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1", "n2", "n3")
	made := func(name, value string) string {
		return block("terraform_data", name, []string{"input = " + value})
	}
	all := strings.Join([]string{
		made("cluster", `"demo"`), made("node", `"n1"`), made("address", `"192.0.2.12"`), made("port", "8080"), made("target", "80"),
		strings.Replace(cluster(), `"demo"`, "terraform_data.cluster.output", 1),
		strings.Replace(m.node("n1"), `name = "n1"`, "name = terraform_data.node.output", 1),
		m.node("n2", "address = terraform_data.address.output"),
		web(`{ a = { node = terraform_data.node.output, port = terraform_data.target.output }, b = { node = routingmesh_node.n1.name } }`, "depends_on = [routingmesh_node.n1]"),
		published("http", "web", 0, "published_port = terraform_data.port.output", "target_port = terraform_data.target.output"),
		published("any", "web", 0),
	}, "\n")
	config := strings.Replace(m.provider(all), `hosts = ["`+m.Node("n1").Addr()+`"`, `hosts = [terraform_data.host.output`, 1) +
		made("host", `"`+m.Node("n1").Addr()+`"`)
	m.test(
		resource.TestStep{
			Config: config,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectUnknownValue(theCluster, tfjsonpath.New("id")), plancheck.ExpectUnknownValue(thePort, tfjsonpath.New("id")),
			}},
			ConfigStateChecks: []statecheck.StateCheck{
				is(theCluster, "id", "demo"), is(node1, "id", "demo/n1"), is(node2, "address", "192.0.2.12"),
				is(theService, "endpoints", endpoints("a", "n1", 80, "b", "n1", nil)), is(thePort, "id", "demo/web/8080/tcp"),
				is("routingmesh_published_port.any", "published_port", 30000),
			},
		},
		resource.TestStep{ // the host's address is made anew: nothing is read, and nothing is lost
			PreConfig: m.ResetRequests,
			Config: strings.Replace(config, `resource "terraform_data" "host" {`, `resource "terraform_data" "host" {
  triggers_replace = "again"`, 1),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(theCluster, noop), plancheck.ExpectResourceAction(thePort, noop),
				noDialling{m},
			}},
		},
	)
}
