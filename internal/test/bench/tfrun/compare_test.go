package tfrun_test

import (
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/tfrun"
)

// The agents without a kernel, sshd's limits, the provider and the floor: all of it, once.
func TestCompare(t *testing.T) {
	b, err := tfrun.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	steps, err := b.Compare(t.Context(), 3, tfrun.Shape{Ports: 3, Keepers: 3}, 1)
	if err != nil {
		t.Fatal(err)
	}
	// What each step asks of three nodes at least, and at most: a plan that commits would be no plan.
	for i, want := range []struct {
		name    string
		commits [2]int
	}{
		{tfrun.Apply, [2]int{9, 30}},
		{tfrun.Plan, [2]int{0, 0}},
		{tfrun.Change, [2]int{3, 3}},
		{tfrun.Destroy, [2]int{3, 30}},
	} {
		step := steps[i]
		if step.Name != want.name || len(step.Mesh) != 1 || len(step.Floor) != 1 {
			t.Fatalf("step %d is %+v", i, step)
		}
		if got := step.Calls.ByPath[mesh.PathCommit]; got < want.commits[0] || got > want.commits[1] {
			t.Errorf("%s: %d commits, want %v", step.Name, got, want.commits)
		}
		if step.Calls.Connections < 3 || step.Calls.Connections > 6 || step.Calls.TurnedAway != 0 {
			t.Errorf("%s: %+v", step.Name, step.Calls)
		}
		for who, u := range map[string]tfrun.Usage{"the provider": step.Mesh[0], "the floor": step.Floor[0]} {
			if u.Wall < 10*time.Millisecond || u.PeakRSS < 10<<20 || u.PeakRSS > 1<<30 {
				t.Errorf("%s, %s: %+v", step.Name, who, u)
			}
		}
	}
}
