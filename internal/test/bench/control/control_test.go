package control

import (
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/tfrun"
)

// steps took 2 s in the median with the provider and 1.5 s with the floor.
func steps() []tfrun.Step {
	seconds := func(all ...float64) (runs []tfrun.Usage) {
		for _, s := range all {
			runs = append(runs, tfrun.Usage{Wall: time.Duration(s * float64(time.Second)), CPU: time.Second})
		}
		return runs
	}
	return []tfrun.Step{{Name: tfrun.Plan, Mesh: seconds(9, 2, 1), Floor: seconds(1.5),
		Calls: tfrun.Calls{ByPath: map[string]int{"/v1/status": 3}, Connections: 4}}}
}

func TestFiguresAreOverTheFloor(t *testing.T) {
	for ports, goal := range map[int]string{1000: "<= 1", 100: ""} {
		byName := map[string]figure.Figure{}
		for _, f := range figures(steps(), 3, ports) {
			byName[f.Name+f.Case["call"]] = f
		}
		plan := byName["plan"]
		if plan.Value != 2 || plan.Compared != 0.5 || plan.Goal != goal || plan.Runs != 3 || plan.Case["nodes"] != "3" {
			t.Errorf("%d ports: %+v", ports, plan)
		}
		if byName["plan calls/v1/status"].Value != 3 || byName["plan callsssh connections"].Value != 4 {
			t.Errorf("%d ports: %+v", ports, byName)
		}
	}
}
