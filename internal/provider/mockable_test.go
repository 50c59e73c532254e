package provider

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
)

// mocked takes every computed value of the provider that one would pass on, and
// passes it on.
const mocked = `
variable "wrong_id" {
  default = null
}
provider "routingmesh" {}
data "routingmesh_cluster" "other" {}
resource "routingmesh_cluster" "main" { name = "demo" }
resource "routingmesh_node" "n1" {
  cluster_id = routingmesh_cluster.main.id
  name       = "n1"
  address    = "192.0.2.11"
}
resource "routingmesh_node" "n2" {
  cluster_id = data.routingmesh_cluster.other.id
  name       = "n2"
  address    = routingmesh_node.n1.host_address
  ssh        = { host = routingmesh_node.n1.host_address, port = routingmesh_published_port.any.published_port, host_key = routingmesh_node.n1.host_key }
}
resource "routingmesh_service" "web" {
  cluster_id   = routingmesh_cluster.main.id
  name         = "web"
  endpoints    = { n1 = { node = routingmesh_node.n1.name } }
  health_check = { port = routingmesh_cluster.main.vxlan_port }
}
resource "routingmesh_service" "api" {
  cluster_id = routingmesh_cluster.main.id
  name       = "api"
  endpoints  = { n1 = { node = routingmesh_node.n1.name, port = routingmesh_published_port.any.published_port } }
}
resource "routingmesh_network" "backend" {
  cluster_id = routingmesh_cluster.main.id
  name       = "backend"
  hosts      = [routingmesh_node.n1.name]
}
resource "routingmesh_service" "db" {
  cluster_id = data.routingmesh_cluster.other.id
  name       = "db"
  endpoints  = { c = { node = routingmesh_node.n1.name, container = { name = routingmesh_network.backend.resolver } } }
  networks   = { (routingmesh_network.backend.name) = { aliases = ["database"] } }
  vip_ports  = { "5432/tcp" = routingmesh_published_port.any.published_port, "1/udp" = routingmesh_network.backend.identity }
}
resource "routingmesh_published_port" "any" {
  service_id       = coalesce(var.wrong_id, routingmesh_service.web.id)
  target_port      = 80
  allowed_cidrs    = ["${routingmesh_node.n1.mesh_address}/32", routingmesh_node.n1.overlay_block]
  listen_addresses = [routingmesh_node.n1.host_address]
}
resource "routingmesh_published_port" "udp" {
  service_id     = routingmesh_service.web.id
  published_port = routingmesh_published_port.any.published_port
  target_port    = routingmesh_published_port.any.published_port
  protocol       = "udp"
}
`

const mockedTest = `
mock_provider "routingmesh" {}
run "mocks" {
  assert {
    condition     = length(routingmesh_service.web.id) > 0 && !strcontains(routingmesh_service.web.id, "/")
    error_message = "The mock has made a real id of ${routingmesh_service.web.id}: this test shows nothing."
  }
}
run "literal_that_no_mock_makes" {
  command = plan
  variables { wrong_id = "demo/web/8080" }
}
`

// TestMockProvider: what mock_provider makes of computed values passes as input of
// other resources, and a literal that can only be a mistake does not.
func TestMockProvider(t *testing.T) {
	t.Parallel()
	needs(t, "1.7", "1.8")
	w := newMesh(t, "n1").workspace()
	w.write(mocked)
	if err := os.WriteFile(filepath.Join(w.dir, "mock.tftest.hcl"), []byte(mockedTest), 0o600); err != nil {
		t.Fatal(err)
	}
	out := w.fails("test")
	says(t, out, `run "mocks"... pass`, `run "literal_that_no_mock_makes"... fail`, `"demo/web/8080" is not a valid service id. Pass routingmesh_service.….id`, "1 passed, 1 failed")
}

// TestMockProvider_Example: the test that the documentation shows passes.
func TestMockProvider_Example(t *testing.T) {
	t.Parallel()
	needs(t, functionsIn, "1.8")
	w := newMesh(t, "n1").workspace()
	w.write(cluster() + service("web") + published("http", "web", 0) + `output "port" { value = provider::routingmesh::parse_id(routingmesh_published_port.http.id).port }`)
	example, err := os.ReadFile(filepath.Join("..", "..", "examples", "guides", "testing", "mesh.tftest.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "mesh.tftest.hcl"), example, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := w.run("test"); code != 0 || !strings.Contains(out, "1 passed") {
		t.Error(out)
	}
}

// TestMockable_WordsFailInThePlan: what a mock could have made is refused for real
// users by the plan, or by the apply where it is known no sooner.
func TestMockable_WordsFailInThePlan(t *testing.T) {
	t.Parallel()
	m := newMesh(t, "n1")
	mesh := cluster() + m.node("n1") + service("web", "n1")
	port := func(id string, more ...string) string {
		return block("routingmesh_published_port", "a", append([]string{"service_id = " + id, "target_port = 80", "published_port = 8080"}, more...))
	}
	m.test(
		m.refused(`"Demo" is not a valid cluster id`, cluster(), block("routingmesh_service", "web", []string{`cluster_id = "Demo"`, `name = "web"`, "endpoints = {}"})),
		m.refused(`"web" is not a valid service id`, mesh, port(`"web"`)),
		m.refused(`Invalid node address.*want the underlay address itself`, cluster(), m.node("n1", `address = "n1"`)),
		m.refused(`Invalid host key.*as in\s+authorized_keys`, cluster(), m.node("n1", `ssh = { host_key = "AAAA" }`)),
		m.refused(`Invalid network.*"office"`, mesh, port("routingmesh_service.web.id", `allowed_cidrs = ["office"]`)),
		m.refused(`Invalid address.*"lan"`, mesh, port("routingmesh_service.web.id", `listen_addresses = ["lan"]`)),
		m.refused(`published_port must be 1–65535, not 0`, mesh, published("a", "web", 0, "published_port = 0")),
		resource.TestStep{
			Config:      m.provider(mesh, port("terraform_data.id.output"), fmt.Sprintf("resource \"terraform_data\" \"id\" { input = %q }", "web")),
			ExpectError: regexp.MustCompile(`(?s)"web" is not a valid service id`),
		},
	)
}
