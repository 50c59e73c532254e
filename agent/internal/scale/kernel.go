package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/reconcile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// node is what of an agent owns the kernel.
type node struct {
	*reconcile.Reconciler
	kernel *kernel.Kernel
	watch  *kernel.Watch
	rec    *mesh.Record
}

// real measures on the kernel of this host.
func (b *bench) real(ctx context.Context) (err error) {
	n, leave, err := b.node(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave()) }()
	// In the order of an agent's life: what it holds is measured before there is
	// anything that an agent would not have.
	for _, step := range []func(context.Context, *node) error{b.arrive, b.idles, b.observe, b.publishOne, b.rules, b.apply} {
		if err := step(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// node starts what an agent consists of, without a record.
func (b *bench) node(ctx context.Context) (n *node, leave func() error, err error) {
	if _, err := os.Stat(filepath.Join("/run/netns", state.Namespace)); err == nil {
		return nil, nil, errors.New("there is a mesh on this host already")
	}
	dir, err := os.MkdirTemp("", "scale")
	if err != nil {
		return nil, nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	originals, err := host.OpenOriginals(filepath.Join(dir, "host.json"), log)
	if err != nil {
		return nil, nil, err
	}
	k, err := kernel.New(kernel.Options{Originals: originals})
	if err != nil {
		return nil, nil, err
	}
	if err := k.LoadModules(ctx); err != nil {
		log.Warn("modprobe", "error", err)
	}
	watch, err := k.NewWatch()
	if err != nil {
		return nil, nil, err
	}
	r := reconcile.New(reconcile.Options{
		Kernel: k, Version: version, Log: log, Watch: watch, Memory: reconcile.Memory{Applied: filepath.Join(dir, "applied.json")},
		Hash: func(*mesh.Record) string { return "known" }, // the server knows it since it has checked the change
	})
	leave = func() error {
		_, err := r.Clear(context.WithoutCancel(ctx)) // also when it was interrupted
		watch.Close()
		return errors.Join(err, k.Close(), os.RemoveAll(dir))
	}
	return &node{Reconciler: r, kernel: k, watch: watch}, leave, nil
}

// record is one as it comes over the wire: nothing of it is shared with another.
func (b *bench) record(ports int) (*mesh.Record, error) {
	rec, err := build(ports, b.endpoints, b.nodes[0])
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(rec)
	if err != nil {
		return nil, err
	}
	return mesh.ParseRecord(data)
}

// commit is what the server does of a commit but for the record's own file.
func (n *node) commit(ctx context.Context, rec *mesh.Record, origin *mesh.Origin) error {
	if err := n.Announce(rec, self, origin); err != nil {
		return err
	}
	if problems := n.Commit(ctx, rec, self); len(problems) > 0 {
		return fmt.Errorf("%d problems, the first: %s", len(problems), problems[0].Text)
	}
	n.rec = rec
	return nil
}

// arrive applies everything to a kernel that has nothing, as at the start.
func (b *bench) arrive(ctx context.Context, n *node) error {
	rec, err := b.record(b.ports[0])
	if err != nil {
		return err
	}
	return n.commit(ctx, rec, nil)
}

// idles measures CPU and memory of an agent that has nothing to do.
func (b *bench) idles(ctx context.Context, n *node) error {
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { n.Run(ctx) })
	running.Go(func() { n.watch.Run(ctx) })
	defer running.Wait()
	defer stop()
	before, began := cpu(), time.Now()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(b.idle):
	}
	share := 100 * (cpu() - before).Seconds() / time.Since(began).Seconds()
	if err := b.figure("steady CPU", share, "%", 1, "<= 1"); err != nil {
		return err
	}
	for _, m := range []struct{ name, line string }{{"memory", "VmRSS"}, {"most memory so far", "VmHWM"}} {
		mib, err := resident(m.line)
		if err != nil {
			return err
		}
		goal := ""
		if m.line == "VmRSS" {
			goal = b.memoryGoal()
		}
		if err := b.figure(m.name, mib, "MiB", 1, goal); err != nil {
			return err
		}
	}
	return nil
}

// memoryGoal is that of an idle agent, or of 5,000 ports.
func (b *bench) memoryGoal() string {
	if b.ports[0] <= 100 {
		return "<= 30"
	}
	return "<= 120"
}

// cpu is what this process has used so far, and the programs that it has run.
func cpu() (used time.Duration) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			used += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return used
}

func (b *bench) observe(ctx context.Context, n *node) error {
	wanted := compile.Compile(n.rec, self, version, compile.Conditions{})
	return b.time("observe and compare everything", "", nil, func() error {
		n.watch.Cover(kernel.Full)
		_, err := n.kernel.Differences(ctx, kernel.Full, wanted)
		return err
	})
}

// publishOne opens one port more, again and again.
func (b *bench) publishOne(ctx context.Context, n *node) error {
	var next mesh.Encoded
	execs := n.kernel.Execs()
	err := b.time("one port more, applied and read back", "<= 50",
		func() (err error) { next, err = b.change(n.rec); return err },
		func() error { return n.commit(ctx, next.Record, next.Origin) })
	if err != nil {
		return err
	}
	return b.figure("programs run for one port more", float64(n.kernel.Execs()-execs)/float64(b.runs), "", b.runs, "<= 0")
}

// apply makes everything from nothing.
func (b *bench) apply(ctx context.Context, n *node) error {
	var rec *mesh.Record
	return b.time("full apply", "<= 5000",
		func() (err error) {
			if _, err := n.Clear(ctx); err != nil {
				return err
			}
			rec, err = b.record(b.ports[0])
			return err
		},
		func() error { return n.commit(ctx, rec, nil) })
}
