package meshclient_test

import (
	"errors"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

func TestLifecycle(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	ctx := deadline(t)
	res := must(t)(c.PutPort(ctx, "demo", port(8080), true))
	if res.Port == nil || res.Port.Published != 8080 {
		t.Errorf("published %+v", res.Port)
	}
	res = must(t)(c.PutPort(ctx, "demo", port(0), true))
	if res.Port.Published != mesh.DefaultPortRange.First {
		t.Errorf("allocated %d, want the first of the range", res.Port.Published)
	}
	r := sameRecord(t, f)
	if len(r.Nodes) != 3 || len(r.Ports) != 2 {
		t.Fatalf("the record has %d nodes and %d ports", len(r.Nodes), len(r.Ports))
	}
	for _, n := range f.All() {
		if got := r.Nodes[n.Name]; got.SSH.HostKey != n.HostKey || got.UnderlayMTU != 1500 {
			t.Errorf("%s joined with host key %q and MTU %d", n.Name, got.SSH.HostKey, got.UnderlayMTU)
		}
		if n.Connections() > 1 {
			t.Errorf("%s was connected to %d times", n.Name, n.Connections())
		}
		if n.MaxSessions() > 3 {
			t.Errorf("%s had %d SSH sessions at once", n.Name, n.MaxSessions())
		}
	}
	for _, p := range r.ServicePorts("web") {
		must(t)(c.RemovePort(ctx, "demo", "web", p.Key()))
	}
	must(t)(c.RemoveService(ctx, "demo", "web"))
	for _, name := range three {
		must(t)(c.RemoveNode(ctx, "demo", name, false))
	}
	if _, err := c.DestroyCluster(ctx, "demo", false); err != nil {
		t.Fatal(err)
	}
	for _, n := range f.All() {
		if n.Installed() {
			t.Errorf("%s still has the agent", n.Name)
		}
		if leased := n.Leased(); leased != "" {
			t.Errorf("%s is leased to %s", n.Name, leased)
		}
	}
	snap, err := c.Snapshot(ctx)
	if err != nil || snap.Record != nil {
		t.Errorf("after the destroy: %+v, %v", snap, err)
	}
}

// Terraform removes the nodes at the same time; whoever is last keeps the
// record until the cluster goes.
func TestTeardownAtOnce(t *testing.T) {
	t.Parallel()
	for _, hosts := range [][]string{{"n1"}, {"n1", "n2"}, three} {
		f, c := cluster(t, three, hosts...)
		ctx := deadline(t)
		must(t)(c.RemoveService(ctx, "demo", "web"))
		errs := make(chan error)
		for _, name := range three {
			go func() {
				res, err := c.RemoveNode(ctx, "demo", name, false)
				if err == nil && len(res.Warnings) > 0 {
					err = errors.New(res.Warnings[0].Text)
				}
				errs <- err
			}()
		}
		for range three {
			if err := <-errs; err != nil {
				t.Errorf("hosts %v: %v", hosts, err)
			}
		}
		keepers := 0
		for _, n := range f.All() {
			if n.Installed() {
				keepers++
			}
		}
		if keepers != 1 {
			t.Errorf("hosts %v: %d hosts keep the record, want 1", hosts, keepers)
		}
		if _, err := c.DestroyCluster(ctx, "demo", false); err != nil {
			t.Errorf("hosts %v: %v", hosts, err)
		}
		for _, n := range f.All() {
			if n.Installed() {
				t.Errorf("hosts %v: %s still has the agent", hosts, n.Name)
			}
		}
	}
}

func TestCreateClusterNeedsMajority(t *testing.T) {
	t.Parallel()
	f := meshtest.New(t, three...)
	cfg := f.ClientConfig()
	cfg.SSH.Timeout = tired
	f.Node("n1").SetDown(true)
	f.Node("n2").SetDown(true)
	_, err := newClient(t, cfg).CreateCluster(deadline(t), demo())
	if _, ok := errors.AsType[*meshclient.HostsError](err); !ok {
		t.Fatalf("two of three down: %v", err)
	}
	f.Node("n2").SetDown(false)
	res, err := newClient(t, cfg).CreateCluster(deadline(t), demo())
	if err != nil || len(res.Warnings) != 1 {
		t.Fatalf("one of three down: %+v, %v", res, err)
	}
	if f.Node("n2").Record() == nil || f.Node("n3").Record() == nil {
		t.Error("the hosts that answer have no record")
	}
}

func TestCreateClusterOnForeignHost(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, []string{"n1"})
	f.Add("n2")
	c := newClient(t, f.ClientConfig("n2", "n1"))
	_, err := c.CreateCluster(deadline(t), demo())
	foreign, ok := errors.AsType[*meshclient.ForeignError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	if foreign.Host != f.Node("n1").Addr() || foreign.Cluster != "demo" {
		t.Errorf("%+v", foreign)
	}
	wantText(t, err, "already belongs to cluster demo", f.Node("n1").Record().UID, "import", "routingmesh-agent uninstall")
}

func TestDestroyClusterRefusesWhileInUse(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	_, err := c.DestroyCluster(deadline(t), "demo", false)
	wantText(t, err, "still has 3 nodes, 1 service and 0 networks")
	if f.Node("n1").CountCommands("uninstall") != 0 {
		t.Error("something was uninstalled")
	}
	if _, err := c.DestroyCluster(deadline(t), "other", false); err != nil {
		t.Errorf("a cluster that is not here: %v", err)
	}
	sameRecord(t, f)
}
