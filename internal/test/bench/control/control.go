// Package control is the part of `make bench` about Terraform: what plan, apply and destroy of many published
// ports take beyond what Terraform itself takes, and what they ask of the nodes.
package control

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/tfrun"
)

const part = "control"

// Sizes are what is measured.
type Sizes struct {
	// Ports are the numbers of published ports, Nodes is how many nodes each has.
	Ports []int
	Nodes int
	// Runs of what can be done again.
	Runs int
}

// Full are the sizes, Short are for a look at whether all works.
var (
	Full  = Sizes{Ports: []int{10, 100, 1000}, Nodes: 3, Runs: 3}
	Short = Sizes{Ports: []int{10}, Nodes: 3, Runs: 1}
)

// goals are seconds above the floor, at 1,000 ports.
var goals = map[string]string{tfrun.Plan: "<= 1", tfrun.Apply: "<= 10", tfrun.Change: "<= 1"}

// Run measures these sizes.
func (s Sizes) Run(ctx context.Context, emit figure.Emit) error {
	b, err := tfrun.Open(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	for _, ports := range s.Ports {
		steps, err := b.Compare(ctx, s.Nodes, tfrun.Shape{Ports: ports, Keepers: min(3, s.Nodes)}, s.Runs)
		if err != nil {
			return err
		}
		if err := emit(figures(steps, s.Nodes, ports)...); err != nil {
			return err
		}
	}
	return nil
}

func figures(steps []tfrun.Step, nodes, ports int) []figure.Figure {
	var all []figure.Figure
	for _, step := range steps {
		where := map[string]string{"nodes": strconv.Itoa(nodes), "ports": strconv.Itoa(ports)}
		wall := figure.Plain(part, step.Name, where, tfrun.Wall(step.Mesh), "s").Over(tfrun.Wall(step.Floor))
		wall.Runs = len(step.Mesh)
		if goal := goals[step.Name]; goal != "" && ports == 1000 {
			wall = wall.Want(goal)
		}
		cpu := figure.Plain(part, step.Name+" cpu", where, tfrun.CPU(step.Mesh), "s").Over(tfrun.CPU(step.Floor))
		cpu.Runs = len(step.Mesh)
		all = append(all, wall, cpu)
		for _, c := range Calls(step.Calls) {
			count := maps.Clone(where)
			count["call"] = c.Name
			all = append(all, figure.Plain(part, step.Name+" calls", count, float64(c.Count), "calls"))
		}
	}
	return all
}

// A Count is how often the nodes of a cluster were asked for something, all of them together.
type Count struct {
	Name  string
	Count int
}

// Calls lists what a step has cost the nodes: the calls of the agent's API, and what SSH did for them.
func Calls(c tfrun.Calls) []Count {
	all := []Count{{"ssh connections", c.Connections}, {"ssh sessions", c.Sessions}, {"commands", c.Commands}, {"turned away by sshd", c.TurnedAway}}
	for _, path := range slices.Sorted(maps.Keys(c.ByPath)) {
		all = append(all, Count{path, c.ByPath[path]})
	}
	return all
}
