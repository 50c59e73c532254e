package fleet

import (
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/tfrun"
)

func TestMemoryHasAGoal(t *testing.T) {
	steps := []tfrun.Step{{Name: tfrun.Change,
		Mesh: []tfrun.Usage{{Wall: 5 * time.Second, PeakRSS: 201 << 20}}, Floor: []tfrun.Usage{{Wall: time.Second}}}}
	all := Sizes{Nodes: 100, Ports: 10}.figures(steps)
	wall, memory := all[0], all[1]
	if wall.Compared != 4 || wall.Met == nil || *wall.Met || memory.Value != 201 || memory.Met == nil || *memory.Met {
		t.Errorf("%+v, %+v", wall, memory)
	}
	if short := (Sizes{Nodes: 12}).figures(steps)[1]; short.Goal != "" {
		t.Errorf("the goal is one of 100 nodes: %+v", short)
	}
}
