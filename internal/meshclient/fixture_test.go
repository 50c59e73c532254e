package meshclient_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
)

// TestMain runs more tests at once than there are processors: most of the time
// they wait for hosts that are down.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// journal is a Config.Log that keeps everything.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) log(_ context.Context, msg string, fields map[string]any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprint(msg, fields))
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, "\n")
}

func newClient(t testing.TB, cfg meshclient.Config) *meshclient.Client {
	t.Helper()
	c, err := meshclient.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// deadline bounds every test; nothing waits without it.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func demo() mesh.Cluster {
	return mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("demo"), PublishedPortRange: mesh.DefaultPortRange,
	}
}

func web(endpoints ...string) mesh.Service {
	s := mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{}}
	for _, node := range endpoints {
		s.Endpoints["on-"+node] = mesh.Endpoint{Node: node}
	}
	return s
}

func port(published uint16) mesh.PublishedPort {
	return mesh.PublishedPort{Service: "web", Published: published, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}
}

// cluster is a fleet whose hosts are all nodes of the cluster demo, with the
// service web on the first; the provider's hosts are keepers (all without).
func cluster(t testing.TB, names []string, keepers ...string) (*meshtest.Fleet, *meshclient.Client) {
	t.Helper()
	f := meshtest.New(t, names...)
	c := newClient(t, f.ClientConfig(keepers...))
	ctx := deadline(t)
	must(t)(c.CreateCluster(ctx, demo()))
	for _, n := range f.All() {
		must(t)(c.PutNode(ctx, "demo", n.MeshNode(), true))
	}
	must(t)(c.PutService(ctx, "demo", web(names[0]), true))
	f.ResetRequests()
	return f, c
}

// must returns what a change led to, if it went well and without warnings.
func must(t testing.TB) func(*meshclient.Result, error) *meshclient.Result {
	return func(r *meshclient.Result, err error) *meshclient.Result {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Warnings) > 0 {
			t.Fatalf("warnings: %q", r.Warnings)
		}
		return r
	}
}

// tired is how long clients wait for hosts that are down: longer than a login
// takes on a busy machine, under the race detector.
const tired = 5 * time.Second

var three = []string{"n1", "n2", "n3"}

// sameRecord fails unless every host has the same record, and returns it.
func sameRecord(t testing.TB, f *meshtest.Fleet) *mesh.Record {
	t.Helper()
	first := f.All()[0].Record()
	for _, n := range f.All() {
		r := n.Record()
		if r == nil {
			t.Fatalf("%s has no record", n.Name)
		}
		if r.Hash() != first.Hash() {
			t.Fatalf("%s has generation %d, %s has %d", n.Name, r.Generation, f.All()[0].Name, first.Generation)
		}
	}
	return first
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ctx := deadline(t); !ok(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("did not happen: %s", what)
		}
	}
}

func wantText(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error lacks %q:\n%v", part, err)
		}
	}
}
