package meshclient_test

import (
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// What a login prints before our command runs is passed over, at every step.
func TestLogin_Prints_IsPassedOver(t *testing.T) {
	t.Parallel()
	for name, prints := range map[string]string{
		"a line": "Welcome to n1\n", "no end of line": "Welcome: ", "HTTP": "HTTP/1.1 500 Oh\r\n\r\n", "much": strings.Repeat("motd ", 40_000) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := meshtest.New(t, "n1")
			n := f.Node("n1")
			n.SetLogin(meshtest.Login{Prints: prints})
			c := newClient(t, f.ClientConfig())
			must(t)(c.CreateCluster(deadline(t), demo()))
			must(t)(c.PutNode(deadline(t), "demo", n.MeshNode(), true))
			if n.Record() == nil || len(n.Record().Nodes) != 1 {
				t.Errorf("the node has the record %+v", n.Record())
			}
		})
	}
}

// sshd's MaxSessions may be as low as 1: the whole life of a node goes through,
// with no more sessions at once, and changes at the same time.
func TestMaxSessions_WholeLife(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 2} {
		f := meshtest.New(t, three...)
		for _, n := range f.All() {
			n.SetLogin(meshtest.Login{MaxSessions: limit})
		}
		c := newClient(t, f.ClientConfig())
		ctx := deadline(t)
		must(t)(c.CreateCluster(ctx, demo()))
		var g errgroup.Group
		for _, n := range f.All() {
			g.Go(func() error { _, err := c.PutNode(ctx, "demo", n.MeshNode(), true); return err })
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		must(t)(c.PutService(ctx, "demo", web("n1"), true))
		for i := range uint16(4) {
			g.Go(func() error { _, err := c.PutPort(ctx, "demo", port(8000+i), true); return err })
			g.Go(func() error { c.DropSnapshot(); _, err := c.Snapshot(ctx); return err })
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		for i := range uint16(4) {
			must(t)(c.RemovePort(ctx, "demo", "web", portKey(8000+i)))
		}
		must(t)(c.RemoveService(ctx, "demo", "web"))
		for _, name := range three {
			g.Go(func() error { _, err := c.RemoveNode(ctx, "demo", name, false); return err })
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.DestroyCluster(ctx, "demo", false); err != nil {
			t.Fatal(err)
		}
		for _, n := range f.All() {
			if n.Installed() || n.Connections() > 1 {
				t.Errorf("MaxSessions %d: %s has %d connections; installed: %v", limit, n.Name, n.Connections(), n.Installed())
			}
		}
	}
}

func portKey(n uint16) mesh.PortKey { p := port(n); return p.Key() }
