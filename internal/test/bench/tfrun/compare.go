package tfrun

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// A Step is one thing that people do, done some times with the provider and with the floor.
type Step struct {
	Name        string
	Mesh, Floor []Usage
	// Calls is what the last run with the provider cost the hosts.
	Calls Calls
}

// The steps, in the order in which Compare does them.
const (
	Apply   = "apply" // of everything, on bare hosts
	Plan    = "plan"  // with nothing to do
	Change  = "change"
	Destroy = "destroy"
)

// Compare takes a cluster from nothing to nothing again, with the provider and with the floor in turns. What
// can be done again is done runs times.
func (b *Bench) Compare(ctx context.Context, nodes int, shape Shape, runs int) (steps []Step, err error) {
	hosts, err := b.Hosts(ctx, nodes)
	if err != nil {
		return nil, err
	}
	defer func() { err = cmp.Or(err, hosts.Close()) }()
	p := &pair{hosts: hosts}
	if p.mesh, err = b.Workspace(Mesh, hosts, shape); err != nil {
		return nil, err
	}
	if p.floor, err = b.Workspace(Floor, hosts, shape); err != nil {
		return nil, err
	}
	target := 80
	for _, name := range []string{Apply, Plan, Change, Destroy} {
		step, times := Step{Name: name}, runs
		if name == Apply || name == Destroy {
			times = 1
		}
		for i := range times {
			if name == Change {
				target++
			}
			args := append(slices.Clone(arguments[name]), fmt.Sprintf("-var=target=%d", target))
			if err := p.run(ctx, &step, i%2 == 1, args); err != nil {
				return nil, err
			}
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// pair is a configuration as two states have it.
type pair struct {
	hosts       *Hosts
	mesh, floor *Workspace
}

// run adds one run of each to the step.
func (p *pair) run(ctx context.Context, step *Step, meshFirst bool, args []string) error {
	floor := func() error {
		u, err := p.floor.Run(ctx, args...)
		step.Floor = append(step.Floor, u)
		if err != nil {
			return fmt.Errorf("the floor: %w", err)
		}
		return nil
	}
	mesh := func() error {
		if _, err := p.hosts.Calls(); err != nil { // begin to count
			return err
		}
		u, err := p.mesh.Run(ctx, args...)
		step.Mesh = append(step.Mesh, u)
		if err != nil {
			return err
		}
		step.Calls, err = p.hosts.Calls()
		return err
	}
	order := []func() error{floor, mesh}
	if meshFirst {
		slices.Reverse(order)
	}
	for _, next := range order {
		if err := next(); err != nil {
			return err
		}
	}
	return nil
}

// arguments of Terraform, which fails a plan that is not empty.
var arguments = map[string][]string{
	Apply:   {"apply", "-auto-approve"},
	Plan:    {"plan", "-detailed-exitcode"},
	Change:  {"apply", "-auto-approve"},
	Destroy: {"destroy", "-auto-approve"},
}

// Wall is the median time of the runs, in seconds.
func Wall(runs []Usage) float64 {
	return median(runs, func(u Usage) time.Duration { return u.Wall }).Seconds()
}

// CPU is the median CPU time of the provider, in seconds.
func CPU(runs []Usage) float64 {
	return median(runs, func(u Usage) time.Duration { return u.CPU }).Seconds()
}

// PeakRSS is the median of the provider's highest RSS, in MiB.
func PeakRSS(runs []Usage) float64 {
	return float64(median(runs, func(u Usage) int64 { return u.PeakRSS })) / (1 << 20)
}

func median[T cmp.Ordered](runs []Usage, of func(Usage) T) T {
	values := make([]T, 0, len(runs))
	for _, u := range runs {
		values = append(values, of(u))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
