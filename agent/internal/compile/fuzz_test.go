package compile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// FuzzCompile: what an agent takes as a record it can compile, for every node.
func FuzzCompile(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("..", "..", "..", "internal", "mesh", "testdata", "record.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := mesh.ParseRecord(data)
		if err != nil || len(r.Nodes) > 8 {
			return
		}
		for name := range r.Nodes {
			s := Compile(r, name, state.KernelVersion{Major: 6, Minor: 1}, Conditions{})
			_ = Checks(r, name)
			for _, op := range state.Plan(state.State{}, s) {
				_ = op.Sentence()
				_ = Owner(r, name, op.Object())
			}
		}
		mesh.Reach(r, nil)
	})
}
