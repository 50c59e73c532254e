package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/control"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/datapath"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/fleet"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/report"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/swarm"
)

// A part is one kind of measurement.
type part struct {
	name, says string
	lab        labKind // what it needs
	run        func(ctx context.Context, b *bench) error
	optional   bool // is only measured when it is asked for
}

type labKind int

const (
	noLab labKind = iota
	anyLab
	countingLab // best one whose clock counts instructions
)

// What needs no lab comes first, while the machine has nothing else to do.
var parts = []part{
	{"agent", "compile, plan and record of the agent, without a kernel", noLab, agentAlone, false},
	{"control", "plan, apply and destroy of many ports on three nodes, over what Terraform itself takes", noLab, overFloor, false},
	{"fleet", "one Terraform and a hundred nodes", noLab, hundredNodes, false},
	{"kernel", "the agent on a kernel: whole and incremental applies, memory, idle CPU", anyLab, agentOnKernel, false},
	{"datapath", "requests, new connections and bulk through the mesh, against a client that goes to the endpoint itself", countingLab, dataPath, false},
	{"swarm", "Docker Swarm and then the mesh, in the same lab; its nodes need Docker, and are rebooted", anyLab, besideSwarm, true},
}

func overFloor(ctx context.Context, b *bench) error {
	sizes := control.Full
	if b.quick {
		sizes = control.Short
	}
	return sizes.Run(ctx, b.emit)
}

func hundredNodes(ctx context.Context, b *bench) error {
	sizes := fleet.Full
	if b.quick {
		sizes = fleet.Short
	}
	return sizes.Run(ctx, b.emit)
}

// rounds of what is measured in turns.
func (b *bench) rounds() int {
	if b.quick {
		return 1
	}
	return 3
}

func dataPath(ctx context.Context, b *bench) error {
	counts, err := b.lab.Counts()
	if err != nil {
		return err
	}
	if !counts {
		say("the lab's clock is this machine's, so that the shares differ from run to run; that of make lab-up LAB_ICOUNT=1 counts instructions")
		if b.shares != "" {
			return errors.New("-shares compares with what was measured in a lab that counts instructions: make lab-down, then make lab-up LAB_ICOUNT=1")
		}
	}
	if err := datapath.Run(ctx, b.lab, b.quick, b.rounds(), b.emit); err != nil || b.shares == "" {
		return err
	}
	return datapath.Compare(b.shares, b.figures, b.update)
}

func besideSwarm(ctx context.Context, b *bench) error {
	return swarm.Run(ctx, b.lab, b.rounds(), b.emit)
}

// scale is the agent's own program for it: only what is below agent/ may import its packages.
const scale = "agent/internal/scale"

func agentAlone(ctx context.Context, b *bench) error {
	if err := b.binarySizes(); err != nil {
		return err
	}
	program := filepath.Join(b.lab.Dir, "bench", "scale")
	if err := b.lab.BuildFor(ctx, scale, program); err != nil {
		return err
	}
	var args []string
	if b.quick {
		args = []string{"-ports", "100", "-nodes", "10", "-runs", "1"}
	}
	return b.relay(exec.CommandContext(ctx, program, args...))
}

// binarySizes are of the agents as they are built for a release: stripped, not yet compressed.
func (b *bench) binarySizes() error {
	for _, arch := range []string{"amd64", "arm64"} {
		info, err := os.Stat(filepath.Join(b.lab.Root, "bin", "agent", "routingmesh-agent_linux_"+arch))
		if err != nil {
			return err
		}
		size := figure.Plain("agent", "binary size", map[string]string{"arch": arch}, float64(info.Size())/(1<<20), "MiB")
		if err := b.emit(size.Want("<= 12")); err != nil {
			return err
		}
	}
	return nil
}

// agentOnKernel runs it on a node that is none of a mesh yet.
func agentOnKernel(ctx context.Context, b *bench) error {
	program := filepath.Join(b.lab.Dir, "bench", "scale")
	if err := b.lab.BuildFor(ctx, scale, program); err != nil {
		return err
	}
	args := []string{"exec-on", "n1", program, "-kernel"}
	if b.quick {
		args = append(args, "-ports", "100", "-nodes", "10", "-runs", "1", "-idle", "5s")
	}
	return b.relay(exec.CommandContext(ctx, filepath.Join(b.lab.Root, "bin", "lab"), args...))
}

// relay takes the lines of a program for ours.
func (b *bench) relay(program *exec.Cmd) error {
	var out bytes.Buffer
	program.Stdout, program.Stderr = &out, os.Stderr
	failed := program.Run()
	figures, err := report.Read(&out)
	if err != nil && failed == nil {
		return err
	}
	if err := b.emit(figures...); err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("%s: %w", filepath.Base(program.Path), failed)
	}
	return nil
}
