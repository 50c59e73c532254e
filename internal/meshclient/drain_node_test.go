package meshclient_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

// seen collects what a drain tells.
type seen struct {
	mu   sync.Mutex
	told []meshclient.Open
}

func (s *seen) tell(o meshclient.Open) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, o)
}

func (s *seen) has(o meshclient.Open) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.told, o)
}

// TestDrainNode waits for what leads to the node first, then for what enters through it.
func TestDrainNode(t *testing.T) {
	t.Parallel()
	f, c := serving(t)
	n1, n2, n3 := f.Node("n1"), f.Node("n2"), f.Node("n3")
	n1.SetDrains(drainsOf(f, 3, "on-n2"), 0)
	n3.SetDrains(drainsOf(f, 4, "on-n2"), 0)
	n2.SetDrains(mesh.Drains{Entering: 5}, 0)
	s := &seen{}
	it := begin(func() (*meshclient.Result, error) { return c.DrainNode(deadline(t), "demo", "n2", s.tell) })
	eventually(t, "seven connections seen", func() bool { return s.has(meshclient.Open{Endpoints: 7}) })
	n1.SetDrains(mesh.Drains{}, 0)
	eventually(t, "four connections seen", func() bool { return s.has(meshclient.Open{Endpoints: 4}) })
	n3.SetDrains(mesh.Drains{}, 0)
	eventually(t, "five entering seen", func() bool { return s.has(meshclient.Open{Entering: 5}) })
	if it.over() || n2.Record().Nodes["n2"].Serving() {
		t.Error("it is over, or n2 is not drained")
	}
	n2.SetDrains(mesh.Drains{}, 0)
	<-it.done
	must(t)(it.result, it.err)
	if !n2.Installed() || f.TotalRequests(mesh.PathCommit) != 3 {
		t.Errorf("%d commits, want one to each of three nodes", f.TotalRequests(mesh.PathCommit))
	}
}

func TestDrainNode_TimeIsOver(t *testing.T) {
	t.Parallel()
	f, c := serving(t)
	f.Node("n1").SetDrains(drainsOf(f, 3, "on-n2"), 0)
	ctx, cancel := context.WithCancel(deadline(t))
	s := &seen{}
	it := begin(func() (*meshclient.Result, error) { return c.DrainNode(ctx, "demo", "n2", s.tell) })
	eventually(t, "three connections seen", func() bool { return s.has(meshclient.Open{Endpoints: 3}) })
	cancel()
	<-it.done
	open, ok := errors.AsType[*meshclient.StillOpenError](it.err)
	if !ok || len(open.Left) != 1 || !errors.Is(it.err, context.Canceled) {
		t.Fatalf("%v", it.err)
	}
	wantText(t, it.err, "node n2 drains, and gets no new connections", "3 connections of endpoint on-n2 of service web (node n2): still open, and given until")

	// Who stays connected through the node is a warning, once the longest drain_timeout is over.
	f.Node("n1").SetDrains(mesh.Drains{}, 0)
	f.Node("n2").SetDrains(mesh.Drains{Entering: 2}, 0)
	quick := slow("n1", "n2")
	quick.DrainSeconds = 1
	must(t)(c.PutService(deadline(t), "demo", quick, false))
	result, err := c.DrainNode(deadline(t), "demo", "n2", s.tell)
	if err != nil || len(result.Warnings) != 1 || !strings.HasPrefix(result.Warnings[0].Text, "2 connections still come in through node n2.") {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestDrainNode_Refused(t *testing.T) {
	t.Parallel()
	f, c := serving(t)
	for name, want := range map[string]string{"n9": "The cluster demo has no node n9.", "n2": "belong to the cluster"} {
		cluster := "demo"
		if name == "n2" {
			cluster = "prod"
		}
		_, err := c.DrainNode(deadline(t), cluster, name, (&seen{}).tell)
		wantText(t, err, want)
	}
	if f.TotalRequests(mesh.PathPrepare) != 0 {
		t.Error("something was committed")
	}
}

// TestRepairNode_KeepsOthersChanges: the record that the repair is made to may be newer
// than the one that showed the drift.
func TestRepairNode_KeepsOthersChanges(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	n2 := f.Node("n2")
	n2.SetApplied(1) // behind: this takes a commit
	snapshotOf(t, c)
	arrived, release := n2.Hold(mesh.PathPrepare)
	it := begin(func() (*meshclient.Result, error) { return c.Repair(deadline(t), "demo", mesh.NodeRef("n2")) })
	select {
	case <-arrived:
	case <-time.After(time.Minute):
		t.Fatal("no commit was begun")
	}
	newer := f.Node("n1").Record().Successor(f.Node("n1").Record().Hash())
	labelled := *newer.Nodes["n2"]
	labelled.Labels = map[string]string{"rack": "7"}
	if err := newer.PutNode(&labelled); err != nil {
		t.Fatal(err)
	}
	for _, n := range f.All() {
		n.SetRecord(newer, n.Name)
	}
	n2.SetApplied(1)
	release()
	<-it.done
	must(t)(it.result, it.err)
	if got := sameRecord(t, f).Nodes["n2"].Labels["rack"]; got != "7" {
		t.Errorf("the label of the other writer is %q", got)
	}
	wantDrift(t, snapshotOf(t, fresh(t, f)), nil)
}

func TestDrifted(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	f.Node("n1").Break(mesh.Problem{Object: mesh.NodeRef("n3"), Text: "A neighbour is missing."}, onService("A route is missing."))
	f.Node("n2").Break(mesh.Problem{Object: mesh.ServiceRef("gone"), Text: "A set of a service that there is no more."})
	snap := snapshotOf(t, fresh(t, f))
	for node, want := range map[string][]mesh.Ref{
		"":   {mesh.NodeRef("n2"), mesh.NodeRef("n3"), mesh.ServiceRef("web")},
		"n1": {mesh.NodeRef("n3"), mesh.ServiceRef("web")},
		"n2": {mesh.NodeRef("n2")},
		"n3": {mesh.NodeRef("n3")},
	} {
		if got := snap.Drifted(node); !slices.Equal(got, want) {
			t.Errorf("of %q: %v, want %v", node, got, want)
		}
	}
}
