//go:build kernel

package kernel_test

import (
	"net/netip"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// What compile asks for is spelled as the kernel and its programs give it back.
func TestWhatCompileAsksForIsReadBackEqual(t *testing.T) {
	rec := record(t)
	for name := range rec.Nodes {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, name)
			m.reach(compile.Compile(rec, name, runningKernel(t), compile.Conditions{}), 1)
			m.reach(state.State{}, 1)
		})
	}
}

func record(t *testing.T) *mesh.Record {
	t.Helper()
	rec, err := mesh.NewRecord("uid", mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("demo"), PublishedPortRange: mesh.DefaultPortRange,
		TCPIdleSeconds: 86400, UDPIdleSeconds: 17,
	})
	must(t, err)
	must(t, rec.PutNode(&mesh.Node{Name: "n1", Address: netip.MustParseAddr("192.0.2.1"), UnderlayMTU: 1500}))
	must(t, rec.PutNode(&mesh.Node{Name: "n2", Address: netip.MustParseAddr("192.0.2.2"), UnderlayMTU: 1500}))
	must(t, rec.PutService(&mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"one": {Node: "n1"}, "two": {Node: "n2"}}}))
	must(t, rec.PutService(&mesh.Service{Name: "dns", Endpoints: map[string]mesh.Endpoint{"one": {Node: "n1"}}}))
	must(t, rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}))
	must(t, rec.PutPort(&mesh.PublishedPort{Service: "dns", Published: 5353, Target: 53, Protocol: mesh.UDP, Mode: mesh.Host}))
	zero, many := 0, mesh.MaxWeight
	must(t, rec.PutService(&mesh.Service{
		Name: "shop", Scheduler: "mh", Affinity: &mesh.Affinity{TimeoutSeconds: 600, PrefixLength: 24},
		Endpoints: map[string]mesh.Endpoint{"one": {Node: "n1", Weight: &zero}, "two": {Node: "n2", Weight: &many}, "three": {Node: "n1", Port: 8081}},
	}))
	must(t, rec.PutPort(&mesh.PublishedPort{Service: "shop", Published: 443, Target: 8443, Protocol: mesh.TCP, Mode: mesh.Ingress, Locality: mesh.PreferLocal}))
	must(t, rec.PutPort(&mesh.PublishedPort{Service: "shop", Published: 514, Target: 514, Protocol: mesh.UDP, Mode: mesh.Ingress, OnePacket: true}))
	return rec
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
