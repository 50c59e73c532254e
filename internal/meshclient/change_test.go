package meshclient_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// prepared lists what the host was asked to prepare: "whole" or "change".
func prepared(t *testing.T, n *meshtest.Node) []string {
	t.Helper()
	var all []string
	for _, r := range n.Requests() {
		var req mesh.PrepareRequest
		if r.Path != mesh.PathPrepare {
			continue
		}
		if err := json.Unmarshal(r.Body, &req); err != nil {
			t.Fatal(err)
		}
		kind := "change"
		if req.Record != nil {
			kind = "whole"
		}
		all = append(all, kind)
	}
	return all
}

// The cost of a commit follows what changes: no node is asked for its status
// again, and none is sent the record that it has.
func TestCommitsSendChanges(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	ctx := deadline(t)
	for i := range uint16(5) {
		must(t)(c.PutPort(ctx, "demo", port(8000+i), true))
	}
	must(t)(c.RemovePort(ctx, "demo", "web", mesh.PortKey{Port: 8000, Protocol: mesh.TCP}))
	for _, n := range f.All() {
		if got, want := fmt.Sprint(prepared(t, n)), "[change change change change change change]"; got != want {
			t.Errorf("%s was sent %s", n.Name, got)
		}
		if got := n.Count(mesh.PathStatus); got != 0 {
			t.Errorf("%s was asked for its status %d times", n.Name, got)
		}
	}
	if got := len(sameRecord(t, f).Ports); got != 4 {
		t.Errorf("%d ports are in the record", got)
	}
	// Who reads afterwards is told what the nodes say then.
	f.Node("n2").Break(mesh.Problem{Object: mesh.PortRef(mesh.PortKey{Port: 8001, Protocol: mesh.TCP}), Text: "It is gone."})
	snap, err := c.Snapshot(ctx)
	if err != nil || len(snap.Drift(mesh.PortRef(mesh.PortKey{Port: 8001, Protocol: mesh.TCP}))) != 1 {
		t.Errorf("%+v, %v", snap, err)
	}
}

// A node that does not have what the change was made to, or whose agent takes no
// changes, is sent the whole record in the same commit.
func TestWholeRecordWhereAChangeIsNotTaken(t *testing.T) {
	t.Parallel()
	for name, happens := range map[string]func(*meshtest.Node){
		"an agent that was installed anew": func(n *meshtest.Node) { n.SetInstalled(false); n.SetInstalled(true) },
		"a record that was put back": func(n *meshtest.Node) {
			older := n.Record().Clone()
			older.Generation--
			n.SetRecord(older, n.Name)
		},
		"an agent that knows no changes": func(n *meshtest.Node) { n.SetChangesKnown(false) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, c := cluster(t, three)
			ctx := deadline(t)
			must(t)(c.PutPort(ctx, "demo", port(8000), true))
			happens(f.Node("n2"))
			f.ResetRequests()
			must(t)(c.PutPort(ctx, "demo", port(8001), true))
			// A call that broke off with the agent that was there is made once more.
			if got := fmt.Sprint(slices.Compact(prepared(t, f.Node("n2")))); got != "[change whole]" {
				t.Errorf("it was sent %s", got)
			}
			if got := fmt.Sprint(prepared(t, f.Node("n1"))); got != "[change]" {
				t.Errorf("another was sent %s", got)
			}
			if got := len(sameRecord(t, f).Ports); got != 2 {
				t.Errorf("%d ports are in the record", got)
			}
		})
	}
}

// A snapshot is not of one moment: a node that had no record when it was asked has an older one than the snapshot's when the
// request comes, as a node has that another writer joins meanwhile. It is sent the record that replaces what it has.
func TestANodeHasAnOlderRecordThanItHadWhenAsked(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	n4 := f.Add("n4")
	ctx := deadline(t)
	must(t)(c.PutNode(ctx, "demo", n4.MeshNode(), true))
	joined := n4.Record()
	must(t)(c.PutPort(ctx, "demo", port(8000), true))
	n4.SetInstalled(false)
	n4.SetInstalled(true)
	f.ResetRequests()
	preparing, prepare := n4.Hold(mesh.PathPrepare)
	var g errgroup.Group
	g.Go(func() error {
		return outcome(newClient(t, f.ClientConfig(three...)).PutPort(ctx, "demo", port(8001), true))
	})
	<-preparing
	n4.SetRecord(joined, n4.Name)
	prepare()
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(prepared(t, n4)); got != "[whole whole]" {
		t.Errorf("it was sent %s", got)
	}
	if got := len(sameRecord(t, f).Ports); got != 2 {
		t.Errorf("%d ports are in the record", got)
	}
}

// What a commit has left is no longer what counts once another writer has come.
func TestAnotherWriterBetweenTwoCommits(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	ctx := deadline(t)
	must(t)(c.PutPort(ctx, "demo", port(8000), true))
	other := newClient(t, f.ClientConfig())
	must(t)(other.PutPort(ctx, "demo", port(9000), true))
	must(t)(c.PutPort(ctx, "demo", port(8001), true))
	if got := len(sameRecord(t, f).Ports); got != 3 {
		t.Errorf("%d ports are in the record", got)
	}
}

// A port that another service has by now is left to it.
func TestRemovePortOfAnotherService(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	ctx := deadline(t)
	must(t)(c.PutPort(ctx, "demo", port(8000), true))
	must(t)(c.RemovePort(ctx, "demo", "api", mesh.PortKey{Port: 8000, Protocol: mesh.TCP}))
	if got := len(sameRecord(t, f).Ports); got != 1 {
		t.Errorf("%d ports are in the record", got)
	}
}

// Problems after a commit are read anew, not taken from what the commit left.
func TestNodeWithProblemsIsAskedAgain(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	ctx := deadline(t)
	broken := mesh.PortRef(mesh.PortKey{Port: 8001, Protocol: mesh.TCP})
	f.Node("n3").SetProblems(nil, func(*mesh.Record) []mesh.Problem {
		return []mesh.Problem{{Object: broken, Text: "The kernel refused it."}}
	})
	_, err := c.PutPort(ctx, "demo", port(8001), true)
	if _, ok := errors.AsType[*meshclient.ProblemsError](err); !ok {
		t.Fatal(err)
	}
	f.ResetRequests()
	if _, err := c.PutPort(ctx, "demo", port(8002), true); err != nil {
		t.Fatal(err)
	}
	if got := f.Node("n3").Count(mesh.PathStatus); got == 0 {
		t.Error("the node was not asked")
	}
}

// What a node lacked before a commit may be what the next change is to repair:
// that the commit went well does not say that it is there.
func TestRepairAfterAnotherCommit(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	ctx := deadline(t)
	must(t)(c.PutPort(ctx, "demo", port(8000), true))
	missing := mesh.Problem{Object: mesh.PortRef(mesh.PortKey{Port: 8000, Protocol: mesh.TCP}), Text: "It is gone."}
	f.Node("n2").Break(missing)
	if _, err := c.Snapshot(ctx); err != nil { // as a plan and its apply do
		t.Fatal(err)
	}
	must(t)(c.PutPort(ctx, "demo", port(8001), true))
	f.Node("n2").Break(missing) // as if the commit had looked at its own port only
	f.ResetRequests()
	must(t)(c.PutPort(ctx, "demo", port(8000), false))
	if got := f.Node("n2").Count(mesh.PathRepair); got != 1 {
		t.Errorf("the node was asked to repair %d times", got)
	}
}
