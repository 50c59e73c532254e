package meshclient_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

func TestRemovedNodeDrainsFirst(t *testing.T) {
	t.Parallel()
	f, c := serving(t)
	n1, n2 := f.Node("n1"), f.Node("n2")
	n1.SetDrains(drainsOf(f, 3, "on-n2"), 0)
	n2.SetDrains(mesh.Drains{Entering: 5}, 0)
	it := begin(func() (*meshclient.Result, error) { return c.RemoveNode(deadline(t), "demo", "n2", false) })
	eventually(t, "a look at the drains", func() bool { return n1.Count(mesh.PathDrains) > 1 })
	if r := n2.Record(); r.Nodes["n2"] == nil || r.Nodes["n2"].Serving() || n2.Count(mesh.PathDrains) > 0 {
		t.Errorf("n2 is %+v, and was asked who enters", r.Nodes["n2"])
	}
	n1.SetDrains(mesh.Drains{}, 0)
	eventually(t, "a look at who enters", func() bool { return n2.Count(mesh.PathDrains) > 1 })
	if f.Node("n1").Record().Nodes["n2"] == nil || it.over() {
		t.Error("n2 was removed with connections that enter there")
	}
	n2.SetDrains(mesh.Drains{}, 0)
	<-it.done
	must(t)(it.result, it.err)
	if n2.Installed() || n1.Record().Nodes["n2"] != nil || n1.Count(mesh.PathCommit) != 3 {
		t.Errorf("n2 has not left in three commits: %d, %+v", n1.Count(mesh.PathCommit), n1.Record().Nodes)
	}
}

// TestWhoNeedNotDrain leaves in one commit, or two where it is a voter that is cleaned.
func TestWhoNeedNotDrain(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*testing.T, *meshtest.Fleet, *meshclient.Client) *meshclient.Client{
		"nothing is published": func(t *testing.T, _ *meshtest.Fleet, c *meshclient.Client) *meshclient.Client {
			t.Helper()
			must(t)(c.RemovePort(deadline(t), "demo", "web", key8080))
			return c
		},
		"nobody answers what is published": func(t *testing.T, _ *meshtest.Fleet, c *meshclient.Client) *meshclient.Client {
			t.Helper()
			must(t)(c.PutService(deadline(t), "demo", slow(), false))
			return c
		},
		"it drains already": func(t *testing.T, f *meshtest.Fleet, c *meshclient.Client) *meshclient.Client {
			t.Helper()
			n := f.Node("n2").MeshNode()
			n.Availability = mesh.AvailabilityDrain
			must(t)(c.PutNode(deadline(t), "demo", n, false))
			return c
		},
		"its host is gone": func(t *testing.T, f *meshtest.Fleet, _ *meshclient.Client) *meshclient.Client {
			t.Helper()
			f.Node("n2").SetDown(true)
			return fresh(t, f)
		},
		"its agent has stopped": func(t *testing.T, f *meshtest.Fleet, c *meshclient.Client) *meshclient.Client {
			t.Helper()
			f.Node("n2").SetRunning(false)
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, c := serving(t)
			c = prepare(t, f, c)
			f.ResetRequests()
			if _, err := c.RemoveNode(deadline(t), "demo", "n2", true); err != nil {
				t.Fatal(err)
			}
			want := 2
			if name == "its host is gone" {
				want = 1
			}
			if n := f.Node("n1").Count(mesh.PathCommit); n != want || f.Node("n1").Record().Nodes["n2"] != nil {
				t.Errorf("it left in %d commits, want %d", n, want)
			}
		})
	}
}

// TestNodesLeaveTogether: two that leave at once are both drained, and a
// balancer that watches them has the time to turn away.
func TestNodesLeaveTogether(t *testing.T) {
	t.Parallel()
	f, c := serving(t)
	watched := demo()
	watched.HealthAddress = ":10256"
	must(t)(c.UpdateCluster(deadline(t), watched))
	quick := slow("n1", "n2")
	quick.DrainSeconds = 2
	must(t)(c.PutService(deadline(t), "demo", quick, false))
	began := time.Now()
	n2 := begin(func() (*meshclient.Result, error) { return c.RemoveNode(deadline(t), "demo", "n2", false) })
	n3 := begin(func() (*meshclient.Result, error) { return c.RemoveNode(deadline(t), "demo", "n3", false) })
	for _, leaves := range []*change{n2, n3} {
		<-leaves.done
		must(t)(leaves.result, leaves.err)
	}
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("they have left within %s, want the 2 s that a drain may take", took)
	}
	if r := f.Node("n1").Record(); len(r.Nodes) != 1 || f.Node("n2").Installed() || f.Node("n3").Installed() {
		t.Errorf("they have not left: %+v", r.Nodes)
	}
}

// TestDrainedAndNotRemoved: the error says what the node is like, and the next
// apply goes on.
func TestDrainedAndNotRemoved(t *testing.T) {
	t.Parallel()
	f, c := serving(t)
	f.Node("n1").SetProblems(func(r *mesh.Record) []mesh.Problem {
		if r.Nodes["n2"] != nil {
			return nil
		}
		return []mesh.Problem{{Object: mesh.NodeRef("n2"), Text: "It is needed here."}}
	}, nil)
	_, err := c.RemoveNode(deadline(t), "demo", "n2", false)
	if _, ok := errors.AsType[*meshclient.DrainedError](err); !ok {
		t.Fatalf("got %v", err)
	}
	wantText(t, err, "It is needed here.", "Node n2 was not removed, and has been drained for it", "the next plan sets it back to active")
	if f.Node("n3").Record().Nodes["n2"].Serving() {
		t.Error("n2 is not drained")
	}

	// Cut off while it waits.
	f.Node("n1").SetProblems(nil, nil)
	f.Node("n2").SetDrains(mesh.Drains{Entering: 1}, 0)
	ctx, cancel := context.WithCancel(deadline(t))
	it := begin(func() (*meshclient.Result, error) { return c.RemoveNode(ctx, "demo", "n2", false) })
	eventually(t, "a look at who enters", func() bool { return f.Node("n2").Count(mesh.PathDrains) > 1 })
	cancel()
	<-it.done
	if !errors.Is(it.err, context.Canceled) || !strings.Contains(it.err.Error(), "Run the apply again to remove it") {
		t.Errorf("got %v", it.err)
	}
	f.Node("n2").SetDrains(mesh.Drains{}, 0)
	must(t)(c.RemoveNode(deadline(t), "demo", "n2", false))
	if f.Node("n2").Installed() {
		t.Error("n2 was not cleaned")
	}
}
