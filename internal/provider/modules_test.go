package provider

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

// TestModules runs the tests of each module, which mock the provider, and validates
// the example that uses the modules.
func TestModules(t *testing.T) {
	t.Parallel()
	needs(t, functionsIn, "1.8") // of the module haproxy; and mock_provider
	w := newMesh(t, "n1").workspace()
	for _, folder := range []string{"modules", filepath.Join("examples", "modules")} {
		if err := os.CopyFS(filepath.Join(w.dir, folder), os.DirFS(filepath.Join("..", "..", folder))); err != nil {
			t.Fatal(err)
		}
	}
	modules, err := filepath.Glob(filepath.Join(w.dir, "modules", "*"))
	if err != nil || len(modules) < 2 {
		t.Fatalf("there are the modules %v (%v)", modules, err)
	}
	for _, module := range modules {
		in := *w
		in.dir = module
		in.initialized()
		if out, code := in.run("test"); code != 0 || strings.Contains(out, "Success! 0 passed") {
			t.Errorf("the tests of %s failed (exit %d):\n%s", module, code, out)
		}
	}
	example := *w
	example.dir = filepath.Join(w.dir, "examples", "modules")
	example.initialized()
	if out, code := example.run("validate"); code != 0 {
		t.Error(out)
	}
}

// TestModules_MeshOnHosts applies the module mesh for real: a second plan is empty, and
// the record has what the variables say.
func TestModules_MeshOnHosts(t *testing.T) {
	t.Parallel()
	needs(t, functionsIn, "1.8") // of the module haproxy
	m := newMesh(t)
	w := m.workspace()
	if err := os.CopyFS(filepath.Join(w.dir, "modules"), os.DirFS(filepath.Join("..", "..", "modules"))); err != nil {
		t.Fatal(err)
	}
	var nodes []string
	for _, n := range m.All() {
		nodes = append(nodes, fmt.Sprintf(`%s = { address = %q, ssh = { host = "127.0.0.1", port = %d } }`, n.Name, n.Address, n.Port()))
	}
	w.write(m.provider(fmt.Sprintf(`
module "mesh" {
  source  = "./modules/mesh"
  cluster = { name = "demo", health_address = ":10256" }
  nodes   = { %s }
  services = {
    web = {
      nodes        = ["n1", "n2"]
      health_check = { type = "http" }
      ports        = { http = { target_port = 80 }, private = { published_port = 8080, target_port = 80, nodes = ["n3"], allowed_cidrs = ["10.0.0.0/8"] } }
    }
    dns = {
      endpoints        = { a = { node = "n3", port = 5353, weight = 2 } }
      session_affinity = { timeout = "30m" }
      ports            = { dns = { published_port = 53, target_port = 53, protocol = "udp" } }
      networks         = { back = { aliases = ["names"] } }
      vip_ports        = { "53/udp" = 5353 }
    }
  }
  networks = { back = { hosts = ["n1"] } }
}
module "haproxy" {
  source         = "./modules/haproxy"
  nodes          = module.mesh.node_addresses
  health_address = module.mesh.health_address
  frontends      = { web = { service = "web", port = module.mesh.published_ports["web/http"].port } }
}
output "it" { value = { ports = module.mesh.published_ports, config = module.haproxy.config, resolver = module.mesh.resolver, vips = module.mesh.service_vips } }
`, strings.Join(nodes, ", "))))
	w.initialized()
	w.apply()
	w.settled()
	it := w.output()
	same(t, "the published ports", it["ports"], values{
		"web/http":    values{"id": "demo/web/30000/tcp", "service": "web", "port": 30000, "protocol": "tcp"},
		"web/private": values{"id": "demo/web/8080/tcp", "service": "web", "port": 8080, "protocol": "tcp"},
		"dns/dns":     values{"id": "demo/dns/53/udp", "service": "dns", "port": 53, "protocol": "udp"},
	})
	says(t, it["config"].(string), "backend web_30000", "/healthz/web", fmt.Sprintf("server n3 %s:30000", m.Node("n3").Address))
	same(t, "the resolver", it["resolver"], "10.255.255.1")
	same(t, "the VIPs", it["vips"], values{"web": nil, "dns": "10.255.255.2"})
	r := m.record()
	if e := r.Services["dns"].Endpoints["a"]; e.Node != "n3" || e.Port != 5353 || e.Share() != 2 || len(r.Services["web"].Endpoints) != 2 || len(r.Ports) != 3 {
		t.Errorf("the record has the services %+v and the ports %v", r.Services, r.Ports)
	}
}

// TestModules_MeshPassesEveryAttribute: what a resource takes, the module mesh takes
// and passes on.
func TestModules_MeshPassesEveryAttribute(t *testing.T) {
	t.Parallel()
	schemas, err := providerserver.NewProtocol6(New("test")())().GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	resources := resourcesOf(t, filepath.Join("..", "..", "modules", "mesh", "main.tf"))
	variables, err := os.ReadFile(filepath.Join("..", "..", "modules", "mesh", "variables.tf"))
	if err != nil {
		t.Fatal(err)
	}
	for kind, schema := range schemas.ResourceSchemas {
		for _, a := range schema.Block.Attributes {
			if !a.Required && !a.Optional {
				continue
			}
			if _, passed := resources[kind].Attributes[a.Name]; !passed {
				t.Errorf("the module mesh does not pass on %s of %s", a.Name, kind)
			}
			for _, nested := range nestedIn(a) {
				if !regexp.MustCompile(`\b` + nested + `\s*=`).Match(variables) {
					t.Errorf("the variables of the module mesh lack %s.%s of %s", a.Name, nested, kind)
				}
			}
		}
	}
}

func nestedIn(a *tfprotov6.SchemaAttribute) (names []string) {
	if a.NestedType != nil {
		for _, n := range a.NestedType.Attributes {
			names = append(names, n.Name)
		}
	}
	return names
}

// resourcesOf has the blocks of a file's resources by type.
func resourcesOf(t *testing.T, file string) map[string]*hclsyntax.Body {
	t.Helper()
	parsed, diags := hclparse.NewParser().ParseHCLFile(file)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	resources := map[string]*hclsyntax.Body{}
	for _, block := range parsed.Body.(*hclsyntax.Body).Blocks {
		if block.Type == "resource" {
			resources[block.Labels[0]] = block.Body
		}
	}
	return resources
}
