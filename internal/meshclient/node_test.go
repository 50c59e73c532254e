package meshclient_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

func TestRefusedJoinLeavesHostAsFound(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three, "n1")
	n4 := f.Add("n4")
	ctx := deadline(t)

	wrong := n4.MeshNode()
	wrong.Address = netip.MustParseAddr("192.0.2.99")
	_, err := c.PutNode(ctx, "demo", wrong, true)
	rule, ok := errors.AsType[*mesh.Error](err)
	if !ok || rule.Attribute != "address" || rule.Object != mesh.NodeRef("n4") {
		t.Fatalf("got %v", err)
	}
	wantText(t, err, "no interface with the address 192.0.2.99", "It has 192.0.2.14")
	if n4.Installed() || n4.CountCommands(" install") != 1 {
		t.Error("the agent was left on the host")
	}

	n4.SetProblems(func(*mesh.Record) []mesh.Problem {
		return []mesh.Problem{{Object: mesh.NodeRef("n4"), Text: "The kernel has no ip_vs."}}
	}, nil)
	_, err = c.PutNode(ctx, "demo", n4.MeshNode(), true)
	wantText(t, err, "node n4: The kernel has no ip_vs.")
	if n4.Installed() || f.Node("n1").Record().Nodes["n4"] != nil {
		t.Error("the refused node is in the record, or its agent on the host")
	}

	// What the record refuses does not reach the host at all.
	n4.SetProblems(nil, nil)
	before := len(n4.Commands())
	twin := n4.MeshNode()
	twin.Address = f.Node("n2").Address
	_, err = c.PutNode(ctx, "demo", twin, true)
	wantText(t, err, "Node n2 already has the underlay address")
	if len(n4.Commands()) != before {
		t.Errorf("commands were run: %q", n4.Commands()[before:])
	}
	must(t)(c.PutNode(ctx, "demo", n4.MeshNode(), true))
	sameRecord(t, f)
}

// Whatever a joining node has against the record is about its joining.
func TestJoinIsBlamedForItsNode(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three, "n1")
	ctx := deadline(t)
	must(t)(c.PutPort(ctx, "demo", port(8080), true))
	n4 := f.Add("n4")
	n4.SetProblems(func(*mesh.Record) []mesh.Problem {
		return []mesh.Problem{{Object: mesh.PortRef(mesh.PortKey{Port: 8080, Protocol: mesh.TCP}), Text: "Port 8080/tcp is taken by java."}}
	}, nil)
	_, err := c.PutNode(ctx, "demo", n4.MeshNode(), true)
	wantText(t, err, "node n4: Port 8080/tcp is taken by java.")
}

func TestHostIsOneNode(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three, "n1")
	again := f.Node("n2").MeshNode()
	again.Name, again.Address = "n5", netip.MustParseAddr("192.0.2.50")
	_, err := c.PutNode(deadline(t), "demo", again, true)
	wantText(t, err, `already is the node "n2"`)
	if !f.Node("n2").Installed() {
		t.Error("the agent of n2 was removed")
	}
}

// TestJoin_CloneOfNode: a clone has the record of the node and another address.
func TestJoin_CloneOfNode(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three, "n1")
	n4 := f.Add("n4")
	n4.SetRecord(f.Node("n2").Record(), "n2")
	_, err := c.PutNode(deadline(t), "demo", n4.MeshNode(), true)
	wantText(t, err, `it was cloned from that node`, fmt.Sprintf("ssh -p %d root@127.0.0.1 /usr/local/bin/routingmesh-agent uninstall", n4.Port()))
	if e, ok := errors.AsType[*mesh.Error](err); !ok || e.Summary != "Host is a clone of a node" {
		t.Errorf("the headline is %+v", e)
	}
	if !n4.Installed() {
		t.Error("the agent of the clone was removed without a word")
	}
	n4.SetInstalled(false) // as that command does
	n4.Cut()
	must(t)(c.PutNode(deadline(t), "demo", n4.MeshNode(), true))
	sameRecord(t, f)
}

// The same machine under two names is sent the record once.
func TestHostReachedByTwoNames(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, []string{"n1"})
	f.Add("n2")
	cfg := f.ClientConfig()
	cfg.Hosts = []string{f.Node("n1").Addr(), "localhost:" + f.Node("n2").Addr()[len("127.0.0.1:"):]}
	c := newClient(t, cfg)
	ctx := deadline(t)
	f.Node("n2").SetInstalled(true)
	must(t)(c.PutNode(ctx, "demo", f.Node("n2").MeshNode(), true))
	must(t)(c.PutPort(ctx, "demo", port(8000), true))
	sameRecord(t, f)
	if p, q := f.Node("n2").Count(mesh.PathPrepare), f.Node("n2").Count(mesh.PathCommit); p != 2 || q != 2 {
		t.Errorf("n2 got %d prepares and %d commits for two changes", p, q)
	}
}

func TestRemoveNode(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three, "n1")
	cfg := f.ClientConfig("n1")
	cfg.SSH.Timeout = tired
	c := newClient(t, cfg)
	ctx := deadline(t)
	f.Node("n3").SetDown(true)
	_, err := c.RemoveNode(ctx, "demo", "n3", false)
	if _, ok := errors.AsType[*sshdial.UnreachableError](err); !ok {
		t.Fatalf("got %v", err)
	}
	if f.Node("n1").Record().Nodes["n3"] == nil || f.TotalRequests(mesh.PathPrepare) != 0 {
		t.Error("an unreachable node was taken out, and stays behind with what it has")
	}
	f.Node("n3").SetDown(false)
	must(t)(c.RemoveNode(ctx, "demo", "n3", false))
	if f.Node("n3").Installed() || f.Node("n1").Record().Nodes["n3"] != nil {
		t.Error("n3 is still there")
	}
	// The last keeper stays as such, and says so while something needs it.
	res, err := c.RemoveNode(ctx, "demo", "n1", false)
	if err != nil || len(res.Warnings) != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	wantText(t, errors.New(res.Warnings[0].Text), "last of the provider's hosts", "1 node and 1 service")
	if !f.Node("n1").Installed() {
		t.Error("nobody can find the cluster any more")
	}
	must(t)(c.PutNode(ctx, "demo", f.Node("n1").MeshNode(), true))
	must(t)(c.RemoveNode(ctx, "demo", "n3", false))
}

// An agent that has stopped is started by the change that needs it, and does
// not keep a node from being removed.
func TestStoppedAgent(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three, "n1")
	ctx := deadline(t)
	n3 := f.Node("n3")
	n3.SetRunning(false)
	res, err := c.PutPort(ctx, "demo", port(8000), true)
	if err != nil || len(res.Warnings) != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	wantText(t, errors.New(res.Warnings[0].Text), "node n3", "systemctl status routingmesh-agent")
	must(t)(c.PutNode(ctx, "demo", n3.MeshNode(), false))
	sameRecord(t, f)
	n3.SetRunning(false)
	if res, err := c.RemoveNode(ctx, "demo", "n3", false); err != nil || n3.Installed() {
		t.Errorf("%+v, %v", res, err)
	}
}

// A removal that was cut off between the commit and the uninstall.
func TestCleanHost(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three, "n1")
	ctx := deadline(t)
	stale := f.Node("n3").Record()
	must(t)(c.RemoveNode(ctx, "demo", "n3", false))
	f.Node("n3").SetRecord(stale, "n3")
	for _, n := range f.All() {
		if err := c.CleanHost(ctx, "demo", n.MeshNode()); err != nil {
			t.Error(err)
		}
		if want := n.Name != "n3"; n.Installed() != want {
			t.Errorf("%s: installed=%v", n.Name, n.Installed())
		}
	}
}

// An agent that comes back while a commit is under way, and is of a version
// that the snapshot could not know of, is not sent what it would misread.
func TestReturningAgentOfAnotherVersion(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	n3 := f.Node("n3")
	n3.SetAgentVersion("ancient", mesh.APIVersion-1)
	n3.SetDown(true)
	c := fresh(t, f)
	snapshotOf(t, c)
	n3.SetDown(false)
	res, err := c.PutPort(deadline(t), "demo", port(8000), true)
	if err != nil || len(res.Warnings) != 1 || n3.Count(mesh.PathPrepare) != 0 {
		t.Fatalf("%+v, %v, %d prepares", res, err, n3.Count(mesh.PathPrepare))
	}
	must(t)(c.PutNode(deadline(t), "demo", n3.MeshNode(), false))
	sameRecord(t, f)
	// Nor does what the snapshot said of it outlive what was done about it.
	n3.SetAgentVersion("ancient", mesh.APIVersion-1)
	c = fresh(t, f)
	snapshotOf(t, c)
	must(t)(c.PutNode(deadline(t), "demo", n3.MeshNode(), false))
	wantDrift(t, snapshotOf(t, c), nil)
}

// A removal that reaches nobody but the host that leaves has an unknown outcome, and
// would be undone by cleaning it.
func TestRecordIsHandedOnBeforeItsHostIsCleaned(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	f.Node("n1").FaultAt(mesh.PathCommit, 1, meshtest.FullDisk)
	f.Node("n2").FaultAt(mesh.PathCommit, 1, meshtest.FullDisk)
	res, err := c.RemoveNode(deadline(t), "demo", "n3", false)
	if !committed(err) || !f.Node("n3").Installed() {
		t.Fatalf("%+v, %v", res, err)
	}
	wantText(t, err, "may be in the record", "too few of the cluster's voters have taken generation 6", "Run the apply again")
	f.Node("n1").Heal()
	f.Node("n2").Heal()
	if _, err := c.RemoveNode(deadline(t), "demo", "n3", false); err != nil {
		t.Fatal(err)
	}
	if err := c.CleanHost(deadline(t), "demo", f.Node("n3").MeshNode()); err != nil {
		t.Error(err)
	}
	if f.Node("n3").Installed() || f.Node("n1").Record().Nodes["n3"] != nil || f.Node("n2").Record().Nodes["n3"] != nil {
		t.Error("n3 is still there")
	}
}

// A voter that leaves stays as one while the others cannot decide without it.
func TestSilentHostsMayKeepTheRecord(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	c := fresh(t, f)
	snapshotOf(t, c)
	for _, name := range []string{"n1", "n2"} {
		f.Node(name).FaultAt(mesh.PathStatus, 1, meshtest.Stop)
	}
	res, err := c.RemoveNode(deadline(t), "demo", "n3", false)
	if !committed(err) || !f.Node("n3").Installed() {
		t.Fatalf("%+v, %v", res, err)
	}
	wantText(t, err, "is still a voter", "Run the apply again")
	f.Node("n1").Heal()
	f.Node("n2").Heal()
	if err := c.CleanHost(deadline(t), "demo", f.Node("n3").MeshNode()); err != nil || f.Node("n3").Installed() {
		t.Errorf("%v, installed %v", err, f.Node("n3").Installed())
	}
}
