package meshclient_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

// writer is a Terraform state: a service and its ports, all made at once,
// changed at once, and half of them removed.
type writer struct {
	service string
	first   uint16
	client  *meshclient.Client
}

const portsPerWriter = 10

func (w writer) port(i, target uint16) mesh.PublishedPort {
	return mesh.PublishedPort{Service: w.service, Published: w.first + i, Target: target, Protocol: mesh.TCP, Mode: mesh.Ingress}
}

func (w writer) run(t testing.TB) error {
	ctx := deadline(t)
	s := mesh.Service{Name: w.service, Endpoints: map[string]mesh.Endpoint{"one": {Node: "n1"}}}
	if _, err := w.client.PutService(ctx, "demo", s, true); err != nil {
		return err
	}
	for _, step := range []func(i uint16) error{
		func(i uint16) error { return outcome(w.client.PutPort(ctx, "demo", w.port(i, 80), true)) },
		func(i uint16) error { return outcome(w.client.PutPort(ctx, "demo", w.port(i, 81), false)) },
		func(i uint16) error {
			if i%2 == 0 {
				return nil
			}
			return outcome(w.client.RemovePort(ctx, "demo", w.service, mesh.PortKey{Port: w.first + i, Protocol: mesh.TCP}))
		},
	} {
		var g errgroup.Group
		for i := range uint16(portsPerWriter) {
			g.Go(func() error { return step(i) })
		}
		if err := g.Wait(); err != nil {
			return fmt.Errorf("%s: %w", w.service, err)
		}
	}
	return nil
}

// Two states of one cluster, and a third that joins and removes nodes, while a
// writer that died holds the lease.
func TestStatesShareACluster(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	n4 := f.Add("n4").MeshNode()
	for _, n := range f.All()[:3] {
		n.HoldLease("a writer that has died", 300*time.Millisecond)
	}
	writers := []writer{{"one", 7000, newClient(t, f.ClientConfig())}, {"two", 7100, newClient(t, f.ClientConfig("n2", "n1", "n3"))}}
	var g errgroup.Group
	for _, w := range writers {
		g.Go(func() error { return w.run(t) })
	}
	g.Go(func() error {
		for range 3 {
			if err := outcome(c.PutNode(deadline(t), "demo", n4, true)); err != nil {
				return err
			}
			if err := outcome(c.RemoveNode(deadline(t), "demo", "n4", false)); err != nil {
				return err
			}
		}
		return outcome(c.PutNode(deadline(t), "demo", n4, true))
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	r := sameRecord(t, f)
	if len(r.Nodes) != 4 || len(r.Services) != 3 || len(r.Ports) != len(writers)*portsPerWriter/2 {
		t.Errorf("%d nodes, %d services and %d ports are left", len(r.Nodes), len(r.Services), len(r.Ports))
	}
	for _, w := range writers {
		for _, p := range r.ServicePorts(w.service) {
			if p.Target != 81 || p.Published%2 != 0 {
				t.Errorf("%s has %+v", w.service, p)
			}
		}
		wantDrift(t, snapshotOf(t, w.client), nil)
	}
	if i := slices.IndexFunc(three, func(name string) bool { return f.Node(name).Leased() != "" }); i >= 0 {
		t.Errorf("%s is still leased", three[i])
	}
}

// An sshd that has dropped the connections while nobody used them (its
// ClientAliveInterval, a firewall, its restart) is connected to again, whatever
// the first call is.
func TestDroppedConnectionsAreMadeAnew(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	for i := range uint16(20) {
		snapshotOf(t, c)
		for _, n := range f.All() {
			n.Cut()
		}
		must(t)(c.PutPort(deadline(t), "demo", port(8000+i), true))
	}
	if got := f.Node("n2").Connections(); got != 20 || len(sameRecord(t, f).Ports) != 20 {
		t.Errorf("%d connections for 20 changes", got)
	}
}
