package meshclient_test

import (
	"context"
	"net/netip"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

var key8080 = mesh.PortKey{Port: 8080, Protocol: mesh.TCP}

// slow is web with a minute for what drains.
func slow(endpoints ...string) mesh.Service {
	s := web(endpoints...)
	s.DrainSeconds = 60
	return s
}

// serving is a cluster of three nodes with the port 8080, which leads to n1 and n2.
func serving(t testing.TB) (*meshtest.Fleet, *meshclient.Client) {
	t.Helper()
	f, c := cluster(t, three)
	must(t)(c.PutService(deadline(t), "demo", slow("n1", "n2"), false))
	must(t)(c.PutPort(deadline(t), "demo", port(8080), true))
	f.ResetRequests()
	return f, c
}

// drainsOf has n connections for a minute to endpoints of port 8080.
func drainsOf(f *meshtest.Fleet, n uint32, endpoints ...string) mesh.Drains {
	var d mesh.Drains
	for _, e := range endpoints {
		d.Drains = append(d.Drains, meshtest.DrainOf(f.Node("n1").Record(), key8080, e, n, 60_000))
	}
	return d
}

// change is an operation that is waited for.
type change struct {
	done   chan struct{}
	result *meshclient.Result
	err    error
}

func begin(f func() (*meshclient.Result, error)) *change {
	c := &change{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.result, c.err = f()
	}()
	return c
}

func (c *change) over() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func TestChangesWaitForWhatTheyDrain(t *testing.T) {
	t.Parallel()
	other := port(8080)
	other.Target = 81
	for name, act := range map[string]func(context.Context, *meshtest.Fleet, *meshclient.Client) (*meshclient.Result, error){
		"an endpoint is removed": func(ctx context.Context, _ *meshtest.Fleet, c *meshclient.Client) (*meshclient.Result, error) {
			return c.PutService(ctx, "demo", slow("n1"), false)
		},
		"its node drains": func(ctx context.Context, f *meshtest.Fleet, c *meshclient.Client) (*meshclient.Result, error) {
			n := f.Node("n2").MeshNode()
			n.Availability = mesh.AvailabilityDrain
			return c.PutNode(ctx, "demo", n, false)
		},
		"its port is another": func(ctx context.Context, _ *meshtest.Fleet, c *meshclient.Client) (*meshclient.Result, error) {
			return c.PutPort(ctx, "demo", other, false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, c := serving(t)
			n1, n3 := f.Node("n1"), f.Node("n3")
			n1.SetDrains(drainsOf(f, 3, "on-n2"), 0)
			n3.SetDrains(drainsOf(f, 1, "on-n2"), 0)
			it := begin(func() (*meshclient.Result, error) { return act(deadline(t), f, c) })
			eventually(t, "a look at the drains", func() bool { return n1.Count(mesh.PathDrains) > 1 && n3.Count(mesh.PathDrains) > 1 })
			// Others go on meanwhile: there is no lease, and nobody's turn is taken.
			must(t)(c.PutPort(deadline(t), "demo", port(9090), true))
			n3.SetDrains(mesh.Drains{}, 0)
			if n := f.Node("n2").Count(mesh.PathDrains); n != 0 || n1.Leased() != "" || it.over() {
				t.Errorf("n2, which drains nothing, was asked %d times; lease %q; over %v", n, n1.Leased(), it.over())
			}
			n1.SetDrains(mesh.Drains{}, 0)
			<-it.done
			must(t)(it.result, it.err)
		})
	}
}

// TestDrainsOfOthers: what an earlier change drains is not this one's to wait for.
func TestDrainsOfOthers(t *testing.T) {
	t.Parallel()
	f, c := serving(t)
	gone := drainsOf(f, 3, "on-n1", "on-n2")
	gone.Drains[0].Endpoint = "before"                                               // where an endpoint of today is
	gone.Drains[1].Address = netip.AddrPortFrom(gone.Drains[1].Address.Addr(), 1111) // of the endpoint, and of a target port of before
	f.Node("n1").SetDrains(gone, 0)
	must(t)(c.PutService(deadline(t), "demo", slow("n1"), false))
	if n := f.Node("n1").Count(mesh.PathDrains); n != 1 {
		t.Errorf("n1 was asked %d times, want once", n)
	}
	// What takes nothing out asks nobody.
	must(t)(c.PutService(deadline(t), "demo", slow("n1", "n3"), false))
	must(t)(c.PutPort(deadline(t), "demo", port(9090), true))
	must(t)(c.PutNode(deadline(t), "demo", f.Node("n2").MeshNode(), false))
	if n := f.Node("n1").Count(mesh.PathDrains); n != 1 {
		t.Errorf("n1 was asked %d times, want no more", n)
	}
}

// TestInterruptedDrain: the change is done, and a warning says until when its
// process is needed.
func TestInterruptedDrain(t *testing.T) {
	t.Parallel()
	f, c := serving(t)
	n1 := f.Node("n1")
	d := drainsOf(f, 3, "on-n2", "on-n2")
	d.Drains[1].Port.Port, d.Drains[1].Active = 8080, 4
	n1.SetDrains(d, 0)
	ctx, cancel := context.WithCancel(deadline(t))
	it := begin(func() (*meshclient.Result, error) { return c.PutService(ctx, "demo", slow("n1"), false) })
	eventually(t, "a look at the drains", func() bool { return n1.Count(mesh.PathDrains) > 0 })
	cancel()
	<-it.done
	if it.err != nil {
		t.Fatal(it.err)
	}
	wantWarning(t, it.result, "7 connections of endpoint on-n2 of service web (node n2): still open, and given until ",
		"The change is done. ", "Do not stop the process before.")

	// Who leaves before the first look hears of it all the same.
	f, c = serving(t)
	n1 = f.Node("n1")
	n1.SetDrains(drainsOf(f, 1, "on-n2"), 0)
	arrived, release := n1.Hold(mesh.PathCommit)
	ctx, cancel = context.WithCancel(deadline(t))
	it = begin(func() (*meshclient.Result, error) { return c.PutService(ctx, "demo", slow("n1"), false) })
	<-arrived
	cancel()
	release()
	<-it.done
	wantWarning(t, it.result, "1 connection of endpoint on-n2")
}

// TestLostAnswerOfACommitThatDrains: the node is asked, for its answer would
// have said whether it drains something.
func TestLostAnswerOfACommitThatDrains(t *testing.T) {
	t.Parallel()
	f, c := serving(t)
	n1 := f.Node("n1")
	n1.SetDrains(drainsOf(f, 3, "on-n2"), 2)
	n1.CutNext(mesh.PathCommit, true)
	must(t)(c.PutService(deadline(t), "demo", slow("n1"), false))
	if n := n1.Count(mesh.PathDrains); n != 3 {
		t.Errorf("n1 was asked %d times, want 3", n)
	}
}
