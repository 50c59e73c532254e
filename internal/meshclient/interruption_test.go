package meshclient_test

import (
	"context"
	"errors"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

func TestCancelBeforeCommit(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	old := sameRecord(t, f).Generation
	arrived, release := f.Node("n2").Hold(mesh.PathPrepare)
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := c.PutPort(ctx, "demo", port(8000), true)
		left <- err
	}()
	<-arrived
	// One that stays is in the same batch or the next, and goes on.
	stayed := make(chan error)
	go func() {
		_, err := c.PutPort(deadline(t), "demo", port(8001), true)
		stayed <- err
	}()
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	release()
	if err := <-stayed; err != nil {
		t.Error(err)
	}
	if r := sameRecord(t, f); len(r.Ports) != 1 || r.Generation != old+1 {
		t.Errorf("the record has %d ports at generation %d", len(r.Ports), r.Generation)
	}
	eventually(t, "the leases are given back", func() bool { return f.Node("n1").Leased()+f.Node("n2").Leased() == "" })
}

func TestCancelWhileCommitting(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	arrived, release := f.Node("n2").Hold(mesh.PathCommit)
	ctx, cancel := context.WithCancel(t.Context())
	outcome := make(chan error)
	go func() {
		_, err := c.PutPort(ctx, "demo", port(8000), true)
		outcome <- err
	}()
	<-arrived
	cancel()
	closed := make(chan error)
	go func() { closed <- c.Close() }()
	eventually(t, "Close turns new changes away", func() bool {
		_, err := c.PutPort(ctx, "demo", port(8001), true)
		return errors.Is(err, meshclient.ErrClosed)
	})
	release()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if len(sameRecord(t, f).Ports) != 1 {
		t.Error("Close did not wait for the commit")
	}
	if err := <-outcome; err != nil {
		t.Errorf("a commit that was carried out is reported as %v", err)
	}
}

func TestConnectionLostDuringCommit(t *testing.T) {
	t.Parallel()
	for name, hosts := range map[string][]string{"one node": {"n1"}, "three nodes": three} {
		for _, after := range []bool{false, true} {
			f, c := cluster(t, hosts)
			f.Node("n1").CutNext(mesh.PathCommit, after)
			must(t)(c.PutPort(deadline(t), "demo", port(8000), true))
			if len(sameRecord(t, f).Ports) != 1 {
				t.Errorf("%s, cut after=%v: the port is missing", name, after)
			}
			want := 2 // the one that was cut before it arrived is sent again
			if after {
				want = 1
			}
			if got := f.Node("n1").Count(mesh.PathCommit); got != want {
				t.Errorf("%s, cut after=%v: %d commits sent, want %d", name, after, got, want)
			}
		}
	}
}

func TestNodeLostDuringCommit(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	cfg := f.ClientConfig()
	cfg.SSH.Timeout = tired
	c := newClient(t, cfg)
	arrived, release := f.Node("n2").Hold(mesh.PathCommit)
	type outcome struct {
		res *meshclient.Result
		err error
	}
	done := make(chan outcome)
	go func() {
		res, err := c.PutPort(deadline(t), "demo", port(8000), true)
		done <- outcome{res, err}
	}()
	<-arrived
	f.Node("n2").DropLease() // and dies before it has seen the commit
	f.Node("n2").SetDown(true)
	release()
	o := <-done
	if o.err != nil || len(o.res.Warnings) != 1 {
		t.Fatalf("%+v, %v", o.res, o.err)
	}
	wantText(t, errors.New(o.res.Warnings[0].Text), "node n2 cannot be reached", "keeps serving generation")
	if f.Node("n3").Record().Ports[mesh.PortKey{Port: 8000, Protocol: mesh.TCP}] == nil {
		t.Error("n3 did not get the change")
	}
}

// All leases gone between prepare and commit, as when the laptop slept.
func TestLeasesRunOut(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, []string{"n1"})
	arrived, release := f.Node("n1").Hold(mesh.PathCommit)
	done := make(chan error)
	go func() {
		_, err := c.PutPort(deadline(t), "demo", port(8000), true)
		done <- err
	}()
	<-arrived
	f.Node("n1").DropLease()
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := f.Node("n1").Count(mesh.PathCommit); got != 2 {
		t.Errorf("%d commits", got)
	}
}

// A caller that leaves a call does not take the connection with it, which
// others use; nor does an agent that is replaced.
func TestConnectionOutlivesItsCallers(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, []string{"n1"})
	n1 := f.Node("n1")
	for range 20 {
		arrived, release := n1.Hold(mesh.PathStatus)
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := c.PutNode(ctx, "demo", n1.MeshNode(), false)
			left <- err
		}()
		<-arrived
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Fatalf("who left got %v", err)
		}
		release()
		n1.SetAgentVersion("another", mesh.APIVersion)
		must(t)(c.PutNode(deadline(t), "demo", n1.MeshNode(), false))
	}
	if got := n1.Connections(); got != 0 {
		t.Errorf("the connection was lost %d times", got)
	}
}

// A record that no voter can write is refused in the voters' words before anything is
// sent; one that some cannot write makes those lag.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	for _, n := range f.All() {
		n.SetDiskFull(true)
	}
	_, err := c.PutPort(deadline(t), "demo", port(8000), true)
	if hosts, ok := errors.AsType[*meshclient.HostsError](err); !ok || len(hosts.Hosts) != 3 {
		t.Fatalf("%+v", err)
	}
	wantText(t, err, "Nothing was changed", "The node could not keep what it promises", "Is its disk full or read-only?")
	if got := f.Node("n1").Count(mesh.PathCommit); got != 0 || f.Node("n1").Leased() != "" {
		t.Errorf("%d commits were sent, n1 is leased to %q", got, f.Node("n1").Leased())
	}
	f.Node("n1").SetDiskFull(false)
	f.Node("n2").SetDiskFull(false)
	res, err := c.PutPort(deadline(t), "demo", port(8000), true)
	if err != nil || len(res.Warnings) != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	wantText(t, errors.New(res.Warnings[0].Text), "node n3 did not take generation", "could not keep what it promises")
	f.Node("n3").SetDiskFull(false)
	must(t)(c.PutPort(deadline(t), "demo", port(8000), false))
	sameRecord(t, f)
}
