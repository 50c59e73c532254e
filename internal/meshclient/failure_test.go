package meshclient_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// TestEveryFaultAtEveryCall interrupts every call of every operation in every
// way, and then does what Terraform's next apply does.
func TestEveryFaultAtEveryCall(t *testing.T) {
	t.Parallel()
	share := 1
	if underRace {
		share = 5
	}
	first := rand.IntN(share)
	// Few at once over all stories: on a busy machine a login would take longer
	// than the client waits for a host that is down.
	turns := make(chan struct{}, 24)
	for _, s := range stories() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			var g errgroup.Group
			cases := s.cases(t)
			for i, c := range cases {
				if i%share != first {
					continue
				}
				g.Go(func() error {
					turns <- struct{}{}
					defer func() { <-turns }()
					if err := s.play(t, c); err != nil {
						t.Errorf("%s: %v", c, err)
					}
					return nil
				})
			}
			_ = g.Wait() // errors are reported where they happen
			t.Logf("%d faults, every %d. of them from the %d. on", len(cases), share, first+1)
		})
	}
}

// plight is one fault at one call.
type plight struct {
	node  string
	call  string
	nth   int
	fault meshtest.Fault
}

func (p plight) String() string {
	return fmt.Sprintf("%s at %s's call %d of %s", p.fault, p.node, p.nth, p.call)
}

// cases lets the story run well, and makes a case of every call and fault.
func (s story) cases(t *testing.T) []plight {
	f := s.stage(t)
	defer f.Stop()
	c := newClient(t, f.ClientConfig(s.hosts...))
	if err := s.act(t.Context(), c, f); err != nil {
		t.Fatal(err)
	}
	var cases []plight
	for _, n := range f.All() {
		seen := map[string]int{}
		for _, call := range n.Calls() {
			if call == "" || s.calls != nil && !slices.Contains(s.calls, call) {
				continue // the way to the agent is not a call
			}
			seen[call]++
			for _, fault := range faultsOf(call) {
				cases = append(cases, plight{n.Name, call, seen[call], fault})
			}
		}
	}
	if len(cases) == 0 {
		t.Fatal("nothing was called")
	}
	return cases
}

func faultsOf(call string) []meshtest.Fault {
	faults := []meshtest.Fault{meshtest.CutBefore, meshtest.CutAfter, meshtest.DownBefore, meshtest.DownAfter}
	if call[0] == '/' {
		faults = append(faults, meshtest.KillBefore, meshtest.KillAfter, meshtest.Stop)
	}
	if call == mesh.PathCommit {
		faults = append(faults, meshtest.KillHalfway)
	}
	if call == mesh.PathCommit || call == "install" {
		faults = append(faults, meshtest.FullDisk)
	}
	return faults
}

// impatient is how long a client waits for a host that is down: no shorter than
// a login takes, for else the fault would be everywhere.
const impatient = 700 * time.Millisecond

// play runs the story with the fault, and again as Terraform would.
func (s story) play(t *testing.T, p plight) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	f := s.stage(t)
	defer f.Stop()
	f.Node(p.node).FaultAt(p.call, p.nth, p.fault)
	cfg := f.ClientConfig(s.hosts...)
	cfg.SSH.Timeout = impatient
	first, err := meshclient.New(cfg)
	if err != nil {
		return err
	}
	failed := s.act(ctx, first, f)
	first.Close()
	for _, n := range f.All() {
		n.Heal()
	}
	again, err := meshclient.New(f.ClientConfig(s.hosts...))
	if err != nil {
		return err
	}
	defer again.Close()
	snap, err := s.applyAgain(ctx, again, f, failed)
	if err == nil && !snap.Certain() { // what the plan has shown with a warning may not be the record after all
		_, err = s.applyAgain(ctx, again, f, nil)
	}
	if err != nil {
		return fmt.Errorf("after %w: the next apply: %w", cmp.Or(failed, errNone), err)
	}
	if err := s.settled(ctx, again, f); err != nil {
		return fmt.Errorf("after %w: %w", cmp.Or(failed, errNone), err)
	}
	return nil
}

var errNone = fmt.Errorf("no error")

// applyAgain is Terraform's next apply: Read of everything, which it returns, then what the
// plan of that has.
func (s story) applyAgain(ctx context.Context, c *meshclient.Client, f *meshtest.Fleet, failed error) (*meshclient.Snapshot, error) {
	snap, err := c.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	inState := s.kind != creation || failed == nil || committed(failed)
	there := snap.Record != nil && has(snap.Record, s.subject.object)
	var g errgroup.Group
	switch {
	case s.kind == removal && failed != nil:
		g.Go(func() error { return s.subject.remove(ctx, c, f) })
	case s.kind == removal:
	case !inState && there:
		return snap, fmt.Errorf("%s is in the record, and not in the state", s.subject.object)
	case !inState || !there:
		g.Go(func() error { return s.subject.put(ctx, c, f, true) })
	case !s.done(snap.Record) || len(snap.Drift(s.subject.object)) > 0:
		g.Go(func() error { return s.subject.put(ctx, c, f, false) })
	}
	for _, r := range s.others {
		if len(snap.Drift(r.object)) > 0 {
			g.Go(func() error { return r.put(ctx, c, f, false) })
		}
	}
	return snap, g.Wait()
}

// settled is that another plan would be empty, and nothing was lost or left.
func (s story) settled(ctx context.Context, c *meshclient.Client, f *meshtest.Fleet) error {
	snap, err := c.Snapshot(ctx)
	if err != nil {
		return err
	}
	if s.gone {
		if i := slices.IndexFunc(f.All(), (*meshtest.Node).Installed); i >= 0 || snap.Record != nil {
			return fmt.Errorf("something is left: %+v, %d", snap.Record, i)
		}
		return nil
	}
	if !s.done(snap.Record) {
		return fmt.Errorf("the change is not in the record: %+v", snap.Record)
	}
	for _, r := range s.others {
		if !has(snap.Record, r.object) {
			return fmt.Errorf("%s was lost", r.object)
		}
	}
	for _, o := range objectsOf(snap.Record) {
		known := o == s.subject.object || slices.ContainsFunc(s.others, func(r resource) bool { return r.object == o })
		if drift := snap.Drift(o); len(drift) > 0 || !known {
			return fmt.Errorf("%s (known: %v) drifts: %q", o, known, drift)
		}
	}
	for _, n := range f.All() {
		if r := n.Record(); r == nil && n.Installed() || r != nil && r.Hash() != snap.Record.Hash() {
			return fmt.Errorf("%s has the record %+v", n.Name, r)
		}
		if r := snap.Record.Nodes[n.Name]; (r != nil) != n.Installed() && !slices.Contains(s.keepers, n.Name) {
			return fmt.Errorf("%s: node %v, installed %v", n.Name, r != nil, n.Installed())
		}
	}
	return nil
}
