package meshclient_test

import (
	"errors"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

// ending is that of a change that runs beside the test.
type ending struct {
	result *meshclient.Result
	err    error
}

func beside(f func() (*meshclient.Result, error)) <-chan ending {
	done := make(chan ending, 1)
	go func() {
		r, err := f()
		done <- ending{r, err}
	}()
	return done
}

func key(published uint16) mesh.PortKey { return mesh.PortKey{Port: published, Protocol: mesh.TCP} }

// TestCreate_AwaitsRemoval: the creation comes first, as it may in one apply,
// and goes through once the removal has.
func TestCreate_AwaitsRemoval(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three, "n1")
	ctx := deadline(t)
	must(t)(c.PutPort(ctx, "demo", port(8080), true))
	created := beside(func() (*meshclient.Result, error) { return c.PutPort(ctx, "demo", port(8080), true) })
	renamed := f.Node("n3").MeshNode()
	renamed.Name = "web3"
	joined := beside(func() (*meshclient.Result, error) { return c.PutNode(ctx, "demo", renamed, true) })
	must(t)(c.RemovePort(ctx, "demo", "web", key(8080)))
	must(t)(c.RemoveNode(ctx, "demo", "n3", false))
	for _, done := range []<-chan ending{created, joined} {
		o := <-done
		must(t)(o.result, o.err)
	}
	r := sameRecord(t, f)
	if r.Nodes["web3"] == nil || r.Nodes["n3"] != nil || r.Ports[key(8080)] == nil {
		t.Errorf("the record has the nodes %v and %d ports", r.NodeNames(), len(r.Ports))
	}
}

// TestCreate_NoRemovalComes: what nobody removes is refused, after a moment.
func TestCreate_NoRemovalComes(t *testing.T) {
	t.Parallel()
	_, c := cluster(t, three, "n1")
	ctx := deadline(t)
	must(t)(c.PutPort(ctx, "demo", port(8080), true))
	must(t)(c.PutPort(ctx, "demo", port(8081), true))
	created := beside(func() (*meshclient.Result, error) { return c.PutPort(ctx, "demo", port(8080), true) })
	must(t)(c.RemovePort(ctx, "demo", "web", key(8081))) // another one
	o := <-created
	if e, ok := errors.AsType[*mesh.Error](o.err); !ok || e.Taken != mesh.PortRef(key(8080)) {
		t.Errorf("got %v", o.err)
	}
}
