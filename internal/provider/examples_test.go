package provider

import (
	"os"
	"path/filepath"
	"regexp"
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
		"the guide on networks":               {"guides/serving/mesh.tf", "guides/networks/*.tf"},
		"the others": {"resources/routingmesh_node/resource.tf", "resources/routingmesh_service/resource.tf", "resources/routingmesh_published_port/resource.tf",
			"resources/routingmesh_network/resource.tf",
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

// TestExamples_Compose: the example with Docker Compose is valid, and looks for the containers
// that its Compose files start.
func TestExamples_Compose(t *testing.T) {
	t.Parallel()
	folder := filepath.Join("..", "..", "examples", "guides", "compose")
	w := newMesh(t, "n1").workspace()
	example := *w
	example.dir = filepath.Join(w.dir, "compose")
	if err := os.CopyFS(example.dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	example.initialized()
	if out, code := example.run("validate"); code != 0 {
		t.Error(out)
	}
	config, err := os.ReadFile(filepath.Join(folder, "main.tf"))
	if err != nil {
		t.Fatal(err)
	}
	started := map[string]bool{}
	files, _ := filepath.Glob(filepath.Join(folder, "*.compose.yaml"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		project := regexp.MustCompile(`(?m)^name: (\S+)$`).FindSubmatch(text)
		service := regexp.MustCompile(`(?m)^services:\n  (\S+):$`).FindSubmatch(text)
		if project == nil || service == nil || !strings.Contains(string(text), `dns: ["${RESOLVER}"]`) {
			t.Fatalf("%s lacks its name, a service or dns", file)
		}
		started[string(project[1])+" "+string(service[1])] = true
	}
	wanted := regexp.MustCompile(`"com.docker.compose.project" = "(.*)", "com.docker.compose.service" = "(.*)" }`).FindAllSubmatch(config, -1)
	for _, labels := range wanted {
		if !started[string(labels[1])+" "+string(labels[2])] {
			t.Errorf("no Compose file starts the service %s of %s; they start %v", labels[2], labels[1], started)
		}
	}
	if len(wanted) != len(started) || !strings.Contains(string(config), `"RESOLVER=${`) {
		t.Errorf("%d services for %v", len(wanted), started)
	}
}
