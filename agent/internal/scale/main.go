// Command scale measures what the agent itself costs, by the number of published
// ports and of nodes, and prints a line of `make bench` for each figure.
//
// Without -kernel it measures what needs no kernel. With it, it does on the kernel
// of this host what the agent does: it wants root and a host without a mesh, and
// takes everything away again. Each size is measured in a process of its own, so
// that its memory is its own.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
)

// options say what to measure.
type options struct {
	ports, nodes []int
	endpoints    int
	runs         int
	kernel       bool
	idle         time.Duration
	profile      string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if len(o.ports)*len(o.nodes) == 1 {
		return one(ctx, o, func(f figure.Figure) error { return f.Write(out) })
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, nodes := range o.nodes {
		for _, ports := range o.ports {
			// The last one of a flag counts.
			size := []string{"-ports", strconv.Itoa(ports), "-nodes", strconv.Itoa(nodes)}
			cmd := exec.CommandContext(ctx, self, slices.Concat(args, size)...)
			cmd.Stdout, cmd.Stderr = out, os.Stderr
			cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it takes away what it has made
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("%d ports, %d nodes: %w", ports, nodes, err)
			}
		}
	}
	return nil
}

// one measures one size.
func one(ctx context.Context, o options, emit func(figure.Figure) error) error {
	b := bench{
		options: o,
		emit:    emit,
		size:    map[string]string{"ports": strconv.Itoa(o.ports[0]), "nodes": strconv.Itoa(o.nodes[0]), "endpoints": strconv.Itoa(o.endpoints)},
	}
	stop, err := profile(o.profile)
	if err != nil {
		return err
	}
	defer stop()
	if o.kernel {
		b.size["kernel"] = "real"
		return b.real(ctx)
	}
	return b.native()
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	ports := flags.String("ports", "100,1000,5000,20000", "numbers of published ports")
	nodes := flags.String("nodes", "10,100,1000", "numbers of nodes of the cluster")
	flags.IntVar(&o.endpoints, "endpoints", 10, "endpoints of each service, one on a node")
	flags.IntVar(&o.runs, "runs", 5, "how often each is measured; the median counts")
	flags.BoolVar(&o.kernel, "kernel", false, "on the kernel of this host, as root; nothing of a mesh may be on it")
	flags.DurationVar(&o.idle, "idle", time.Minute, "with -kernel: for how long the CPU of an idle agent is measured")
	flags.StringVar(&o.profile, "profile", "", "write a CPU profile of everything to this file")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.ports, err = numbers(*ports); err == nil {
		o.nodes, err = numbers(*nodes)
	}
	if err == nil && (o.runs < 1 || o.endpoints < 1 || flags.NArg() > 0) {
		err = fmt.Errorf("-runs and -endpoints must be at least 1, and nothing follows the flags")
	}
	return o, err
}

// numbers reads "100,1000".
func numbers(list string) (all []int, err error) {
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no number of at least 1", text)
		}
		all = append(all, n)
	}
	return all, nil
}
