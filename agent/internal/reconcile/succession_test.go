package reconcile

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// servedBy are the destinations that n1 has under the record and the conditions.
func servedBy(rec *mesh.Record, now compile.Conditions) (served []state.RealServer) {
	for _, o := range compile.Compile(rec, "n1", debian12, now) {
		if d, ok := o.(state.RealServer); ok {
			served = append(served, d)
		}
	}
	return served
}

// TestSuccession_Drains: each change of the record says what drains, and how n1 then has
// the three destinations of 8080/tcp. The endpoint on n2 fails its check in some.
func TestSuccession_Drains(t *testing.T) {
	key := mesh.PortKey{Port: 8080, Protocol: mesh.TCP}
	drainNode := func(rec *mesh.Record, _ *mesh.Service) { rec.Nodes["n3"].Availability = mesh.AvailabilityDrain }
	without2 := func(_ *mesh.Record, web *mesh.Service) { delete(web.Endpoints, "b") }
	unhealthy := map[compile.Check]bool{{Service: "web", Addr: to(2)}: true}
	tests := []struct {
		name      string
		begin     func(*mesh.Record, *mesh.Service)
		change    func(*mesh.Record, *mesh.Service)
		unhealthy map[compile.Check]bool
		weights   string
		drains    string
	}{
		{"an endpoint that is removed", nil, without3, nil, "1 1 0", "c"},
		{"a node that drains", nil, drainNode, nil, "1 1 0", "c"},
		{"this node drains", nil, func(rec *mesh.Record, _ *mesh.Service) { rec.Nodes["n1"].Availability = mesh.AvailabilityDrain }, nil, "0 1 1", "a"},
		{"a node that is active again", drainNode, func(rec *mesh.Record, _ *mesh.Service) { rec.Nodes["n3"].Availability = "" }, nil, "1 1 1", ""},
		{"an endpoint that answers elsewhere", nil, func(_ *mesh.Record, web *mesh.Service) { web.Endpoints["c"] = mesh.Endpoint{Node: "n3", Port: 81} }, nil, "1 1 0", "c"},
		{"another target port", nil, func(rec *mesh.Record, _ *mesh.Service) { rec.Ports[key].Target = 81 }, nil, "0 0 0", "a b c"},
		{"local ones only", nil, func(rec *mesh.Record, _ *mesh.Service) { rec.Ports[key].Locality = mesh.LocalOnly }, nil, "1 0 0", "b c"},
		{"of a service that gives no time", func(_ *mesh.Record, web *mesh.Service) { web.DrainSeconds = 0 }, without3, nil, "1 1 -", ""},
		{"of a service that now gives none", nil, func(rec *mesh.Record, web *mesh.Service) { web.DrainSeconds = 0; without3(rec, web) }, nil, "1 1 0", "c"},
		{"of a service that gave none until now", func(_ *mesh.Record, web *mesh.Service) { web.DrainSeconds = 0 },
			func(rec *mesh.Record, web *mesh.Service) { web.DrainSeconds = 9; without3(rec, web) }, nil, "1 1 -", ""},
		{"a node that leaves", nil, func(rec *mesh.Record, _ *mesh.Service) { rec.RemoveNode("n3") }, nil, "1 1 -", ""},
		{"a port that is closed", nil, func(rec *mesh.Record, _ *mesh.Service) { rec.RemovePort(key) }, nil, "- - -", ""},
		{"a port of another service", nil, func(rec *mesh.Record, _ *mesh.Service) {
			rec.Services["api"] = &mesh.Service{Name: "api", DrainSeconds: 30, Endpoints: map[string]mesh.Endpoint{"x": {Node: "n1"}}}
			rec.Ports[key].Service = "api"
		}, nil, "1 - -", ""},
		{"a port that becomes one of host mode", nil, func(rec *mesh.Record, _ *mesh.Service) { rec.Ports[key].Mode = mesh.Host }, nil, "- - -", ""},
		{"a client's address that is preserved", nil, func(rec *mesh.Record, _ *mesh.Service) { rec.Ports[key].ClientAddress = mesh.Preserve }, nil, "0 0 0", "a b c"},
		{"a client's address that is no longer preserved", func(rec *mesh.Record, _ *mesh.Service) { rec.Ports[key].ClientAddress = mesh.Preserve },
			func(rec *mesh.Record, _ *mesh.Service) {
				rec.Ports[key].ClientAddress, rec.Ports[key].PreservedBefore = mesh.EntryNode, true
			}, nil, "1 1 1", "a b c"},
		{"a port that becomes a range", nil, func(rec *mesh.Record, _ *mesh.Service) { rec.Ports[key].Last = 8089 }, nil, "0 0 0", "a b c"},
		{"a range that becomes a port", func(rec *mesh.Record, _ *mesh.Service) { rec.Ports[key].Last = 8089 },
			func(rec *mesh.Record, _ *mesh.Service) { rec.Ports[key].Last = 0 }, nil, "1 1 1", ""},
		{"an endpoint that is cut", func(_ *mesh.Record, web *mesh.Service) { web.HealthCheck.OnUnhealthy = mesh.CutConnections }, without2, unhealthy, "1 - 1", ""},
		{"an endpoint that fails and is kept", nil, without2, unhealthy, "1 0 1", "b"},
		{"a host that is no node any more", nil, func(rec *mesh.Record, _ *mesh.Service) { rec.RemoveNode("n1") }, nil, "- - -", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rec := webOf(t, test.begin)
			next := after(t, rec, test.change)
			now := compile.Conditions{Unhealthy: test.unhealthy}
			drains := newSuccession(rec, next, "n1").drains(nil, servedBy(rec, now), midnight)
			expect(t, "drains", drains.names(), test.drains)
			now.Draining = drains.byFrontend()
			expect(t, "weights", weights(compile.Compile(next, "n1", debian12, now)), test.weights)
			for d := range maps.Values(drains) {
				if !d.Deadline.Equal(midnight.Add(30*time.Second)) || d.TimeoutSeconds != 30 {
					t.Errorf("%+v has another time than its record gave it", d)
				}
			}
		})
	}
}

// TestSuccession_Already: what drains goes on with its deadline under a record that still
// has its port, its node and its service, and that does not ask for it.
func TestSuccession_Already(t *testing.T) {
	key := mesh.PortKey{Port: 8080, Protocol: mesh.TCP}
	elsewhere, otherService := drainOf("c", 3), drainOf("c", 3)
	elsewhere.Port.Port = 8081
	otherService.Service = "api"
	moved := drainOf("c", 3)
	moved.Address = netip.MustParseAddrPort("10.255.9.2:80")
	nothing := func(*mesh.Record, *mesh.Service) {}
	tests := map[string]struct {
		kept   drain
		change func(*mesh.Record, *mesh.Service)
		drains string
	}{
		"nothing changes":          {drainOf("c", 3), nothing, "c"},
		"another endpoint goes":    {drainOf("c", 3), func(_ *mesh.Record, web *mesh.Service) { delete(web.Endpoints, "b") }, "b c"},
		"it is wanted again":       {drainOf("c", 3), func(_ *mesh.Record, web *mesh.Service) { web.Endpoints["c"] = mesh.Endpoint{Node: "n3"} }, ""},
		"its port is closed":       {drainOf("c", 3), func(rec *mesh.Record, _ *mesh.Service) { rec.RemovePort(key) }, ""},
		"its port is in host mode": {drainOf("c", 3), func(rec *mesh.Record, _ *mesh.Service) { rec.Ports[key].Mode = mesh.Host }, ""},
		"its node leaves":          {drainOf("c", 3), func(rec *mesh.Record, _ *mesh.Service) { rec.RemoveNode("n3") }, ""},
		"of another port":          {elsewhere, nothing, ""},
		"of another service":       {otherService, nothing, ""},
		"of a node's old address":  {moved, nothing, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			rec := after(t, webOf(t, nil), without3)
			next := after(t, rec, test.change)
			drains := newSuccession(rec, next, "n1").drains(setOf(test.kept), servedBy(rec, compile.Conditions{}), midnight.Add(10*time.Second))
			expect(t, "drains", drains.names(), test.drains)
			if d, ok := drains[test.kept.key()]; ok && !d.Deadline.Equal(test.kept.Deadline) {
				t.Errorf("it has until %s", d.Deadline)
			}
		})
	}
}

// TestSuccession_AfterRestart: an agent has no record before the one that it starts with,
// and takes up what that does not ask for.
func TestSuccession_AfterRestart(t *testing.T) {
	rec := webOf(t, nil)
	kept := setOf(drainOf("b", 2), drainOf("c", 3))
	expect(t, "of a record that asks for all", newSuccession(nil, rec, "n1").drains(kept, nil, midnight).names(), "")
	next := after(t, rec, without3)
	expect(t, "of the next one", newSuccession(nil, next, "n1").drains(kept, nil, midnight).names(), "c")
}

// TestSuccession_Ranges: an endpoint of a range drains with all its ports; a range that grows,
// or gets other targets, has nothing that drains.
func TestSuccession_Ranges(t *testing.T) {
	key := mesh.PortKey{Port: 8080, Protocol: mesh.TCP}
	rec := webOf(t, func(rec *mesh.Record, _ *mesh.Service) { rec.Ports[key].Last = 8089 })
	for name, test := range map[string]struct {
		change         func(*mesh.Record, *mesh.Service)
		drains, weight string
	}{
		"an endpoint that is removed": {without3, "c", "0"},
		"a range that grows":          {func(rec *mesh.Record, _ *mesh.Service) { rec.Ports[key].Last = 9000 }, "", "1"},
		"other targets":               {func(rec *mesh.Record, _ *mesh.Service) { rec.Ports[key].Target = 9000 }, "", "1"},
		"an address that is kept":     {func(rec *mesh.Record, _ *mesh.Service) { rec.Ports[key].ClientAddress = mesh.Preserve }, "a b c", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			next := after(t, rec, test.change)
			drains := newSuccession(rec, next, "n1").drains(nil, servedBy(rec, compile.Conditions{}), midnight)
			expect(t, "drains", drains.names(), test.drains)
			weight := ""
			for _, d := range servedBy(next, compile.Conditions{Draining: drains.byFrontend()}) {
				if d.Addr == netip.AddrPortFrom(to(3).Addr(), 0) {
					weight = fmt.Sprint(d.Weight)
				}
			}
			expect(t, "the weight of c", weight, test.weight)
			for d := range maps.Values(drains) {
				if _, ok := compile.Compile(next, "n1", debian12, compile.Conditions{Draining: drains.byFrontend()})[d.realServer(next, "n1")]; !ok {
					t.Errorf("%s drains where it is not", d)
				}
			}
		})
	}
}

func TestSuccession_UDPNeverDrains(t *testing.T) {
	rec := webOf(t, func(rec *mesh.Record, _ *mesh.Service) {
		rec.Ports[mesh.PortKey{Port: 53, Protocol: mesh.UDP}] = &mesh.PublishedPort{Service: "web", Published: 53, Target: 80, Protocol: mesh.UDP, Mode: mesh.Ingress}
	})
	next := after(t, rec, without3)
	drains := newSuccession(rec, next, "n1").drains(nil, servedBy(rec, compile.Conditions{}), midnight)
	if _, ok := drains[drainOf("c", 3).key()]; !ok || len(drains) != 1 {
		t.Errorf("drain: %v, want that of 8080/tcp", drains)
	}
	for _, d := range servedBy(next, compile.Conditions{Draining: drains.byFrontend()}) {
		if d.Proto == "udp" && d.Addr == to(3) {
			t.Error("a udp destination stays")
		}
	}
}

// TestSuccession_VIPs: destinations of VIPs drain as those of published ports do, and keep
// their deadlines over a restart of the agent.
func TestSuccession_VIPs(t *testing.T) {
	vipPorts := map[mesh.PortKey]uint16{{Port: 80, Protocol: mesh.TCP}: 8080, {Port: 53, Protocol: mesh.UDP}: 53}
	build := func(change func(*mesh.Record, *mesh.Service)) *mesh.Record {
		rec := webOf(t, nil)
		for _, name := range []string{"front", "back"} {
			if err := rec.PutNetwork(&mesh.Network{Name: name, Hosts: []string{"n1"}}); err != nil {
				t.Fatal(err)
			}
		}
		s := &mesh.Service{Name: "db", DrainSeconds: 30, Networks: map[string]mesh.Membership{"front": {}}, Endpoints: map[string]mesh.Endpoint{}}
		for _, node := range []string{"n2", "n3"} {
			s.Endpoints[node] = mesh.Endpoint{Node: node, Container: &mesh.Container{Name: "db"}, Slots: make([]uint16, 1)}
		}
		if change != nil {
			change(rec, s)
		}
		if err := rec.PutService(s); err != nil {
			t.Fatal(err)
		}
		return rec
	}
	byPort := func(_ *mesh.Record, s *mesh.Service) { s.VIPPorts = vipPorts }
	for _, test := range []struct {
		name          string
		begin, change func(*mesh.Record, *mesh.Service)
		want          string
	}{
		{"an endpoint is removed", nil, func(_ *mesh.Record, s *mesh.Service) { delete(s.Endpoints, "n3") }, "[10.255.2.128:0 of the VIP of db]"},
		{"an endpoint of a port is removed", byPort, func(r *mesh.Record, s *mesh.Service) { byPort(r, s); delete(s.Endpoints, "n3") }, "[10.255.2.128:8080 of 80/tcp of the VIP of db]"},
		{"nothing changes", byPort, byPort, "[]"},
		{"its ports are declared", nil, byPort, "[]"},
		{"it gives no time", func(_ *mesh.Record, s *mesh.Service) { s.DrainSeconds = 0 }, func(_ *mesh.Record, s *mesh.Service) { delete(s.Endpoints, "n3") }, "[]"},
		{"this node is no member any more", nil, func(r *mesh.Record, s *mesh.Service) {
			delete(s.Endpoints, "n3")
			r.Networks["front"].Hosts = nil
		}, "[]"},
	} {
		rec, next := build(test.begin), build(test.change)
		drains := newSuccession(rec, next, "n1").drains(nil, servedBy(rec, compile.Conditions{}), midnight)
		got := []string{}
		for _, d := range drains.sorted() {
			got = append(got, fmt.Sprintf("%s of %s", d.Address, d.frontend()))
			now := compile.Conditions{Draining: drains.byFrontend()}
			if o, ok := compile.Compile(next, "n1", debian12, now)[d.realServer(next, "n1")].(state.RealServer); !ok || o.Weight != 0 {
				t.Errorf("%s: %s is %v in the kernel", test.name, d, o)
			}
			if err := d.check(); err != nil {
				t.Errorf("%s: the next agent does not take %s: %v", test.name, d, err)
			}
		}
		expect(t, test.name, fmt.Sprint(got), test.want)
		file := drainFile{path: t.TempDir() + "/drains.json"}
		if err := file.save(drains); err != nil {
			t.Fatal(err)
		}
		expect(t, test.name+": after a restart", fmt.Sprint(len(file.load(nil))), fmt.Sprint(len(drains)))
	}
}
