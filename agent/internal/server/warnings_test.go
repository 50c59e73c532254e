package server

import (
	"slices"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// TestWarnings_StatusAndCommit: both tell what all sources warn of, sorted and once,
// a commit as it is after its apply.
func TestWarnings_StatusAndCommit(t *testing.T) {
	a := newAgent(t, t.TempDir())
	path := mesh.Warning{Code: mesh.WarnPath, Object: mesh.NodeRef("n1"), Text: "Lost."}
	drop := mesh.Warning{Code: mesh.WarnFirewall, Object: mesh.NodeRef("n1"), Text: "Dropped."}
	a.Options.Warnings = []func() []mesh.Warning{
		func() []mesh.Warning {
			if len(a.reconciler.commits) == 0 {
				return nil
			}
			return []mesh.Warning{path, drop}
		},
		func() []mesh.Warning { return []mesh.Warning{drop} },
	}
	if got := a.statusOf(t, "").Warnings; !slices.Equal(got, []mesh.Warning{drop}) {
		t.Errorf("before: %v", got)
	}
	rec := cluster(t, "uid", "n1")
	if code, text := a.prepare(t, "me", "n1", rec); code != "" {
		t.Fatal(text)
	}
	var resp mesh.CommitResponse
	a.call(t, "POST", mesh.PathCommit, mesh.CommitRequest{Holder: "me", Generation: rec.Generation, Hash: rec.Hash()}, &resp)
	if want := []mesh.Warning{drop, path}; !slices.Equal(resp.Warnings, want) || !slices.Equal(a.statusOf(t, "").Warnings, want) {
		t.Errorf("the commit tells %v", resp.Warnings)
	}
}
