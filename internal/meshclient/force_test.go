package meshclient_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// wantWarning wants one warning with every part.
func wantWarning(t testing.TB, r *meshclient.Result, parts ...string) {
	t.Helper()
	if r == nil {
		t.Fatal("no result")
	}
	for _, w := range r.Warnings {
		if strings.Contains(w.Text, parts[0]) {
			wantText(t, errors.New(w.Text), parts...)
			return
		}
	}
	t.Errorf("no warning with %q in %q", parts[0], r.Warnings)
}

func TestRemoveNodeWithoutItsHost(t *testing.T) {
	t.Parallel()
	for reason, fault := range map[string]func(*meshtest.Node){
		"cannot be reached over SSH":          func(n *meshtest.Node) { n.SetDown(true) },
		"refuses the SSH login":               func(n *meshtest.Node) { n.SetLogin(meshtest.Login{NoKeys: true, Password: "x"}) },
		"shows another SSH host key":          func(n *meshtest.Node) { n.Rebuild() },
		"cannot be reached over SSH any more": func(n *meshtest.Node) { n.FaultAt("uninstall", 1, meshtest.DownBefore) },
	} {
		f, _ := cluster(t, three, "n1")
		n3 := f.Node("n3")
		fault(n3)
		reason, later := strings.CutSuffix(reason, " any more")
		c := fresh(t, f, "n1")
		if !later {
			_, err := c.RemoveNode(deadline(t), "demo", "n3", false)
			if _, ok := errors.AsType[*meshclient.LeaveError](err); !ok || f.Node("n1").Record().Nodes["n3"] == nil {
				t.Fatalf("%s: %v", reason, err)
			}
			wantText(t, err, "Node n3 was not removed, and nothing was changed", "force_remove = true", n3.Addr())
		}
		res, err := c.RemoveNode(deadline(t), "demo", "n3", true)
		if err != nil || f.Node("n1").Record().Nodes["n3"] != nil || f.Node("n2").Record().Nodes["n3"] != nil {
			t.Fatalf("%s: %+v, %v", reason, res, err)
		}
		wantWarning(t, res, "Node n3 was taken out", n3.Addr(), reason, "routingmesh-agent uninstall")
		// Set up anew, it joins under its name and address, in the same run.
		n3.SetDown(false)
		n3.SetLogin(meshtest.Login{})
		n3.Rebuild()
		must(t)(c.PutNode(deadline(t), "demo", n3.MeshNode(), true))
		if r := sameRecord(t, f); r.Nodes["n3"].SSH.HostKey != n3.HostKey {
			t.Errorf("%s: n3 joined with the host key %q", reason, r.Nodes["n3"].SSH.HostKey)
		}
	}
}

// A node that is one of the provider's hosts, whose key the state has pinned.
func TestForcedRemovalForgetsThePin(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	n3 := f.Node("n3")
	c := fresh(t, f)
	c.PinHostKey(n3.Addr(), n3.HostKey)
	n3.Rebuild()
	if _, err := c.RemoveNode(deadline(t), "demo", "n3", false); err == nil {
		t.Fatal("a host with another key was removed without force")
	}
	if _, err := c.RemoveNode(deadline(t), "demo", "n3", true); err != nil {
		t.Fatal(err)
	}
	must(t)(c.PutNode(deadline(t), "demo", n3.MeshNode(), true))
	sameRecord(t, f)
	if got := c.HostKeys()[n3.Addr()]; got != n3.HostKey {
		t.Errorf("the provider is told the host key %q", got)
	}
}

// A host that has gone to another cluster, or is another node, is not cleaned:
// with force or without.
func TestRemoveNodeWhoseHostIsElsewhere(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three, "n1")
	other, err := mesh.NewRecord("another-uid", demo())
	if err != nil {
		t.Fatal(err)
	}
	other.Cluster.Name = "other"
	f.Node("n3").SetRecord(other.Next(), "")
	f.Node("n2").SetRecord(f.Node("n1").Record(), "n3")
	for _, gone := range []struct{ node, owner string }{{"n2", `the node "n3"`}, {"n3", `the cluster "other"`}} {
		res, err := fresh(t, f, "n1").RemoveNode(deadline(t), "demo", gone.node, gone.node == "n2")
		if err != nil || !f.Node(gone.node).Installed() || f.Node("n1").Record().Nodes[gone.node] != nil {
			t.Fatalf("%s: %+v, %v", gone.node, res, err)
		}
		wantWarning(t, res, "The host of node "+gone.node, gone.owner)
	}
}

func TestDestroyClusterWithoutItsHosts(t *testing.T) {
	t.Parallel()
	f := meshtest.New(t, three...)
	must(t)(newClient(t, f.ClientConfig()).CreateCluster(deadline(t), demo()))
	f.Node("n2").SetDown(true)
	c := fresh(t, f)
	_, err := c.DestroyCluster(deadline(t), "demo", false)
	if _, ok := errors.AsType[*meshclient.HostsError](err); !ok || !f.Node("n1").Installed() {
		t.Fatalf("%v", err)
	}
	wantText(t, err, "Nothing was removed", "force_remove = true", f.Node("n2").Addr())
	res, err := c.DestroyCluster(deadline(t), "demo", true)
	if err != nil || len(res.Warnings) != 1 || f.Node("n1").Installed() || f.Node("n3").Installed() {
		t.Fatalf("%+v, %v", res, err)
	}
	wantWarning(t, res, "Host "+f.Node("n2").Addr(), "cannot be reached", "routingmesh-agent uninstall")
	// Nobody is left to ask.
	for _, n := range f.All() {
		n.SetDown(true)
	}
	if _, err = fresh(t, f).DestroyCluster(deadline(t), "demo", false); err == nil {
		t.Error("a cluster that cannot be asked was taken for destroyed")
	}
	if res, err = fresh(t, f).DestroyCluster(deadline(t), "demo", true); err != nil || len(res.Warnings) != 3 {
		t.Errorf("%+v, %v", res, err)
	}
}
