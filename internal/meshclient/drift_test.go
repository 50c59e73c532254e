package meshclient_test

import (
	"slices"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// fresh is a client that knows nothing yet and soon tires of hosts.
func fresh(t testing.TB, f *meshtest.Fleet, hosts ...string) *meshclient.Client {
	t.Helper()
	cfg := f.ClientConfig(hosts...)
	cfg.SSH.Timeout = tired
	return newClient(t, cfg)
}

func snapshotOf(t testing.TB, c *meshclient.Client) *meshclient.Snapshot {
	t.Helper()
	snap, err := c.Snapshot(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// wantDrift compares the drift of every object: those not named have none.
func wantDrift(t testing.TB, snap *meshclient.Snapshot, want map[mesh.Ref][]string) {
	t.Helper()
	for _, o := range objectsOf(snap.Record) {
		if got := snap.Drift(o); !slices.Equal(got, want[o]) {
			t.Errorf("drift of %s:\n got %q\nwant %q", o, got, want[o])
		}
	}
}

func TestDriftNamesNodeAndCause(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three, "n1")
	must(t)(c.PutPort(deadline(t), "demo", port(8080), true))
	wantDrift(t, snapshotOf(t, c), nil)
	noDestination := mesh.Problem{Object: mesh.MustParseRef("port/8080/tcp"), Text: "IPVS 10.255.1.1:8080/tcp has no destination 10.255.2.2:80"}
	noSet := mesh.Problem{Object: mesh.ClusterRef, Text: "The ipset routingmesh-tcp is missing."}
	noNeighbour := mesh.Problem{Object: mesh.NodeRef("n3"), Text: "The neighbour 10.255.2.1 is missing."}
	gone := mesh.Problem{Object: mesh.MustParseRef("port/9/tcp"), Text: "There is a rule that the record does not ask for."}
	f.Node("n3").Break(noDestination)
	f.Node("n2").Break(noSet, noNeighbour, noDestination, gone)
	want := map[mesh.Ref][]string{
		mesh.MustParseRef("port/8080/tcp"): {
			"node n2: IPVS 10.255.1.1:8080/tcp has no destination 10.255.2.2:80.",
			"node n3: IPVS 10.255.1.1:8080/tcp has no destination 10.255.2.2:80.",
		},
		mesh.ClusterRef:    {"node n2: The ipset routingmesh-tcp is missing."},
		mesh.NodeRef("n3"): {"node n2: The neighbour 10.255.2.1 is missing."},
		mesh.NodeRef("n2"): {"node n2: There is a rule that the record does not ask for."},
	}
	for range 2 {
		wantDrift(t, snapshotOf(t, fresh(t, f, "n1")), want)
	}
	f.Node("n1").SetRepairs(7)
	if got := snapshotOf(t, fresh(t, f, "n1")).Nodes["n1"].Status.Repairs; got != 7 {
		t.Errorf("n1 has made %d repairs", got)
	}
}

// A node that is silent says so on itself, and in the same words each time.
func TestDriftOfSilentNode(t *testing.T) {
	t.Parallel()
	other, err := mesh.NewRecord("another-uid", demo())
	if err != nil {
		t.Fatal(err)
	}
	other.Cluster.Name = "other"
	for want, fault := range map[string]func(*meshtest.Node){
		"cannot be reached over SSH; it serves what it last had.": func(n *meshtest.Node) { n.SetDown(true) },
		"refuses the SSH login; it serves what it last had.":      func(n *meshtest.Node) { n.SetLogin(meshtest.Login{NoKeys: true, Password: "x"}) },
		"shows another SSH host key than the known one; it serves what it last had.": func(n *meshtest.Node) {
			_, key := meshtest.NewKey(t)
			n.SetHostKeys(key)
		},
		"its routingmesh-agent is installed and not running; it serves what it last had.": func(n *meshtest.Node) { n.SetRunning(false) },
		"its routingmesh-agent is of another version than the provider; it serves what it last had.": func(n *meshtest.Node) {
			n.SetAgentVersion("old", mesh.APIVersion-1)
		},
		"its routingmesh-agent is too new for this version of the provider; it serves what it last had.": func(n *meshtest.Node) {
			n.SetAgentVersion("new", mesh.APIVersion+1)
		},
		"no routingmesh-agent is installed there, so that nothing keeps its part of the mesh as it should be.": func(n *meshtest.Node) { n.SetInstalled(false) },
		`its host belongs to the cluster "other".`:                                                             func(n *meshtest.Node) { n.SetRecord(other.Next(), "") },
		"its agent has no configuration, and the cluster has generation 5; the next apply sends it.": func(n *meshtest.Node) {
			n.SetInstalled(false)
			n.SetInstalled(true)
		},
	} {
		f, _ := cluster(t, three, "n1")
		fault(f.Node("n2"))
		for range 2 {
			wantDrift(t, snapshotOf(t, fresh(t, f, "n1")), map[mesh.Ref][]string{mesh.NodeRef("n2"): {"node n2: " + want}})
		}
	}
}

func TestDriftOfNodeThatIsBehind(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three, "n1")
	n2, n3 := f.Node("n2"), f.Node("n3")
	old := n2.Record()
	must(t)(c.PutPort(deadline(t), "demo", port(8000), true))
	n2.SetRecord(old, "n2")
	n3.FaultAt(mesh.PathCommit, 1, meshtest.KillBefore) // n3 has the one before
	if _, err := c.PutPort(deadline(t), "demo", port(8001), true); err != nil {
		t.Fatal(err)
	}
	n2.SetRecord(old, "n2")
	wantDrift(t, snapshotOf(t, fresh(t, f, "n1")), map[mesh.Ref][]string{
		mesh.NodeRef("n2"): {"node n2: has an older configuration (generation 5, the cluster has 7); the next apply updates it."},
		mesh.NodeRef("n3"): {"node n3: has an older configuration (generation 6, the cluster has 7); the next apply updates it."},
	})
	now := f.Node("n1").Record()
	n3.SetRecord(now, "n3")
	fork := now.Clone()
	fork.Cluster.MTU = 1300
	n2.SetRecord(fork, "n2")
	snap := snapshotOf(t, fresh(t, f, "n1", "n3"))
	wantDrift(t, snap, map[mesh.Ref][]string{
		mesh.ClusterRef:    snap.Warnings,
		mesh.NodeRef("n2"): {"node n2: its generation 7 is another than the cluster's, which most of the voters have; the next apply replaces it."},
	})
	n2.SetRecord(now, "")
	wantDrift(t, snapshotOf(t, fresh(t, f, "n1")), map[mesh.Ref][]string{
		mesh.NodeRef("n2"): {"node n2: its agent has the record, and does not take its host for this node."},
	})
	n2.SetRecord(now, "n2")
	n2.SetApplied(6)
	wantDrift(t, snapshotOf(t, fresh(t, f, "n1")), map[mesh.Ref][]string{
		mesh.NodeRef("n2"): {"node n2: has not applied all of its configuration (generation 7)."},
	})
}

// What is wrong with a host that only keeps the record is the cluster's.
func TestDriftOfKeeper(t *testing.T) {
	t.Parallel()
	f := meshtest.New(t, three...)
	c := newClient(t, f.ClientConfig())
	must(t)(c.CreateCluster(deadline(t), demo()))
	n2, at := f.Node("n2"), "host "+f.Node("n2").Addr()+": "
	old := n2.Record()
	wider := demo()
	wider.MTU = 1400
	must(t)(c.UpdateCluster(deadline(t), wider))
	n2.SetRecord(old, "")
	lags := map[mesh.Ref][]string{mesh.ClusterRef: {at + "has an older configuration (generation 1, the cluster has 2); the next apply updates it."}}
	wantDrift(t, snapshotOf(t, fresh(t, f)), lags)
	n2.SetDown(true)
	wantDrift(t, snapshotOf(t, fresh(t, f)), map[mesh.Ref][]string{mesh.ClusterRef: {at + "cannot be reached over SSH; it keeps the record that it last had."}})
	n2.SetDown(false)
	n2.SetRunning(false)
	must(t)(fresh(t, f).UpdateCluster(deadline(t), wider))
	wantDrift(t, snapshotOf(t, fresh(t, f)), nil)
	n2.Break(mesh.Problem{Object: mesh.ClusterRef, Text: "The unit routingmesh-agent.service is missing."})
	wantDrift(t, snapshotOf(t, fresh(t, f)), map[mesh.Ref][]string{mesh.ClusterRef: {at + "The unit routingmesh-agent.service is missing."}})
	generation := n2.Record().Generation
	must(t)(fresh(t, f).UpdateCluster(deadline(t), wider))
	if wantDrift(t, snapshotOf(t, fresh(t, f)), nil); n2.Record().Generation != generation || n2.Count(mesh.PathRepair) != 1 {
		t.Error("a keeper was not repaired, or by a commit")
	}
}
