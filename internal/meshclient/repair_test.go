package meshclient_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// asked lists the objects of every repair that the node was asked for.
func asked(t testing.TB, n *meshtest.Node) [][]mesh.Ref {
	t.Helper()
	var all [][]mesh.Ref
	for _, r := range n.Requests() {
		var req mesh.RepairRequest
		if r.Path != mesh.PathRepair {
			continue
		}
		if err := json.Unmarshal(r.Body, &req); err != nil {
			t.Fatal(err)
		}
		all = append(all, req.Objects)
	}
	return all
}

func onService(text string) mesh.Problem {
	return mesh.Problem{Object: mesh.ServiceRef("web"), Text: text}
}

func TestRepairAsksWhoReported(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	generation := sameRecord(t, f).Generation
	f.Node("n2").Break(onService("A route is missing."), mesh.Problem{Object: mesh.NodeRef("n3"), Text: "A neighbour is missing."})
	c := newClient(t, f.ClientConfig())
	must(t)(c.PutService(deadline(t), "demo", web("n1"), false))
	if got := asked(t, f.Node("n2")); len(got) != 1 || !slices.Equal(got[0], []mesh.Ref{mesh.ServiceRef("web")}) {
		t.Errorf("n2 was asked to repair %q", got)
	}
	if n := f.TotalRequests(mesh.PathRepair); n != 1 || sameRecord(t, f).Generation != generation {
		t.Errorf("%d repairs were asked for, and the generation is %d", n, sameRecord(t, f).Generation)
	}
	wantDrift(t, snapshotOf(t, c), map[mesh.Ref][]string{mesh.NodeRef("n3"): {"node n2: A neighbour is missing."}})
	must(t)(c.PutNode(deadline(t), "demo", f.Node("n3").MeshNode(), false))
	wantDrift(t, snapshotOf(t, c), nil)
	if f.TotalRequests(mesh.PathPrepare) != 0 {
		t.Error("something was committed")
	}
}

func TestRepairInVain(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	stuck := onService("The kernel refused the route: no buffer space.")
	f.Node("n3").SetProblems(nil, func(*mesh.Record) []mesh.Problem { return []mesh.Problem{stuck} })
	_, err := newClient(t, f.ClientConfig()).PutService(deadline(t), "demo", web("n1"), false)
	problems, ok := errors.AsType[*meshclient.ProblemsError](err)
	if !ok || !problems.Committed || !slices.Equal(problems.Problems, []meshclient.NodeProblem{{Node: "n3", Problem: stuck}}) {
		t.Errorf("%+v", err)
	}
	f.Node("n3").SetProblems(nil, nil)
	f.Node("n3").Break(stuck)
	f.Node("n3").FaultAt(mesh.PathRepair, 1, meshtest.Stop)
	_, err = newClient(t, f.ClientConfig()).PutService(deadline(t), "demo", web("n1"), false)
	if problems, ok = errors.AsType[*meshclient.ProblemsError](err); !ok || !problems.Committed {
		t.Errorf("%+v", err)
	}
	wantText(t, err, "node n3: It could not be asked to repair what is missing there", "not running")
}

// Nothing can be sent to a node that is silent: no commit, however often
// Terraform applies.
func TestSilentNodeIsNoReasonToCommit(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three, "n1")
	generation := sameRecord(t, f).Generation
	f.Node("n3").SetDown(true)
	f.Node("n2").SetInstalled(false)
	c := fresh(t, f, "n1")
	must(t)(c.PutService(deadline(t), "demo", web("n1"), false))
	must(t)(c.UpdateCluster(deadline(t), demo()))
	if f.TotalRequests(mesh.PathPrepare)+f.TotalRequests(mesh.PathRepair) != 0 || f.Node("n1").Record().Generation != generation {
		t.Error("something was sent")
	}
}

// A node that answers and is behind catches up by a commit, whole.
func TestLaggingNodeIsCommittedTo(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three, "n1")
	n2 := f.Node("n2")
	old := n2.Record()
	must(t)(c.PutPort(deadline(t), "demo", port(8000), true))
	for what, put := range map[string]func(){
		"old":       func() { n2.SetRecord(old, "n2") },
		"forked":    func() { fork := sameRecord(t, f).Clone(); fork.Cluster.MTU = 1300; n2.SetRecord(fork, "n2") },
		"unapplied": func() { n2.SetApplied(old.Generation) },
	} {
		put()
		n2.Break(onService("A route is missing."))
		if res, err := fresh(t, f, "n1").PutNode(deadline(t), "demo", n2.MeshNode(), false); err != nil {
			t.Errorf("%s: %+v, %v", what, res, err)
		}
		sameRecord(t, f)
		wantDrift(t, snapshotOf(t, fresh(t, f, "n1")), nil)
	}
	if f.TotalRequests(mesh.PathRepair) != 0 {
		t.Error("a node that is behind was asked to repair")
	}
}
