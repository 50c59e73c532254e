package reconcile

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// TestWhatDrains: each change of the record is made with connections to c, and
// says what becomes of it.
func TestWhatDrains(t *testing.T) {
	key := mesh.PortKey{Port: 8080, Protocol: mesh.TCP}
	drainNode := func(rec *mesh.Record, _ *mesh.Service) { rec.Nodes["n3"].Availability = mesh.AvailabilityDrain }
	tests := []struct {
		name   string
		begin  func(*mesh.Record, *mesh.Service)
		change func(*mesh.Record, *mesh.Service)
		want   string // weights
		drains int
	}{
		{"an endpoint that is removed", nil, without3, "1 1 0", 1},
		{"a node that drains", nil, drainNode, "1 1 0", 1},
		{"this node drains", nil, func(rec *mesh.Record, _ *mesh.Service) { rec.Nodes["n1"].Availability = mesh.AvailabilityDrain }, "0 1 1", 1},
		{"a node that is active again", drainNode, func(rec *mesh.Record, _ *mesh.Service) { rec.Nodes["n3"].Availability = "" }, "1 1 1", 0},
		{"an endpoint that answers elsewhere", nil, func(_ *mesh.Record, web *mesh.Service) { web.Endpoints["c"] = mesh.Endpoint{Node: "n3", Port: 81} }, "1 1 0", 1},
		{"another target port", nil, func(rec *mesh.Record, _ *mesh.Service) { rec.Ports[key].Target = 81 }, "0 0 0", 3},
		{"local ones only", nil, func(rec *mesh.Record, _ *mesh.Service) { rec.Ports[key].Locality = mesh.LocalOnly }, "1 0 0", 2},
		{"of a service that gives no time", func(_ *mesh.Record, web *mesh.Service) { web.DrainSeconds = 0 }, without3, "1 1 -", 0},
		{"of a service that now gives none", nil, func(rec *mesh.Record, web *mesh.Service) { web.DrainSeconds = 0; without3(rec, web) }, "1 1 0", 1},
		{"of a service that gave none until now", func(_ *mesh.Record, web *mesh.Service) { web.DrainSeconds = 0 },
			func(rec *mesh.Record, web *mesh.Service) { web.DrainSeconds = 9; without3(rec, web) }, "1 1 -", 0},
		{"a node that leaves", nil, func(rec *mesh.Record, _ *mesh.Service) { rec.RemoveNode("n3") }, "1 1 -", 0},
		{"a port that is closed", nil, func(rec *mesh.Record, _ *mesh.Service) { rec.RemovePort(key) }, "- - -", 0},
		{"a port of another service", nil, func(rec *mesh.Record, _ *mesh.Service) {
			rec.Services["api"] = &mesh.Service{Name: "api", DrainSeconds: 30, Endpoints: map[string]mesh.Endpoint{"x": {Node: "n1"}}}
			rec.Ports[key].Service = "api"
		}, "1 - -", 0},
		{"a port that becomes one of host mode", nil, func(rec *mesh.Record, _ *mesh.Service) { rec.Ports[key].Mode = mesh.Host }, "- - -", 0},
		{"an endpoint that is cut", func(_ *mesh.Record, web *mesh.Service) { web.HealthCheck.OnUnhealthy = mesh.CutConnections }, func(_ *mesh.Record, web *mesh.Service) {
			delete(web.Endpoints, "b") // it fails from the beginning, see below
		}, "1 - 1", 0},
		{"an endpoint that fails and is kept", nil, func(_ *mesh.Record, web *mesh.Service) { delete(web.Endpoints, "b") }, "1 0 1", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, k, h, _, _ := checkedReconciler(Options{})
				rec := webOf(t, test.begin)
				if strings.HasPrefix(test.name, "an endpoint that is cut") || strings.HasPrefix(test.name, "an endpoint that fails") {
					h.is(true, 2)
				}
				follow(t, r, rec)
				running(t, r)
				between(r, func() {
					for node := 1; node <= 3; node++ {
						k.loads[toward(node)] = kernel.Load{Active: 1}
					}
				})
				follow(t, r, after(t, rec, test.change))
				time.Sleep(5 * time.Second)
				between(r, func() {
					expect(t, "weights", k.weights(), test.want)
					if r.Draining() != test.drains {
						t.Errorf("%d drain, want %d", r.Draining(), test.drains)
					}
				})
				if _, problems := r.Status(t.Context()); len(problems) != 0 {
					t.Errorf("problems: %s", texts(problems))
				}
				time.Sleep(30 * time.Second)
				if r.Draining() != 0 {
					t.Error("it never ends")
				}
			})
		})
	}
}

func TestUDPNeverDrains(t *testing.T) {
	r, k, _, _, _ := checkedReconciler(Options{})
	rec := webOf(t, func(rec *mesh.Record, _ *mesh.Service) {
		rec.Ports[mesh.PortKey{Port: 53, Protocol: mesh.UDP}] = &mesh.PublishedPort{Service: "web", Published: 53, Target: 53, Protocol: mesh.UDP, Mode: mesh.Ingress}
	})
	follow(t, r, rec)
	follow(t, r, after(t, rec, without3))
	if r.Draining() != 1 {
		t.Errorf("%d drain: want that of 8080/tcp", r.Draining())
	}
	for key := range k.has {
		if key.Kind == state.KindRealServer && key.Name == "udp" && key.B.Addr() == to(3).Addr() {
			t.Error("a udp destination stays")
		}
	}
}
