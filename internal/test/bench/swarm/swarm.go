// Package swarm measures Docker Swarm and then our mesh, one after the other in the same lab: the same loads over the same
// ways, each beside a client that goes to the endpoint itself, and the time from a command until every node serves what it
// asked for. Swarm's numbers from elsewhere say nothing here: machines differ, and the lab is emulated where there is no IPVS.
package swarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/datapath"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig"
)

func say(text string) { fmt.Fprintln(os.Stderr, "bench:", text) }

// Run measures on a lab that is up, whose provider is built and whose nodes have Docker. Loads and changes are done rounds
// times. It reboots the nodes between the turns: Docker leaves its rules behind, and our turn is to be without them.
func Run(ctx context.Context, lab *rig.Lab, rounds int, emit figure.Emit) (err error) {
	nodes, err := lab.Nodes()
	if err != nil {
		return err
	}
	has, err := lab.SSH(ctx, datapath.Entry, "command -v docker || true")
	if err != nil {
		return err
	}
	if has == "" {
		return fmt.Errorf("%s has no docker, and so there is no Swarm to measure: start the lab with `make lab-up LAB_PACKAGES=docker.io` (after `make lab-down`)", datapath.Entry)
	}
	if err := putClient(ctx, lab); err != nil {
		return err
	}
	d := &docker{lab: lab, nodes: nodes}
	defer func() { err = errors.Join(err, d.allow(context.WithoutCancel(ctx))) }()
	swarms, err := swarmsTurn(ctx, bench{lab, nodes, rounds, func(text string) { say("Swarm: " + text) }}, d)
	if err != nil {
		return fmt.Errorf("with Docker Swarm: %w", err)
	}
	ours, err := oursTurn(ctx, bench{lab, nodes, rounds, func(text string) { say("routingmesh: " + text) }})
	if err != nil {
		return fmt.Errorf("with routingmesh: %w", err)
	}
	return emit(figures(swarms, ours, rounds)...)
}

// swarmsTurn leaves nothing of Docker on the nodes that does something.
func swarmsTurn(ctx context.Context, b bench, d *docker) (t turn, err error) {
	defer func() { err = errors.Join(err, d.down(context.WithoutCancel(ctx))) }()
	b.say("up")
	if err := datapath.Serve(ctx, b.lab); err != nil {
		return t, err
	}
	if err := d.up(ctx); err != nil {
		return t, err
	}
	return b.measure(ctx, d)
}

func oursTurn(ctx context.Context, b bench) (t turn, err error) {
	if err := datapath.Serve(ctx, b.lab); err != nil {
		return t, err
	}
	defer func() { err = cmp.Or(err, datapath.StopServing(context.WithoutCancel(ctx), b.lab)) }()
	o, err := newOurs(b.lab)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, o.tf.Destroy(context.WithoutCancel(ctx), b.say)) }()
	if err := o.up(ctx); err != nil {
		return t, err
	}
	return b.measure(ctx, o)
}

// residentOf adds up the memory of the main processes of units on the entry node, in MiB.
func residentOf(ctx context.Context, lab *rig.Lab, units string) (float64, error) {
	out, err := lab.SSH(ctx, datapath.Entry, fmt.Sprintf(`set -e
for u in %s; do
  grep VmRSS: "/proc/$(systemctl show -P MainPID "$u")/status"
done | awk '{n += $2} END {print n}'`, units))
	if err != nil {
		return 0, err
	}
	var kib float64
	if _, err := fmt.Sscan(out, &kib); err != nil || kib <= 0 {
		return 0, fmt.Errorf("no memory of %s on %s in %q", units, datapath.Entry, out)
	}
	return kib / 1024, nil
}
