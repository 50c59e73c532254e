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
func newRecord(tb testing.TB, nodes ...string) *mesh.Record {
	tb.Helper()
	rec, err := mesh.NewRecord("uid", mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("demo"), PublishedPortRange: mesh.DefaultPortRange,
	})
	must(tb, err)
	for i, name := range nodes {
		must(tb, rec.PutNode(&mesh.Node{Name: name, Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), UnderlayMTU: 1500}))
	}
	return rec
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func putService(tb testing.TB, rec *mesh.Record, name string, endpoints map[string]mesh.Endpoint) {
	tb.Helper()
	must(tb, rec.PutService(&mesh.Service{Name: name, Endpoints: endpoints}))
}

func putPort(tb testing.TB, rec *mesh.Record, service string, published, target uint16, proto mesh.Protocol, mode mesh.Mode) {
	tb.Helper()
	must(tb, rec.PutPort(&mesh.PublishedPort{Service: service, Published: published, Target: target, Protocol: proto, Mode: mode}))
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
	left := threeNodes(t)
	left.RemoveNode("n3")
	tests := []struct {
		name    string
		node    string
		version state.KernelVersion
		record  *mesh.Record
	}{
		{"one node without ports", "n1", debian12, newRecord(t, "n1")},
		{"entry node of three, endpoints elsewhere", "n1", debian12, threeNodes(t)},
		{"node with endpoints", "n2", debian12, threeNodes(t)},
		{"an old kernel", "n1", centos8, newRecord(t, "n1")},
		{"own settings: pool, VNI, port and MTU", "n2", debian12, ownSettings(t)},
		{"an endpoint on a node that has left", "n1", debian12, left},
		{"ports by address", "n2", debian12, byAddress(t)},
		{"preserved client addresses", "n2", debian12, preserved(t)},
		{"ranges of ports", "n2", debian12, ranged(t)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := render(Compile(tt.record, tt.node, tt.version, Conditions{}))
			path := filepath.Join("testdata", strings.NewReplacer(" ", "-", ",", "", ":", "").Replace(tt.name)+".golden")
			sameGolden(t, path, got)
		})
	}
}

// threeNodes has a service of each kind: balanced over n2 and n3, in host mode
// on n2, over UDP with a port of its own on n3, without endpoints.
func threeNodes(t *testing.T) *mesh.Record {
	t.Helper()
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

// byAddress is threeNodes with ports of one number at different addresses.
func byAddress(t *testing.T) *mesh.Record {
	t.Helper()
	rec := threeNodes(t)
	for _, p := range []mesh.PublishedPort{
		{Service: "web", Published: 443, Target: 443, Protocol: mesh.TCP, Mode: mesh.Ingress, Listen: "127.0.0.0/8,192.0.2.2/32"},
		{Service: "metrics", Published: 443, Target: 444, Protocol: mesh.TCP, Mode: mesh.Host, Listen: "10.0.0.0/8"},
		{Service: "dns", Published: 53, Target: 53, Protocol: mesh.UDP, Mode: mesh.Ingress, Listen: "192.0.2.0/24"},
		{Service: "later", Published: 53, Target: 53, Protocol: mesh.UDP, Mode: mesh.Ingress, Listen: "10.0.0.0/8", AllowedCIDRs: "10.1.0.0/16"},
	} {
		must(t, rec.PutPort(&p))
	}
	return rec
}

func ownSettings(t *testing.T) *mesh.Record {
	t.Helper()
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
		if s := Compile(newRecord(t, "n1"), node, debian12, Conditions{}); len(s) != 0 {
			t.Errorf("node %q gets %s", node, render(s))
		}
	}
	if s := Compile(nil, "n1", debian12, Conditions{}); len(s) != 0 {
		t.Errorf("without a record: %s", render(s))
	}
}

func TestNoTwoObjectsShareAKey(t *testing.T) {
	rec := threeNodes(t)
	putService(t, rec, "twice", map[string]mesh.Endpoint{"a": {Node: "n2"}, "b": {Node: "n2", Port: 80}})
	putPort(t, rec, "twice", 8091, 80, mesh.TCP, mesh.Ingress)
	s := Compile(rec, "n1", debian12, Conditions{})
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

// sameGolden compares a text with a golden file.
func sameGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		must(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if got != string(want) {
		t.Errorf("differs from %s (go test -update writes it again):\n%s", path, got)
	}
}
