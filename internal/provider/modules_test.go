package provider

import (
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
