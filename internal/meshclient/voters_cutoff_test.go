package meshclient_test

import (
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// A change of the voters is cut off: its first commit reaches n1 and the new n4 only. The
// others go on with the old voters, and a client that begins at the new ones must see it.
func TestVoters_CutOffFirstCommit_OthersGoOn(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, []string{"n1", "n2", "n3", "n4"}, three...)
	for _, name := range []string{"n2", "n3"} {
		f.Node(name).FaultAt(mesh.PathCommit, 1, meshtest.FullDisk)
	}
	if _, err := impatiently(t, f, "n1", "n2", "n4").UpdateCluster(deadline(t), demo()); err == nil {
		t.Fatal("one voter of three is taken for a majority")
	}
	for _, n := range f.All() {
		n.Heal()
	}
	f.Node("n1").SetDown(true)
	f.Node("n4").SetDown(true)
	if _, err := impatiently(t, f).PutPort(deadline(t), "demo", port(8000), true); err != nil {
		t.Fatal(err)
	}
	f.Node("n1").SetDown(false)
	f.Node("n4").SetDown(false)
	keepsPort(t, f, "n1", "n2", "n4")
}

// The second commit of a change of the voters is cut off: it reaches n1 and the new n4 only.
// These two go on alone, and a client that begins at the old voters must see it.
func TestVoters_CutOffSecondCommit_NewOnesGoOn(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, []string{"n1", "n2", "n3", "n4"}, three...)
	for _, name := range []string{"n2", "n3"} {
		f.Node(name).FaultAt(mesh.PathCommit, 2, meshtest.FullDisk)
	}
	if _, err := impatiently(t, f, "n1", "n2", "n4").UpdateCluster(deadline(t), demo()); err == nil {
		t.Fatal("one of the voters before is taken for a majority")
	}
	for _, n := range f.All() {
		n.Heal()
	}
	f.Node("n2").SetDown(true)
	f.Node("n3").SetDown(true)
	if _, err := impatiently(t, f, "n1", "n4").PutPort(deadline(t), "demo", port(8000), true); err != nil {
		t.Fatal(err)
	}
	f.Node("n2").SetDown(false)
	f.Node("n3").SetDown(false)
	keepsPort(t, f, three...)
}

// keepsPort says that the acknowledged port 8000 is there for a client with these hosts,
// and after its next commit.
func keepsPort(t *testing.T, f *meshtest.Fleet, hosts ...string) {
	t.Helper()
	c := newClient(t, f.ClientConfig(hosts...))
	if snap := snapshotOf(t, c); snap.Record.Ports[key(8000)] == nil {
		t.Errorf("generation %d is read, without the port; warnings: %q", snap.Record.Generation, snap.Warnings)
	}
	if _, err := c.PutPort(deadline(t), "demo", port(8001), true); err != nil {
		t.Fatal(err)
	}
	if r := sameRecord(t, f); r.Ports[key(8000)] == nil {
		t.Errorf("the next commit (generation %d) has removed the port everywhere", r.Generation)
	}
}
