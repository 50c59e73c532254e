package meshclient_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// twice is a configuration that lists n1 by two names, and n2.
func twice(f *meshtest.Fleet) meshclient.Config {
	cfg := f.ClientConfig()
	cfg.Hosts = []string{f.Node("n1").Addr(), strings.Replace(f.Node("n1").Addr(), "127.0.0.1", "localhost", 1), f.Node("n2").Addr()}
	return cfg
}

func wantTwins(t *testing.T, err error, node string) {
	t.Helper()
	if e, ok := errors.AsType[*meshclient.TwinHostsError](err); !ok || e.Node != node {
		t.Errorf("got %v, want that hosts has one host twice, node %q", err, node)
	}
}

// TestTwins_Create: one host by two names is found at the first contact, and
// the hosts are left as they were.
func TestTwins_Create(t *testing.T) {
	t.Parallel()
	f := meshtest.New(t, "n1", "n2")
	c := newClient(t, twice(f))
	_, err := c.CreateCluster(deadline(t), demo())
	wantTwins(t, err, "")
	for _, n := range f.All() {
		if n.Installed() {
			t.Errorf("%s still has an agent", n.Name)
		}
	}
}

// TestTwins_ReadAndChange: neither is done with two votes of one host, also
// while the other host is down.
func TestTwins_ReadAndChange(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, []string{"n1", "n2"}, "n1")
	generation := f.Node("n1").Record().Generation
	cfg := twice(f)
	cfg.SSH.Timeout = tired
	f.Node("n2").SetDown(true)
	c := newClient(t, cfg)
	_, err := c.Snapshot(deadline(t))
	wantTwins(t, err, "n1")
	_, err = c.PutPort(deadline(t), "demo", port(8080), true)
	wantTwins(t, err, "n1")
	if g := f.Node("n1").Record().Generation; g != generation {
		t.Errorf("generation %d was committed", g)
	}
}

// TestTwins_ClonesAreTwoHosts: hosts that share the host key are not one host.
func TestTwins_ClonesAreTwoHosts(t *testing.T) {
	t.Parallel()
	f := meshtest.New(t, three...)
	_, key := meshtest.NewKey(t)
	for _, n := range f.All() {
		n.SetHostKeys(key)
	}
	c := newClient(t, f.ClientConfig())
	must(t)(c.CreateCluster(deadline(t), demo()))
	sameRecord(t, f)
}
