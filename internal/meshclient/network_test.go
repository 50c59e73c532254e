package meshclient_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

// member is a service with one container, in the networks.
func member(name, node string, networks ...string) mesh.Service {
	s := mesh.Service{Name: name, Networks: map[string]mesh.Membership{}, Endpoints: map[string]mesh.Endpoint{
		"c": {Node: node, Container: &mesh.Container{Name: name}, Slots: make([]uint16, 1)},
	}}
	for _, n := range networks {
		s.Networks[n] = mesh.Membership{}
	}
	return s
}

func TestNetwork_PutAndRemove(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	ctx := deadline(t)
	res := must(t)(c.PutNetwork(ctx, "demo", mesh.Network{Name: "back", Hosts: []string{"n2", "n1"}}, true))
	if id, ok := res.Record.Identity("back"); !ok || id == 0 || !res.Record.Resolver().IsValid() {
		t.Errorf("the result does not have what the network was given: %d, %s", id, res.Record.Resolver())
	}
	res = must(t)(c.PutService(ctx, "demo", member("db", "n1", "back"), true))
	if vip := res.Record.Services["db"].VIP; !vip.IsValid() || vip != sameRecord(t, f).Services["db"].VIP {
		t.Errorf("the result has the VIP %s", vip)
	}
	_, err := c.PutNetwork(ctx, "demo", mesh.Network{Name: "back"}, true)
	if rule, ok := errors.AsType[*mesh.Error](err); !ok || rule.Taken != mesh.NetworkRef("back") {
		t.Errorf("a network that is there: %v", err)
	}
	wantText(t, err, "There already is a network demo/back", `Import it (id "demo/back")`)
	_, err = c.PutNetwork(ctx, "prod", mesh.Network{Name: "back"}, false)
	wantText(t, err, `belong to the cluster "demo", not to "prod"`)

	must(t)(c.RemoveNetwork(ctx, "demo", "missing"))
	must(t)(c.RemoveNetwork(ctx, "demo", "back"))
	if r := sameRecord(t, f); r.HasNetwork("back") || r.Networks["back"] == nil {
		t.Error("the network must stay for the service that is in it, and for nobody else")
	}
	must(t)(c.PutNetwork(ctx, "demo", mesh.Network{Name: "back"}, true)) // as a replacement creates it
	must(t)(c.RemoveNetwork(ctx, "demo", "back"))
	must(t)(c.PutService(ctx, "demo", member("db", "n1"), false))
	if r := sameRecord(t, f); r.Networks != nil || r.Addressing != nil {
		t.Error("the last service has left the network, and it is still there")
	}
	wantDrift(t, snapshotOf(t, c), nil)
}

// TestNetwork_AwaitsRemoval: a create that comes before the destroy of one apply waits for it.
func TestNetwork_AwaitsRemoval(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three, "n1")
	ctx := deadline(t)
	must(t)(c.PutNetwork(ctx, "demo", mesh.Network{Name: "back"}, true))
	created := beside(func() (*meshclient.Result, error) {
		return c.PutNetwork(ctx, "demo", mesh.Network{Name: "back", Hosts: []string{"n3"}}, true)
	})
	must(t)(c.RemoveNetwork(ctx, "demo", "back"))
	o := <-created
	must(t)(o.result, o.err)
	if n := sameRecord(t, f).Networks["back"]; n == nil || !slices.Equal(n.Hosts, []string{"n3"}) {
		t.Errorf("the record has %+v", n)
	}
}

// TestNetwork_AliasMovesInOneApply: the service that gets an alias waits for the one that has
// it, whichever is changed first.
func TestNetwork_AliasMovesInOneApply(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three, "n1")
	ctx := deadline(t)
	must(t)(c.PutNetwork(ctx, "demo", mesh.Network{Name: "back"}, true))
	blue, green := member("blue", "n1", "back"), member("green", "n2", "back")
	blue.Networks["back"] = mesh.Membership{Aliases: []string{"live"}}
	must(t)(c.PutService(ctx, "demo", blue, true))
	must(t)(c.PutService(ctx, "demo", green, true))
	green.Networks["back"] = mesh.Membership{Aliases: []string{"live"}}
	moved := beside(func() (*meshclient.Result, error) { return c.PutService(ctx, "demo", green, false) })
	must(t)(c.PutService(ctx, "demo", member("blue", "n1", "back"), false))
	o := <-moved
	must(t)(o.result, o.err)
	if r := sameRecord(t, f); len(r.Services["blue"].Networks["back"].Aliases) != 0 || len(r.Services["green"].Networks["back"].Aliases) != 1 {
		t.Errorf("blue is %+v, green is %+v", r.Services["blue"].Networks, r.Services["green"].Networks)
	}
}

// networkWriter is a Terraform state: a network, services in it and in the one that all states
// share, changed and removed again, the network first.
func networkWriter(t testing.TB, c *meshclient.Client, name string, services int) error {
	ctx := deadline(t)
	if err := outcome(c.PutNetwork(ctx, "demo", mesh.Network{Name: name}, true)); err != nil {
		return err
	}
	service := func(i int, networks ...string) mesh.Service {
		return member(fmt.Sprintf("%s-%d", name, i), "n1", networks...)
	}
	for _, step := range []func(i int) error{
		func(i int) error { return outcome(c.PutService(ctx, "demo", service(i, name), true)) },
		func(i int) error { return outcome(c.PutService(ctx, "demo", service(i, name, "shared"), false)) },
		func(i int) error {
			if i == 0 {
				return outcome(c.RemoveNetwork(ctx, "demo", name))
			}
			return outcome(c.PutService(ctx, "demo", service(i, "shared"), false))
		},
		func(i int) error {
			if i == 0 {
				return outcome(c.PutService(ctx, "demo", service(i, "shared"), false))
			}
			return nil
		},
	} {
		var g errgroup.Group
		for i := range services {
			g.Go(func() error { return step(i) })
		}
		if err := g.Wait(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// TestStatesShareNetworks: two states make networks at the same time, and services in a network
// of a third one. No identity and no VIP is given twice, and no update is lost.
func TestStatesShareNetworks(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	must(t)(c.PutNetwork(deadline(t), "demo", mesh.Network{Name: "shared", Hosts: []string{"*"}}, true))
	for _, n := range f.All() {
		n.HoldLease("a writer that has died", 300*time.Millisecond)
	}
	const services = 6
	clients := map[string]*meshclient.Client{"one": newClient(t, f.ClientConfig()), "two": newClient(t, f.ClientConfig("n2", "n1", "n3"))}
	var g errgroup.Group
	for name, c := range clients {
		g.Go(func() error { return networkWriter(t, c, name, services) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	r := sameRecord(t, f)
	if err := r.Validate(); err != nil { // that no identity, VIP or slot is given twice is a rule of the record
		t.Error(err)
	}
	if !slices.Equal(r.NetworkNames(), []string{"shared"}) || len(r.Members("shared")) != 2*services {
		t.Errorf("the networks %v are left, with %d services in the shared one", r.NetworkNames(), len(r.Members("shared")))
	}
	for _, s := range r.Members("shared") {
		if s.NetworkSet() != "shared" || !s.VIP.IsValid() {
			t.Errorf("%s is in %q, with the VIP %s", s.Name, s.NetworkSet(), s.VIP)
		}
	}
	for _, c := range clients {
		wantDrift(t, snapshotOf(t, c), nil)
	}
}
