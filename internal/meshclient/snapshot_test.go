package meshclient_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

func TestSnapshotAsksEveryNodeOnce(t *testing.T) {
	t.Parallel()
	for _, hosts := range [][]string{{"n1"}, {"n1", "n2"}, three} {
		f, _ := cluster(t, three)
		c := newClient(t, f.ClientConfig(hosts...))
		ctx := deadline(t)
		if c.LastSnapshot() != nil || f.TotalConnections() != 0 {
			t.Error("something was asked before anyone wanted to know")
		}
		start, errs := time.Now(), make(chan error)
		for range 500 {
			go func() {
				_, err := c.Snapshot(ctx)
				errs <- err
			}()
		}
		for range 500 {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("hosts %v: 500 callers in %s", hosts, time.Since(start).Round(time.Millisecond))
		if calls, logins := f.TotalRequests(mesh.PathStatus), f.TotalConnections(); calls != 3 || logins != 3 {
			t.Errorf("hosts %v: %d status calls over %d connections, want 3 over 3", hosts, calls, logins)
		}
		for _, n := range f.All()[len(hosts):] {
			if got := n.Requests()[0].Query; got != "known="+n.Record().Hash() {
				t.Errorf("%s was asked %q, and sends a record that is known", n.Name, got)
			}
		}
		snap := c.LastSnapshot()
		if len(snap.Nodes) != 3 || len(snap.Hosts) != len(hosts) {
			t.Errorf("hosts %v: the snapshot has %d nodes, %d hosts", hosts, len(snap.Nodes), len(snap.Hosts))
		}
		for name, v := range snap.Nodes {
			if v.Err != nil || v.Status.Node != name {
				t.Errorf("%s: %+v", name, v)
			}
		}
	}
}

// More logins at once than sshd's MaxStartups would lose some behind a bastion.
func TestLoginsAreBounded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		bastion     bool
		least, most int
	}{
		// The server sees a login end a little after the client, which has begun the
		// next one by then.
		"through a bastion": {true, 2, 12},
		"directly":          {false, 10, 24},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := loginsAtOnce(t, tt.bastion)
			if got < tt.least || got > tt.most {
				t.Errorf("%d of 24 logins at once, want %d–%d", got, tt.least, tt.most)
			}
		})
	}
}

// loginsAtOnce is how many of 24 hosts are logged in to at the same time.
func loginsAtOnce(t *testing.T, bastion bool) int {
	t.Helper()
	f, _ := cluster(t, []string{"n1"})
	next := f.Node("n1").Record().Next()
	for i := range 23 {
		n := f.Add(fmt.Sprintf("more-%d", i)).MeshNode()
		if err := next.PutNode(&n); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range f.All() {
		n.SetRecord(next, n.Name)
	}
	cfg := f.ClientConfig("n1")
	if bastion {
		gate := f.Add("gate")
		cfg.SSH.Bastion = sshdial.BastionConfig{Host: "127.0.0.1", Port: gate.Port(), User: "jump", HostKey: gate.HostKey}
	}
	snap, err := newClient(t, cfg).Snapshot(deadline(t))
	if err != nil || len(snap.Nodes) != 24 {
		t.Fatalf("%+v, %v", snap, err)
	}
	for name, v := range snap.Nodes {
		if v.Err != nil {
			t.Errorf("%s: %v", name, v.Err)
		}
	}
	return f.MaxLogins()
}

// Many states and aliases log in to the same hosts at the same moment, each from
// a process of its own: whom sshd turns away comes again.
func TestManyClientsAtOnce(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	ctx, errs := deadline(t), make(chan error)
	const clients = 40
	for range clients {
		c := newClient(t, f.ClientConfig())
		go func() {
			snap, err := c.Snapshot(ctx)
			for _, name := range three {
				if err == nil {
					err = snap.Nodes[name].Err
				}
			}
			errs <- err
		}()
	}
	for range clients {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestSnapshotOutcomes(t *testing.T) {
	t.Parallel()
	f := meshtest.New(t, three...)
	cfg := f.ClientConfig()
	cfg.SSH.Timeout = tired
	c := newClient(t, cfg)
	ctx := deadline(t)
	snap, err := c.Snapshot(ctx)
	if err != nil || snap.Record != nil {
		t.Fatalf("bare hosts: %+v, %v", snap, err)
	}
	for entry, v := range snap.Hosts {
		if _, ok := errors.AsType[*agentapi.NoAgentError](v.Err); !ok || v.Address != entry {
			t.Errorf("%s: %+v", entry, v)
		}
	}
	// One that is silent may have the record that the others lack.
	f.Node("n2").SetDown(true)
	c = newClient(t, cfg)
	_, err = c.Snapshot(ctx)
	hosts, ok := errors.AsType[*meshclient.HostsError](err)
	if !ok || len(hosts.Hosts) != 1 {
		t.Fatalf("one down: %v", err)
	}
	wantText(t, err, "may have one", f.Node("n2").Addr())
	// Errors are not kept.
	f.Node("n2").SetDown(false)
	if _, err := c.Snapshot(ctx); err != nil {
		t.Errorf("back again: %v", err)
	}
}

func TestSnapshotOfUnreachableNode(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three, "n1")
	f.Node("n2").SetDown(true)
	f.Node("n3").SetInstalled(false)
	cfg := f.ClientConfig("n1")
	cfg.SSH.Timeout = tired
	snap, err := newClient(t, cfg).Snapshot(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	unreachable, ok := errors.AsType[*sshdial.UnreachableError](snap.Nodes["n2"].Err)
	if !ok || unreachable.Host != "n2" || unreachable.Address != f.Node("n2").Addr() || unreachable.Attempts < 2 {
		t.Errorf("n2: %+v", snap.Nodes["n2"].Err)
	}
	if _, ok := errors.AsType[*agentapi.NoAgentError](snap.Nodes["n3"].Err); !ok {
		t.Errorf("n3: %v", snap.Nodes["n3"].Err)
	}
}

func TestSnapshotOfForeignHost(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	other, err := mesh.NewRecord("another-uid", demo())
	if err != nil {
		t.Fatal(err)
	}
	other.Cluster.Name = "other"
	f.Node("n3").SetRecord(other.Next(), "")
	c := newClient(t, f.ClientConfig())
	snap, err := c.Snapshot(deadline(t))
	if err != nil || snap.Record.Cluster.Name != "demo" {
		t.Fatalf("%+v, %v", snap, err)
	}
	foreign, ok := errors.AsType[*meshclient.ForeignError](snap.Hosts[f.Node("n3").Addr()].Err)
	if !ok || foreign.Cluster != "other" || snap.Nodes["n3"].Err == nil {
		t.Errorf("n3: %+v", snap.Nodes["n3"])
	}
	res, err := c.PutPort(deadline(t), "demo", port(8000), true)
	if err != nil || len(res.Warnings) != 1 || f.Node("n3").Record().UID != "another-uid" {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestCommitDropsSnapshot(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	ctx := deadline(t)
	before, err := c.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	must(t)(c.PutPort(ctx, "demo", port(8000), true))
	if c.LastSnapshot() != nil {
		t.Error("the snapshot outlived a commit")
	}
	after, err := c.Snapshot(ctx)
	if err != nil || after.Record.Generation != before.Record.Generation+1 {
		t.Errorf("%+v, %v", after, err)
	}
	if f.TotalConnections() != 0 {
		t.Error("the connections were not kept")
	}
}

func TestSnapshotReconnects(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	f.Node("n2").CutNext(mesh.PathStatus, true)
	snap, err := c.Snapshot(deadline(t))
	if err != nil || snap.Nodes["n2"].Err != nil {
		t.Fatalf("%+v, %v", snap, err)
	}
	if got := f.Node("n2").Connections(); got != 1 {
		t.Errorf("%d new connections after one was cut", got)
	}
}

func TestSnapshotCallerLeaves(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	arrived, release := f.Node("n1").Hold(mesh.PathStatus)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := c.Snapshot(ctx)
		first <- err
	}()
	<-arrived
	second := make(chan error)
	go func() {
		_, err := c.Snapshot(deadline(t))
		second <- err
	}()
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	release()
	if err := <-second; err != nil {
		t.Errorf("who stayed got %v", err)
	}
	if got := f.TotalRequests(mesh.PathStatus); got > 6 {
		t.Errorf("%d status calls", got)
	}
}
