package provider

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExamplesAreValid: what the documentation shows is what the schemas take.
func TestExamplesAreValid(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..", "examples")
	for name, patterns := range map[string][]string{
		"the guide on serving, and functions": {"guides/serving/*.tf", "functions/*/function.tf", "data-sources/routingmesh_nodes/*.tf"},
		"a cluster":                           {"resources/routingmesh_cluster/resource.tf"},
		"the others": {"resources/routingmesh_node/resource.tf", "resources/routingmesh_service/resource.tf", "resources/routingmesh_published_port/resource.tf",
			"data-sources/routingmesh_cluster/*.tf"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.HasSuffix(name, "functions") {
				needs(t, functionsIn, functionsInTofu)
			}
			var parts []string
			for _, pattern := range patterns {
				files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
				if err != nil || len(files) == 0 {
					t.Fatalf("%s: no files (%v)", pattern, err)
				}
				for _, file := range files {
					text, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					parts = append(parts, string(text))
				}
			}
			w := newMesh(t, "n1").workspace()
			w.write(strings.Join(parts, "\n"))
			if out, code := w.run("validate"); code != 0 {
				t.Error(out)
			}
		})
	}
}
