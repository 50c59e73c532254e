// Command bench measures what the mesh costs: its data path against a client that goes to the endpoint itself, Terraform
// with the provider against Terraform with one that does nothing, the agent by itself and on a kernel, and, when asked
// for, the mesh against Docker Swarm. Only what is compared within one run says something: machines differ, and the lab is
// software emulation where there is no IPVS.
// JSON lines on stdout (see package figure), what happens and a table on stderr.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/report"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	parts []part
	quick bool
	docs  string

	shares string // a file
	update bool
}

func parse(args []string) (o options, err error) {
	var names, all, extra []string
	for _, p := range parts {
		names = append(names, p.name)
		if p.optional {
			extra = append(extra, p.name)
		} else {
			all = append(all, p.name)
		}
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("parts", strings.Join(all, ","), "what to measure; only when it is named: "+strings.Join(extra, ",")+" (in a lab of make lab-up LAB_PACKAGES=docker.io)")
	flags.BoolVar(&o.quick, "quick", false, "the smallest sizes, once: to see whether all works")
	flags.StringVar(&o.shares, "shares", "", "a file with shares of the data path: an error where one has fallen by more than 3 points")
	flags.BoolVar(&o.update, "update", false, "write -shares instead")
	flags.StringVar(&o.docs, "docs", "", "measure nothing: write the figures on stdin into this folder's performance.md (the summary) and performance-full.md (all of them)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	for name := range strings.SplitSeq(*only, ",") {
		i := slices.Index(names, name)
		if i < 0 {
			return o, fmt.Errorf("there is no part %q; there are %s", name, strings.Join(names, ", "))
		}
		o.parts = append(o.parts, parts[i])
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.docs != "" {
		figures, err := report.Read(os.Stdin)
		if err != nil {
			return err
		}
		return report.Write(o.docs, figures)
	}
	lab, err := rig.Open(io.Discard)
	if err != nil {
		return err
	}
	dir := filepath.Join(lab.Dir, "bench")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "bench.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	lab.Log = log
	b := bench{options: o, lab: lab}
	if warning := busy("/proc/loadavg", runtime.NumCPU()); warning != "" && b.timed() {
		say(warning)
	}
	err = b.run(ctx)
	fmt.Fprintf(os.Stderr, "\n%s", report.Table(b.figures))
	if err != nil {
		return fmt.Errorf("%w\nEverything that ran in the lab, with its output: %s", err, log.Name())
	}
	return nil
}

func say(text string) { fmt.Fprintln(os.Stderr, "bench:", text) }

// busy warns of a machine that does other things, by its /proc/loadavg; "" for one that does not. What is measured on a
// busy one, ratios too, says little.
func busy(loadavg string, cpus int) string {
	b, err := os.ReadFile(loadavg)
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	var load float64
	if _, scanned := fmt.Sscan(string(b), &load); err != nil || scanned != nil {
		return fmt.Sprintf("%s does not say whether this machine is busy with other things", loadavg)
	}
	if load <= float64(cpus)/2 {
		return ""
	}
	return fmt.Sprintf("this machine is busy with other things (load %.1f on %d cores): the numbers will say little", load, cpus)
}

type bench struct {
	options
	lab     *rig.Lab
	up      bool // the lab, by us
	figures []figure.Figure
}

func (b *bench) run(ctx context.Context) (err error) {
	if err := b.lab.Build(ctx, say); err != nil {
		return err
	}
	defer func() {
		if b.up {
			err = cmp.Or(err, b.lab.Down(context.WithoutCancel(ctx), say))
		}
	}()
	for _, p := range b.parts {
		if err := b.needLab(ctx, p.lab); err != nil {
			return err
		}
		say(p.name + ": " + p.says)
		if err := p.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// timed says that something is measured by this machine's clock.
func (b *bench) timed() bool {
	return slices.ContainsFunc(b.parts, func(p part) bool { return p.lab != countingLab })
}

// needLab starts the lab that a part needs. One that somebody else has started is taken as it is.
func (b *bench) needLab(ctx context.Context, kind labKind) error {
	if kind == noLab || (b.lab.Runs(ctx) && (!b.up || kind == anyLab)) {
		return nil
	}
	b.up = true
	if kind == countingLab {
		if err := os.Setenv("LAB_ICOUNT", "1"); err != nil {
			return err
		}
	}
	return b.lab.Up(ctx, say) // one of another kind is ended
}

// emit prints figures and keeps them for the table.
func (b *bench) emit(figures ...figure.Figure) error {
	b.figures = append(b.figures, figures...)
	for _, f := range figures {
		if err := f.Write(os.Stdout); err != nil {
			return err
		}
	}
	return nil
}
