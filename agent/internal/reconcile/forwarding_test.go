package reconcile

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

var forwardChain = state.Chain{Table: "filter", Name: state.ForwardChain, Hooks: "FORWARD"}.Key()

func (f *fakeKernel) dropsBetweenOthers() bool {
	chain, ok := f.has[forwardChain].(state.Chain)
	return ok && strings.HasSuffix(chain.Rules, "! -i rmesh0 ! -o rmesh0 -j DROP")
}

// TestForwarding_ChangesAreNoRepairs: what the host forwards is a condition of the moment,
// which the kernel is brought under while an agent runs and after it starts, also where the
// cluster wants to be told only.
func TestForwarding_ChangesAreNoRepairs(t *testing.T) {
	for _, repair := range []mesh.RepairMode{mesh.RepairAutomatic, mesh.RepairReport} {
		t.Run(string(repair), func(t *testing.T) {
			memory := Memory{Applied: filepath.Join(t.TempDir(), "applied.json")}
			rec := webOf(t, func(rec *mesh.Record, _ *mesh.Service) { rec.Cluster.Repair = repair })
			r, k, h, _, _ := checkedReconciler(Options{Memory: memory})
			k.forwarding = state.Forwarding{OnlyMesh: true, Bridges: "br0 br1"}
			now := func(when string, drops bool) {
				t.Helper()
				_, problems := r.Status(t.Context())
				if k.dropsBetweenOthers() != drops || r.Repairs() != 0 || len(problems) != 0 {
					t.Errorf("%s: drops between others %v, %d repairs, problems %s", when, k.dropsBetweenOthers(), r.Repairs(), texts(problems))
				}
			}
			r.Commit(t.Context(), rec, "n1")
			now("after the join", true)
			k.forwarding = state.Forwarding{}
			r.Repair(t.Context())
			now("after somebody has come", false)
			k.forget()
			r.Repair(t.Context())
			if len(k.ops) != 0 {
				t.Errorf("did %s", k.did())
			}
			for _, next := range []state.Forwarding{{OnlyMesh: true, Bridges: "br0"}, {OnlyMesh: true}, {}} {
				k.forwarding = next
				r, _, _ = newWatched(k, Options{Memory: memory, Health: h})
				if problems := r.Resume(t.Context(), rec, "n1"); len(problems) != 0 {
					t.Errorf("%+v: %s", next, texts(problems))
				}
				now("after a restart", next.OnlyMesh)
			}
		})
	}
}

// TestForwarding_ABrokenChainIsNoCondition: what others do to the chain is drift all the same.
func TestForwarding_ABrokenChainIsNoCondition(t *testing.T) {
	memory := Memory{Applied: filepath.Join(t.TempDir(), "applied.json")}
	rec := webOf(t, func(rec *mesh.Record, _ *mesh.Service) { rec.Cluster.Repair = mesh.RepairReport })
	r, k, h, _, _ := checkedReconciler(Options{Memory: memory})
	r.Commit(t.Context(), rec, "n1")
	broken := k.has[forwardChain].(state.Chain)
	broken.Rules = "-j DROP\n" + broken.Rules
	k.has.Put(broken)
	r, _, _ = newWatched(k, Options{Memory: memory, Health: h})
	if problems := r.Resume(t.Context(), rec, "n1"); len(problems) != 1 || k.has[forwardChain] != state.Object(broken) {
		t.Errorf("problems %s", texts(problems))
	}
}
