package meshclient_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
)

// putPorts publishes at the same time and returns the errors by port.
func putPorts(ctx context.Context, c *meshclient.Client, ports ...uint16) map[uint16]error {
	type outcome struct {
		port uint16
		err  error
	}
	results := make(chan outcome)
	for _, p := range ports {
		go func() {
			_, err := c.PutPort(ctx, "demo", port(p), true)
			results <- outcome{p, err}
		}()
	}
	errs := map[uint16]error{}
	for range ports {
		o := <-results
		errs[o.port] = o.err
	}
	return errs
}

func sequence(first uint16, n int) []uint16 {
	var ports []uint16
	for i := range n {
		ports = append(ports, first+uint16(i))
	}
	return ports
}

func TestGroupCommit(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	for p, err := range putPorts(deadline(t), c, sequence(8000, 10)...) {
		if err != nil {
			t.Errorf("%d: %v", p, err)
		}
	}
	if got := len(sameRecord(t, f).Ports); got != 10 {
		t.Errorf("%d ports are in the record, want 10", got)
	}
	for _, n := range f.All() {
		if got := n.Count(mesh.PathCommit); got > 3 {
			t.Errorf("%s: %d commits for 10 ports at once, want at most 3", n.Name, got)
		}
		if n.Connections() != 0 {
			t.Errorf("%s was connected to %d times more", n.Name, n.Connections())
		}
	}
}

func TestProblemFailsItsOperationAlone(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	taken := mesh.PortKey{Port: 8003, Protocol: mesh.TCP}
	f.Node("n2").SetProblems(func(r *mesh.Record) []mesh.Problem {
		if r.Ports[taken] == nil {
			return nil
		}
		return []mesh.Problem{{Object: mesh.PortRef(taken), Attribute: "published_port", Text: "Port 8003/tcp is taken by nginx."}}
	}, nil)
	for p, err := range putPorts(deadline(t), c, sequence(8000, 10)...) {
		if p != taken.Port {
			if err != nil {
				t.Errorf("%d: %v", p, err)
			}
			continue
		}
		problems, ok := errors.AsType[*meshclient.ProblemsError](err)
		if !ok || problems.Committed || len(problems.Problems) != 1 || problems.Problems[0].Node != "n2" {
			t.Fatalf("%d: %+v", p, err)
		}
		wantText(t, err, "Nothing was changed", "node n2: Port 8003/tcp is taken by nginx.")
	}
	if got := sameRecord(t, f).Ports; len(got) != 9 || got[taken] != nil {
		t.Errorf("the record has %d ports", len(got))
	}
}

func TestProblemsAfterCommit(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	broken := mesh.PortRef(mesh.PortKey{Port: 8001, Protocol: mesh.TCP})
	f.Node("n3").SetProblems(nil, func(*mesh.Record) []mesh.Problem {
		return []mesh.Problem{{Object: broken, Text: "The kernel refused the IPVS service."}}
	})
	ctx := deadline(t)
	res, err := c.PutPort(ctx, "demo", port(8001), true)
	problems, ok := errors.AsType[*meshclient.ProblemsError](err)
	if !ok || !problems.Committed || res == nil || res.Port.Published != 8001 {
		t.Fatalf("%+v, %v", res, err)
	}
	// Another change is not to blame, and hears of it.
	res, err = c.PutPort(ctx, "demo", port(8002), true)
	if err != nil || len(res.Warnings) != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	wantText(t, errors.New(res.Warnings[0].Text), "node n3", "port/8001/tcp", "The kernel refused")
	sameRecord(t, f)
}

func TestCreateWhatExists(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	ctx := deadline(t)
	must(t)(c.PutPort(ctx, "demo", port(8080), true))
	for what, create := range map[string]func() (*meshclient.Result, error){
		"demo/web/8080/tcp": func() (*meshclient.Result, error) { return c.PutPort(ctx, "demo", port(8080), true) },
		"demo/web":          func() (*meshclient.Result, error) { return c.PutService(ctx, "demo", web("n1"), true) },
		"demo/n1":           func() (*meshclient.Result, error) { return c.PutNode(ctx, "demo", f.Node("n1").MeshNode(), true) },
	} {
		_, err := create()
		if _, ok := errors.AsType[*mesh.Error](err); !ok {
			t.Errorf("%s: %v", what, err)
		}
		wantText(t, err, "already", what)
	}
	must(t)(c.PutPort(ctx, "demo", port(8080), false))
	_, err := c.PutPort(ctx, "other", port(8081), true)
	wantText(t, err, `belong to the cluster "demo", not to "other"`)
}

func TestNoChangeNoCommit(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	ctx := deadline(t)
	must(t)(c.PutService(ctx, "demo", web("n1"), false))
	must(t)(c.RemovePort(ctx, "demo", "web", mesh.PortKey{Port: 9, Protocol: mesh.TCP}))
	must(t)(c.RemoveService(ctx, "demo", "none"))
	must(t)(c.RemoveNode(ctx, "demo", "none", false))
	if got := f.TotalRequests(mesh.PathPrepare); got != 0 {
		t.Errorf("%d prepares for changes of nothing", got)
	}
}

func TestTwoWriters(t *testing.T) {
	t.Parallel()
	f, a := cluster(t, three)
	b := newClient(t, f.ClientConfig())
	ctx := deadline(t)
	if _, err := b.Snapshot(ctx); err != nil { // b now knows an old generation
		t.Fatal(err)
	}
	must(t)(a.PutPort(ctx, "demo", port(7000), true))
	must(t)(b.PutPort(ctx, "demo", port(7001), true))
	errs := make(chan error)
	for i := range 20 {
		c := []*meshclient.Client{a, b}[i%2]
		go func() {
			_, err := c.PutPort(ctx, "demo", port(uint16(8000+i)), true)
			errs <- err
		}()
	}
	for range 20 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := len(sameRecord(t, f).Ports); got != 22 {
		t.Errorf("the record has %d ports, want 22: a writer's change was lost", got)
	}
	for _, n := range f.All() {
		if who := n.Leased(); who != "" {
			t.Errorf("%s is still leased to %s", n.Name, who)
		}
	}
}

func TestBusy(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	f.Node("n2").HoldLease("someone", 300*time.Millisecond)
	must(t)(c.PutPort(deadline(t), "demo", port(8000), true))
	sameRecord(t, f)

	for _, n := range f.All() {
		n.HoldLease("someone", time.Hour)
	}
	ctx, cancel := context.WithTimeout(t.Context(), tired)
	defer cancel()
	_, err := c.PutPort(ctx, "demo", port(8001), true)
	if _, ok := errors.AsType[*meshclient.BusyError](err); !ok || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if len(sameRecord(t, f).Ports) != 1 {
		t.Error("the record was changed without the lease")
	}
}

func TestUnreachableNodeLags(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three, "n1")
	f.Node("n3").SetDown(true)
	cfg := f.ClientConfig("n1")
	cfg.SSH.Timeout = tired
	c := newClient(t, cfg)
	ctx := deadline(t)
	old := f.Node("n3").Record().Generation
	res, err := c.PutPort(ctx, "demo", port(8000), true)
	if err != nil || len(res.Warnings) != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	wantText(t, errors.New(res.Warnings[0].Text), "node n3 cannot be reached", "catches up with the next apply")
	if f.Node("n2").Record().Generation != old+1 {
		t.Error("n2 did not get the change")
	}
	f.Node("n3").SetDown(false)
	must(t)(c.PutPort(ctx, "demo", port(8001), true))
	if got := len(sameRecord(t, f).Ports); got != 2 {
		t.Errorf("n3 has %d ports after it came back", got)
	}
}

func TestMajority(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	cfg := f.ClientConfig()
	cfg.SSH.Timeout = tired
	c := newClient(t, cfg)
	f.Node("n1").SetDown(true)
	f.Node("n2").SetDown(true)
	_, err := c.PutPort(deadline(t), "demo", port(8000), true)
	hosts, ok := errors.AsType[*meshclient.HostsError](err)
	if !ok || len(hosts.Hosts) != 2 {
		t.Fatalf("got %v", err)
	}
	wantText(t, err, "Nothing was changed", "more than half of its 3 voters", f.Node("n1").Addr())
	if f.Node("n3").Count(mesh.PathCommit) != 0 || f.Node("n3").Leased() != "" {
		t.Error("n3 was changed, or is still leased")
	}
	// A voter without an agent counts against, and two are enough.
	f.Node("n1").SetDown(false)
	f.Node("n1").SetInstalled(false)
	f.Node("n2").SetDown(false)
	res, err := c.PutPort(deadline(t), "demo", port(8000), true)
	if err != nil || len(res.Warnings) != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	wantText(t, errors.New(res.Warnings[0].Text), "node n1 has no agent any more")
}

func TestFork(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	other := f.Node("n3").Record().Clone()
	other.Cluster.MTU = 1300
	f.Node("n3").SetRecord(other, "n3")
	c := newClient(t, f.ClientConfig())
	ctx := deadline(t)
	snap, err := c.Snapshot(ctx)
	if err != nil || len(snap.Warnings) != 1 {
		t.Fatalf("%+v, %v", snap, err)
	}
	wantText(t, errors.New(snap.Warnings[0]), "node n3", "the next apply replaces it", fmt.Sprintf("generation %d", other.Generation))
	if snap.Record.Hash() != f.Node("n1").Record().Hash() {
		t.Error("the minority's record was taken")
	}
	if _, err := c.PutPort(ctx, "demo", port(8000), true); err != nil {
		t.Fatal(err)
	}
	must(t)(c.PutPort(ctx, "demo", port(8001), true))
	sameRecord(t, f)
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	f.Node("n2").SetAgentVersion("an older version", mesh.APIVersion)
	f.Node("n3").SetAgentVersion("an ancient version", mesh.APIVersion-1)
	c := newClient(t, f.ClientConfig())
	ctx := deadline(t)
	snap, err := c.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := errors.AsType[*agentapi.VersionError](snap.Nodes["n3"].Err); !ok || f.Node("n2").CountCommands(" install") != 0 {
		t.Fatalf("a read changed a host, or took an unknown API: %v", snap.Nodes["n3"].Err)
	}
	must(t)(c.PutPort(ctx, "demo", port(8000), true))
	if got := []int{f.Node("n1").CountCommands(" install"), f.Node("n2").CountCommands(" install")}; !slices.Equal(got, []int{0, 1}) {
		t.Errorf("installs on n1 and n2: %v", got)
	}
	if len(sameRecord(t, f).Ports) != 1 {
		t.Error("the port is not in the record")
	}
}

// A newer agent than the provider's is used as it is; an older one is replaced.
func TestUpgrade_NeverDown(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	f.Node("n1").SetAgentVersion("99.0.0", mesh.APIVersion)
	f.Node("n2").SetAgentVersion("1.9.9", mesh.APIVersion)
	cfg := f.ClientConfig()
	cfg.Version = "2.0.0"
	c := newClient(t, cfg)
	must(t)(c.PutPort(deadline(t), "demo", port(8000), true))
	must(t)(c.PutNode(deadline(t), "demo", f.Node("n1").MeshNode(), false))
	if got := []int{f.Node("n1").CountCommands(" install"), f.Node("n2").CountCommands(" install")}; !slices.Equal(got, []int{0, 1}) {
		t.Errorf("installs on n1 and n2: %v", got)
	}
}
