package compile

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// shop has a checked service with an endpoint on each of three nodes, that of n2
// with weight 2 and that of n3 on a port of its own, published for tcp and udp.
func shop(tb testing.TB, change func(*mesh.Service, *mesh.PublishedPort)) *mesh.Record {
	tb.Helper()
	rec := newRecord(tb, "n1", "n2", "n3")
	two := 2
	s := &mesh.Service{
		Name:        "shop",
		Endpoints:   map[string]mesh.Endpoint{"a": {Node: "n1"}, "b": {Node: "n2", Weight: &two}, "c": {Node: "n3", Port: 8081}},
		HealthCheck: &mesh.HealthCheck{Type: mesh.CheckTCP, IntervalMillis: 5000, TimeoutMillis: 2000, Rise: 2, Fall: 3, OnUnhealthy: mesh.KeepConnections},
	}
	tcp := &mesh.PublishedPort{Service: "shop", Published: 80, Target: 8080, Protocol: mesh.TCP, Mode: mesh.Ingress}
	udp := *tcp
	udp.Protocol = mesh.UDP
	change(s, tcp)
	udp.Mode, udp.Locality = tcp.Mode, tcp.Locality
	must(tb, rec.PutService(s))
	must(tb, rec.PutPort(tcp))
	must(tb, rec.PutPort(&udp))
	return rec
}

func asIs(*mesh.Service, *mesh.PublishedPort) {}

// at is endpoint a's address on the n-th node, and c's.
func at(node int, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 255, byte(node), 2}), port)
}

var epA, epB, epC = at(0, 8080), at(1, 8080), at(2, 8081)

func failing(addrs ...netip.AddrPort) Conditions {
	now := Conditions{Unhealthy: map[Check]bool{}}
	for _, addr := range addrs {
		now.Unhealthy[Check{"shop", addr}] = true
	}
	return now
}

// weights are those of a node's destinations of a protocol, as "a1 b2 c1"; d is
// any other.
func weights(s state.State, proto string) string {
	var parts []string
	names := map[netip.AddrPort]string{epA: "a", epB: "b", epC: "c"}
	for _, o := range s {
		if r, ok := o.(state.RealServer); ok && r.Proto == proto {
			name := names[r.Addr]
			if name == "" {
				name = "d"
			}
			parts = append(parts, fmt.Sprintf("%s%d", name, r.Weight))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

func TestConditions(t *testing.T) {
	drained := func(rec *mesh.Record) { rec.Nodes["n2"].Availability = mesh.AvailabilityDrain }
	cut := func(s *mesh.Service, _ *mesh.PublishedPort) { s.HealthCheck.OnUnhealthy = mesh.CutConnections }
	prefer := func(_ *mesh.Service, p *mesh.PublishedPort) { p.Locality = mesh.PreferLocal }
	local := func(_ *mesh.Service, p *mesh.PublishedPort) { p.Locality = mesh.LocalOnly }
	host := func(_ *mesh.Service, p *mesh.PublishedPort) { p.Mode = mesh.Host }
	unchecked := func(s *mesh.Service, _ *mesh.PublishedPort) { s.HealthCheck = nil }
	none := func(s *mesh.Service, _ *mesh.PublishedPort) {
		zero := 0
		s.Endpoints["a"] = mesh.Endpoint{Node: "n1", Weight: &zero}
	}
	tests := []struct {
		name     string
		change   func(*mesh.Service, *mesh.PublishedPort)
		record   func(*mesh.Record)
		now      Conditions
		tcp, udp string // on n1
	}{
		{name: "all is well", tcp: "a1 b2 c1", udp: "a1 b2 c1"},
		{name: "one fails: udp, of which weight 0 would hold its flows, has none", now: failing(epB), tcp: "a1 b0 c1", udp: "a1 c1"},
		{name: "one fails, its connections are cut", change: cut, now: failing(epB), tcp: "a1 c1", udp: "a1 c1"},
		{name: "the one with a port of its own fails", now: failing(epC), tcp: "a1 b2 c0", udp: "a1 b2"},
		{name: "all fail: all are kept", now: failing(epA, epB, epC), tcp: "a1 b2 c1", udp: "a1 b2 c1"},
		{name: "all fail, cut: all are kept", change: cut, now: failing(epA, epB, epC), tcp: "a1 b2 c1", udp: "a1 b2 c1"},
		{name: "all fail but one of weight 0: all are kept", change: none, now: failing(epB, epC), tcp: "a0 b2 c1", udp: "a0 b2 c1"},
		{name: "a check that is none any more", change: unchecked, now: failing(epA, epB), tcp: "a1 b2 c1", udp: "a1 b2 c1"},
		{name: "weight 0 is asked for", change: none, tcp: "a0 b2 c1", udp: "a0 b2 c1"},
		{name: "the local one is preferred", change: prefer, tcp: "a1 b0 c0", udp: "a1"},
		{name: "the local one is preferred and fails", change: prefer, now: failing(epA), tcp: "a0 b2 c1", udp: "b2 c1"},
		{name: "the local one is preferred, all fail", change: prefer, now: failing(epA, epB, epC), tcp: "a1 b2 c1", udp: "a1 b2 c1"},
		{name: "local ones only", change: local, tcp: "a1", udp: "a1"},
		{name: "local ones only, it fails", change: local, now: failing(epA), tcp: "a1", udp: "a1"},
		{name: "host mode", change: host, tcp: "a1", udp: "a1"},
		{name: "a node drains", record: drained, tcp: "a1 c1", udp: "a1 c1"},
		{name: "the local one is preferred and its node drains", change: prefer, tcp: "b2 c1", udp: "b2 c1",
			record: func(rec *mesh.Record) { rec.Nodes["n1"].Availability = mesh.AvailabilityDrain }},
		{name: "a node drains, its destination still has connections", record: drained, tcp: "a1 b0 c1", udp: "a1 c1", now: drains(epB)},
		{name: "one that is asked for does not drain", now: drains(epB), tcp: "a1 b2 c1", udp: "a1 b2 c1"},
		{name: "one that has left drains", now: drains(at(7, 9)), tcp: "a1 b2 c1 d0", udp: "a1 b2 c1"},
		{name: "one drains, another fails", now: Conditions{Unhealthy: failing(epC).Unhealthy, Draining: drains(at(7, 9)).Draining}, tcp: "a1 b2 c0 d0", udp: "a1 b2"},
		{name: "all fail, one that drains does not serve in their place", tcp: "a1 b2 c1 d0", udp: "a1 b2 c1",
			now: Conditions{Unhealthy: failing(epA, epB, epC).Unhealthy, Draining: drains(at(7, 9)).Draining}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.change == nil {
				tt.change = asIs
			}
			rec := shop(t, tt.change)
			if tt.record != nil {
				tt.record(rec)
			}
			s := Compile(rec, "n1", debian12, tt.now)
			if got := weights(s, "tcp"); got != tt.tcp {
				t.Errorf("tcp: %q, want %q", got, tt.tcp)
			}
			if got := weights(s, "udp"); got != tt.udp {
				t.Errorf("udp: %q, want %q", got, tt.udp)
			}
			for range 5 {
				if again := Compile(rec, "n1", debian12, tt.now); !maps.Equal(again, s) {
					t.Fatalf("another time: %s", render(again))
				}
			}
		})
	}
}

func drains(addr netip.AddrPort) Conditions {
	return Conditions{Draining: map[Frontend][]netip.AddrPort{Published(mesh.PortKey{Port: 80, Protocol: mesh.TCP}): {addr}}}
}

// Conditions change destinations and nothing else, but for what lets traffic in to
// one of this node that drains.
func TestConditionsChangeDestinationsOnly(t *testing.T) {
	rec := shop(t, asIs)
	before := Compile(rec, "n1", debian12, Conditions{})
	for _, now := range []Conditions{failing(epA), failing(epB, epC), failing(epA, epB, epC), drains(at(7, 9))} {
		for _, op := range state.Plan(Compile(rec, "n1", debian12, now), before) {
			if op.Object().Key().Kind != state.KindRealServer {
				t.Errorf("%+v: %s", now, op)
			}
		}
	}
	rec.Services["shop"].Endpoints["a"] = mesh.Endpoint{Node: "n3"}
	s := Compile(rec, "n1", debian12, drains(epA))
	if _, ok := s[(state.SetMember{Set: "routingmesh-ep-tcp", Port: 8080}).Key()]; !ok {
		t.Error("the endpoint of this node that drains is not let its traffic")
	}
}

func TestTwoEndpointsAtOneAddress(t *testing.T) {
	three := 3
	rec := shop(t, func(s *mesh.Service, _ *mesh.PublishedPort) {
		s.Endpoints["z"] = mesh.Endpoint{Node: "n1", Port: 8080, Weight: &three}
	})
	if got := weights(Compile(rec, "n2", debian12, Conditions{}), "tcp"); got != "a1 b2 c1" {
		t.Errorf("%q: the first of the two counts", got)
	}
	if got := Checks(rec, "n2")[Check{"shop", epA}]; got != "a" {
		t.Errorf("the check is of %q, want a", got)
	}
	if got := weights(Compile(rec, "n2", debian12, failing(epA)), "tcp"); got != "a0 b2 c1" {
		t.Errorf("when it fails: %q", got)
	}
}

func TestChecks(t *testing.T) {
	port := func(n uint16) func(*mesh.Service, *mesh.PublishedPort) {
		return func(s *mesh.Service, _ *mesh.PublishedPort) { s.HealthCheck.Port = n }
	}
	tests := []struct {
		name   string
		change func(*mesh.Service, *mesh.PublishedPort)
		record func(*mesh.Record)
		want   map[Check]string
	}{
		{"its tcp ports", asIs, nil, map[Check]string{{"shop", epA}: "a", {"shop", epB}: "b", {"shop", epC}: "c"}},
		{"a port of its own", port(9), nil, map[Check]string{{"shop", at(0, 9)}: "a", {"shop", at(1, 9)}: "b", {"shop", at(2, 9)}: "c"}},
		{"two published ports", asIs, func(rec *mesh.Record) { putPort(t, rec, "shop", 443, 8443, mesh.TCP, mesh.Ingress) },
			map[Check]string{{"shop", epA}: "a", {"shop", epB}: "b", {"shop", epC}: "c", {"shop", at(0, 8443)}: "a", {"shop", at(1, 8443)}: "b"}},
		{"no check", func(s *mesh.Service, _ *mesh.PublishedPort) { s.HealthCheck = nil }, nil, map[Check]string{}},
		{"nothing published", asIs, func(rec *mesh.Record) { clear(rec.Ports) }, map[Check]string{}},
		{"only udp published", asIs, func(rec *mesh.Record) { rec.RemovePort(mesh.PortKey{Port: 80, Protocol: mesh.TCP}) }, map[Check]string{}},
		{"only udp published, a port of its own", port(9), func(rec *mesh.Record) { rec.RemovePort(mesh.PortKey{Port: 80, Protocol: mesh.TCP}) },
			map[Check]string{{"shop", at(0, 9)}: "a", {"shop", at(1, 9)}: "b", {"shop", at(2, 9)}: "c"}},
		{"a node that drains", asIs, func(rec *mesh.Record) { rec.Nodes["n2"].Availability = mesh.AvailabilityDrain }, map[Check]string{{"shop", epA}: "a", {"shop", epC}: "c"}},
		{"a node that has left", asIs, func(rec *mesh.Record) { rec.RemoveNode("n2") }, map[Check]string{{"shop", epA}: "a", {"shop", epC}: "c"}},
	}
	for _, tt := range tests {
		rec := shop(t, tt.change)
		if tt.record != nil {
			tt.record(rec)
		}
		if got := Checks(rec, "n1"); !maps.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	if Checks(nil, "n1") != nil || Checks(shop(t, asIs), "n9") != nil {
		t.Error("a host that is no node has something to check")
	}
	s := Compile(shop(t, port(9)), "n1", debian12, Conditions{})
	if _, ok := s[(state.SetMember{Set: "routingmesh-ep-tcp", Port: 9}).Key()]; !ok {
		t.Error("the checked port is not let the other nodes' checks")
	}
}

func TestServesAndKept(t *testing.T) {
	prefer := func(_ *mesh.Service, p *mesh.PublishedPort) { p.Locality = mesh.PreferLocal }
	tests := []struct {
		name       string
		change     func(*mesh.Service, *mesh.PublishedPort)
		record     func(*mesh.Record)
		now        Conditions
		all, local int
		kept       bool // a
	}{
		{"all is well", asIs, nil, Conditions{}, 3, 1, false},
		{"one elsewhere fails", asIs, nil, failing(epB), 2, 1, false},
		{"the local one fails", asIs, nil, failing(epA), 2, 0, false},
		{"all fail", asIs, nil, failing(epA, epB, epC), 0, 0, true},
		{"the local one is preferred", prefer, nil, Conditions{}, 1, 1, false},
		{"a draining one does not serve", asIs, nil, drains(at(7, 9)), 3, 1, false},
		{"one of its ports has nobody", asIs, func(rec *mesh.Record) {
			must(t, rec.PutPort(&mesh.PublishedPort{Service: "shop", Published: 81, Target: 8080, Protocol: mesh.TCP, Mode: mesh.Ingress, Locality: mesh.LocalOnly}))
			rec.Services["shop"].Endpoints["a"] = mesh.Endpoint{Node: "n3"}
		}, Conditions{}, 0, 0, false},
		{"no port", asIs, func(rec *mesh.Record) { clear(rec.Ports) }, Conditions{}, 0, 0, false},
	}
	for _, tt := range tests {
		rec := shop(t, tt.change)
		if tt.record != nil {
			tt.record(rec)
		}
		if all, local := Serves(rec, "n1", "shop", tt.now); all != tt.all || local != tt.local {
			t.Errorf("%s: %d serve, %d of them here, want %d and %d", tt.name, all, local, tt.all, tt.local)
		}
		if got := Kept(rec, "n1", Check{"shop", epA}, tt.now); got != tt.kept {
			t.Errorf("%s: kept is %t", tt.name, got)
		}
	}
	rec := shop(t, asIs)
	if all, _ := Serves(rec, "n9", "shop", Conditions{}); all != 0 || Kept(rec, "n9", Check{"shop", epA}, failing(epA, epB, epC)) || Kept(rec, "n1", Check{"nosuch", epA}, failing(epA)) {
		t.Error("a host that is no node, or a service that is none, serves")
	}
}
