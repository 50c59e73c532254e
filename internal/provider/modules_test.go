package provider

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
