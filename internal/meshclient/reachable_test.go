package meshclient_test

import (
	"errors"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

func allOrNothing(t testing.TB, f *meshtest.Fleet, hosts ...string) *meshclient.Client {
	t.Helper()
	cfg := f.ClientConfig(hosts...)
	cfg.SSH.Timeout, cfg.OnUnreachable = tired, meshclient.UnreachableFail
	return newClient(t, cfg)
}

func TestOnUnreachable(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three, "n1")
	must(t)(allOrNothing(t, f, "n1").PutPort(deadline(t), "demo", port(7999), true))
	generation := sameRecord(t, f).Generation
	f.Node("n2").SetAgentVersion("old", mesh.APIVersion)
	f.Node("n3").SetDown(true)
	_, err := allOrNothing(t, f, "n1").PutPort(deadline(t), "demo", port(8000), true)
	if _, ok := errors.AsType[*sshdial.UnreachableError](err); !ok || committed(err) {
		t.Fatalf("%+v", err)
	}
	wantText(t, err, "Nothing was changed", `on_unreachable is "fail"`, "node n3: "+f.Node("n3").Addr()+" cannot be reached")
	if f.Node("n1").Record().Generation != generation || f.Node("n2").CountCommands("install") != 0 {
		t.Error("something was changed")
	}
	// One that is lost between the prepare and the commit's begin.
	f.Node("n3").SetDown(false)
	f.Node("n3").FaultAt(mesh.PathPrepare, 1, meshtest.Stop)
	_, err = allOrNothing(t, f, "n1").PutPort(deadline(t), "demo", port(8000), true)
	wantText(t, err, "node n3: the routingmesh-agent", "is installed and not running")
	if f.TotalRequests(mesh.PathCommit) != 3 || f.Node("n1").Leased()+f.Node("n2").Leased() != "" {
		t.Error("something was committed, or a lease was kept")
	}
	res, err := fresh(t, f, "n1").PutPort(deadline(t), "demo", port(8000), true)
	if err != nil || len(res.Warnings) != 1 {
		t.Errorf("warn: %+v, %v", res, err)
	}
}

func TestOnUnreachableFoundsNothing(t *testing.T) {
	t.Parallel()
	f := meshtest.New(t, three...)
	f.Node("n3").SetDown(true)
	_, err := allOrNothing(t, f).CreateCluster(deadline(t), demo())
	wantText(t, err, "Nothing was changed", `on_unreachable is "fail"`, f.Node("n3").Addr())
	if f.Node("n1").Installed() || f.Node("n2").Installed() {
		t.Error("an agent was installed")
	}
	f.Node("n3").SetDown(false)
	must(t)(allOrNothing(t, f).CreateCluster(deadline(t), demo()))
}

// One that is back since the snapshot was taken is not missed.
func TestOnUnreachableLooksAgain(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	f.Node("n3").SetRunning(false)
	c := allOrNothing(t, f)
	snapshotOf(t, c)
	f.Node("n3").SetRunning(true)
	must(t)(c.PutPort(deadline(t), "demo", port(8000), true))
	sameRecord(t, f)
}

func TestOnUnreachableSettings(t *testing.T) {
	t.Parallel()
	f := meshtest.New(t, "n1")
	cfg := f.ClientConfig()
	cfg.OnUnreachable = "ignore"
	_, err := meshclient.New(cfg)
	if setting, ok := errors.AsType[*sshdial.ConfigError](err); !ok || setting.Attribute != "on_unreachable" {
		t.Errorf("%+v", err)
	}
}

// Two nodes that are gone can both be removed, one after the other or at once,
// also where one is a host of the provider.
func TestOnUnreachableLetsForcedRemovalsThrough(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, []string{"n1", "n2", "n3", "n4", "n5"}, three...)
	f.Node("n3").SetDown(true)
	f.Node("n5").SetDown(true)
	c := allOrNothing(t, f, three...)
	// A change that is in one batch with a removal, or comes between, is refused.
	arrived, release := f.Node("n1").Hold(mesh.PathStatus)
	errs := map[string]chan error{"n3": make(chan error), "port": make(chan error)}
	go func() {
		_, err := c.RemoveNode(deadline(t), "demo", "n3", true)
		errs["n3"] <- err
	}()
	go func() {
		_, err := c.PutPort(deadline(t), "demo", port(8000), true)
		errs["port"] <- err
	}()
	<-arrived
	release()
	wantText(t, <-errs["port"], `on_unreachable is "fail"`, "node n5")
	if err := <-errs["n3"]; err != nil {
		t.Error(err)
	}
	if _, err := c.RemoveNode(deadline(t), "demo", "n5", true); err != nil {
		t.Error(err)
	}
	if r := f.Node("n1").Record(); len(r.Nodes) != 3 || len(r.Ports) != 0 {
		t.Errorf("%d nodes and %d ports are in the record", len(r.Nodes), len(r.Ports))
	}
	// The host that is gone is still one that the provider names.
	_, err := c.PutService(deadline(t), "demo", web("n1", "n2"), false)
	wantText(t, err, "host "+f.Node("n3").Addr())
}
