package compile

import (
	"net/netip"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func TestAllFailIsWhenNobodyOfThePortIsLeft(t *testing.T) {
	rec := newRecord(t, "n1", "n2")
	must(t, rec.PutService(&mesh.Service{
		Name: "web", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1"}, "b": {Node: "n2"}},
		HealthCheck: &mesh.HealthCheck{Type: mesh.CheckTCP, IntervalMillis: 1000, TimeoutMillis: 500, Rise: 1, Fall: 1, OnUnhealthy: mesh.CutConnections},
	}))
	putPort(t, rec, "web", 8080, 80, mesh.TCP, mesh.Ingress)
	a := Check{"web", netip.AddrPortFrom(rec.Nodes["n1"].HostAddress(), 80)}
	b := Check{"web", netip.AddrPortFrom(rec.Nodes["n2"].HostAddress(), 80)}
	port := rec.ServicePorts("web")[0]
	for _, test := range []struct {
		node      string
		unhealthy map[Check]bool
		want      bool
	}{
		{"n1", nil, false},
		{"n1", map[Check]bool{a: true}, false},
		{"n1", map[Check]bool{a: true, b: true}, true},
		{"n3", map[Check]bool{a: true, b: true}, false},
	} {
		if got := AllFail(rec, test.node, port, Conditions{Unhealthy: test.unhealthy}); got != test.want {
			t.Errorf("%s, %v: %t", test.node, test.unhealthy, got)
		}
	}
}
