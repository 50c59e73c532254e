package provider

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// largeWalk has seen a cluster of 100 nodes and 1,000 ports, all of which it plans as they are.
func largeWalk(tb testing.TB) (*walk, []mesh.PublishedPort) {
	tb.Helper()
	r, err := mesh.NewRecord("uid", mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: 1, PublishedPortRange: mesh.DefaultPortRange,
	})
	if err != nil {
		tb.Fatal(err)
	}
	address := netip.MustParseAddr("192.0.2.1")
	for i := range 100 {
		if err := r.PutNode(&mesh.Node{Name: fmt.Sprintf("n%d", i), Address: address}); err != nil {
			tb.Fatal(err)
		}
		address = address.Next()
	}
	if err := r.PutService(&mesh.Service{Name: "web"}); err != nil {
		tb.Fatal(err)
	}
	var ports []mesh.PublishedPort
	for i := range 1000 {
		p := mesh.PublishedPort{Service: "web", Published: uint16(10000 + i), Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}
		if err := r.PutPort(&p); err != nil {
			tb.Fatal(err)
		}
		ports = append(ports, p)
	}
	w := newWalk()
	w.observe(r)
	planPorts(tb, w, ports...)
	return w, ports
}

func planPorts(tb testing.TB, w *walk, ports ...mesh.PublishedPort) {
	tb.Helper()
	for _, p := range ports {
		if warning, err := w.planPort("demo", mesh.PortID("demo/web", p.Key()), p); warning != "" || err != nil {
			tb.Fatal(warning, err)
		}
	}
}

func BenchmarkPlanThousandPorts(b *testing.B) {
	w, ports := largeWalk(b)
	b.ReportAllocs()
	for b.Loop() {
		planPorts(b, w, ports...)
	}
}

// What a port is checked against may be copied for the check by its kind, never object by object.
func TestPlanOfOnePortAmongMany(t *testing.T) {
	w, ports := largeWalk(t)
	if got := testing.AllocsPerRun(10, func() { planPorts(t, w, ports[7]) }); got > 40 {
		t.Errorf("a plan of one port allocates %.0f times", got)
	}
}
