package compile

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	debian12 = state.KernelVersion{Major: 6, Minor: 1}
	centos8  = state.KernelVersion{Major: 4, Minor: 18}
)

// newRecord returns a cluster of the named nodes, at 192.0.2.1, .2, ….
func newRecord(t testing.TB, nodes ...string) *mesh.Record {
	t.Helper()
	rec, err := mesh.NewRecord("uid", mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("demo"), PublishedPortRange: mesh.DefaultPortRange,
	})
	must(t, err)
	for i, name := range nodes {
		must(t, rec.PutNode(&mesh.Node{Name: name, Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), UnderlayMTU: 1500}))
	}
	return rec
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func putService(t testing.TB, rec *mesh.Record, name string, endpoints map[string]mesh.Endpoint) {
	t.Helper()
	must(t, rec.PutService(&mesh.Service{Name: name, Endpoints: endpoints}))
}

func putPort(t testing.TB, rec *mesh.Record, service string, published, target uint16, proto mesh.Protocol, mode mesh.Mode) {
	t.Helper()
	must(t, rec.PutPort(&mesh.PublishedPort{Service: service, Published: published, Target: target, Protocol: proto, Mode: mode}))
}

// render writes a state as text, in the order in which it would be made.
func render(s state.State) string {
	var b strings.Builder
	for _, op := range state.Plan(s, state.State{}) {
		fmt.Fprintln(&b, op.New)
		chain, ok := op.New.(state.Chain)
		if !ok {
			continue
		}
		if chain.Hooks != "" {
			fmt.Fprintf(&b, "    ◀ %s %s\n", chain.Hooks, chain.JumpMatch)
		}
		for rule := range strings.SplitSeq(chain.Rules, "\n") {
			fmt.Fprintf(&b, "    %s\n", rule)
		}
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	tests := []struct {
		name    string
		node    string
		version state.KernelVersion
		record  func(t *testing.T) *mesh.Record
	}{
		{"one node without ports", "n1", debian12, func(t *testing.T) *mesh.Record { return newRecord(t, "n1") }},
		{"entry node of three, endpoints elsewhere", "n1", debian12, threeNodes},
		{"node with endpoints", "n2", debian12, threeNodes},
		{"an old kernel", "n1", centos8, func(t *testing.T) *mesh.Record { return newRecord(t, "n1") }},
		{"own settings: pool, VNI, port and MTU", "n2", debian12, ownSettings},
		{"an endpoint on a node that has left", "n1", debian12, func(t *testing.T) *mesh.Record {
			rec := threeNodes(t)
			rec.RemoveNode("n3")
			return rec
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := render(Compile(tt.record(t), tt.node, tt.version))
			path := filepath.Join("testdata", strings.NewReplacer(" ", "-", ",", "", ":", "").Replace(tt.name)+".golden")
			if *update {
				must(t, os.WriteFile(path, []byte(got), 0o644))
			}
			want, err := os.ReadFile(path)
			must(t, err)
			if got != string(want) {
				t.Errorf("differs from %s (go test -update writes it anew):\n%s", path, got)
			}
		})
	}
}

// threeNodes has a service of each kind: balanced over n2 and n3, in host mode
// on n2, over UDP with a port of its own on n3, without endpoints.
func threeNodes(t *testing.T) *mesh.Record {
	rec := newRecord(t, "n1", "n2", "n3")
	putService(t, rec, "web", map[string]mesh.Endpoint{"a": {Node: "n2"}, "b": {Node: "n3"}})
	putService(t, rec, "metrics", map[string]mesh.Endpoint{"a": {Node: "n2"}})
	putService(t, rec, "dns", map[string]mesh.Endpoint{"a": {Node: "n2"}, "b": {Node: "n3", Port: 5353}})
	putService(t, rec, "later", map[string]mesh.Endpoint{})
	putPort(t, rec, "web", 8080, 80, mesh.TCP, mesh.Ingress)
	putPort(t, rec, "metrics", 9100, 9100, mesh.TCP, mesh.Host)
	putPort(t, rec, "dns", 53, 53, mesh.UDP, mesh.Ingress)
	putPort(t, rec, "later", 8090, 80, mesh.TCP, mesh.Ingress)
	return rec
}

func ownSettings(t *testing.T) *mesh.Record {
	rec, err := mesh.NewRecord("uid", mesh.Cluster{
		Name: "other", AddressPool: netip.MustParsePrefix("172.30.0.0/20"), NodePrefixLength: 28,
		VXLANPort: 8472, VNI: 77, MTU: 1300, PublishedPortRange: mesh.DefaultPortRange,
	})
	must(t, err)
	for i, name := range []string{"n1", "n2"} {
		must(t, rec.PutNode(&mesh.Node{Name: name, Address: netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)}), UnderlayMTU: 9000}))
	}
	return rec
}

func TestAHostThatIsNoNodeGetsNothing(t *testing.T) {
	for _, node := range []string{"", "n9"} {
		if s := Compile(newRecord(t, "n1"), node, debian12); len(s) != 0 {
			t.Errorf("node %q gets %s", node, render(s))
		}
	}
	if s := Compile(nil, "n1", debian12); len(s) != 0 {
		t.Errorf("without a record: %s", render(s))
	}
}

func TestNoTwoObjectsShareAKey(t *testing.T) {
	rec := threeNodes(t)
	putService(t, rec, "twice", map[string]mesh.Endpoint{"a": {Node: "n2"}, "b": {Node: "n2", Port: 80}})
	putPort(t, rec, "twice", 8091, 80, mesh.TCP, mesh.Ingress)
	s := Compile(rec, "n1", debian12)
	n := 0
	for k, o := range s {
		if o.Key() != k {
			t.Errorf("%s is under another key", o)
		}
		if r, ok := o.(state.RealServer); ok && r.Server.Port() == 8091 {
			n++
		}
	}
	if n != 1 {
		t.Errorf("two names of one process make %d destinations, want 1", n)
	}
}
