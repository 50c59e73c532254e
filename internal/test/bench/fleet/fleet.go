// Package fleet is the part of `make bench` about one Terraform and many nodes: time, memory and connections of
// the provider with a hundred agents, each behind an SSH server of its own.
package fleet

import (
	"context"
	"maps"
	"strconv"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/control"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/tfrun"
)

const part = "fleet"

// Sizes are what is measured.
type Sizes struct {
	Nodes, Ports int
	// Runs of what can be done again.
	Runs int
}

// Full are the sizes, Short are for a look at whether all works.
var (
	Full  = Sizes{Nodes: 100, Ports: 100, Runs: 3}
	Short = Sizes{Nodes: 12, Ports: 10, Runs: 1}
)

// goals are seconds above the floor, with 100 nodes.
var goals = map[string]string{tfrun.Plan: "<= 2", tfrun.Change: "<= 3"}

// memoryGoal is in MiB, of the provider's process, at whatever it does.
const memoryGoal = "<= 200"

// Run measures these sizes.
func (s Sizes) Run(ctx context.Context, emit figure.Emit) error {
	b, err := tfrun.Open(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	steps, err := b.Compare(ctx, s.Nodes, tfrun.Shape{Ports: s.Ports, Keepers: min(3, s.Nodes)}, s.Runs)
	if err != nil {
		return err
	}
	return emit(s.figures(steps)...)
}

func (s Sizes) figures(steps []tfrun.Step) []figure.Figure {
	var all []figure.Figure
	for _, step := range steps {
		where := map[string]string{"nodes": strconv.Itoa(s.Nodes), "ports": strconv.Itoa(s.Ports)}
		wall := figure.Plain(part, step.Name, where, tfrun.Wall(step.Mesh), "s").Over(tfrun.Wall(step.Floor))
		memory := figure.Plain(part, step.Name+" rss", where, tfrun.PeakRSS(step.Mesh), "MiB")
		wall.Runs, memory.Runs = len(step.Mesh), len(step.Mesh)
		if s.Nodes == 100 {
			memory = memory.Want(memoryGoal)
			if goal := goals[step.Name]; goal != "" {
				wall = wall.Want(goal)
			}
		}
		all = append(all, wall, memory)
		for _, c := range control.Calls(step.Calls) {
			count := maps.Clone(where)
			count["call"] = c.Name
			all = append(all, figure.Plain(part, step.Name+" calls", count, float64(c.Count), "calls"))
		}
	}
	return all
}
