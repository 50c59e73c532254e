package compile

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// withMembers is threeNodes with the network back, and in it the service db, which publishes
// nothing, with two slots on n2 and one on n3.
func withMembers(t *testing.T, change func(*mesh.Service)) *mesh.Record {
	t.Helper()
	rec := threeNodes(t)
	must(t, rec.PutNetwork(&mesh.Network{Name: "back"}))
	c := &mesh.Container{Labels: map[string]string{"app": "db"}}
	db := &mesh.Service{
		Name: "db", Networks: map[string]mesh.Membership{"back": {}},
		Endpoints: map[string]mesh.Endpoint{"a": {Node: "n2", Container: c, Slots: make([]uint16, 2)}, "b": {Node: "n3", Container: c, Slots: make([]uint16, 1)}},
		HealthCheck: &mesh.HealthCheck{
			Type: mesh.CheckTCP, Port: 5432, IntervalMillis: 5000, TimeoutMillis: 2000, Rise: 2, Fall: 3, OnUnhealthy: mesh.KeepConnections,
		},
	}
	change(db)
	must(t, rec.PutService(db))
	return rec
}

func asTheyAre(*mesh.Service) {}

// TestMembers_Attached: the container of a service in networks has its link, and its node N,
// although the service publishes nothing; with the networks both go.
func TestMembers_Attached(t *testing.T) {
	in := withMembers(t, asTheyAre)
	out := withMembers(t, func(s *mesh.Service) { s.Networks = nil })
	published := withContainers(t)
	link, presence := state.Attachment{Slot: slot(1, 128)}.Key(), presenceAddress(in.Nodes["n2"]).Key()
	filled := Conditions{Containers: map[netip.Addr]state.Process{slot(1, 128): {PID: 4711, Start: 99}}}
	var d Desired
	for i, step := range []struct {
		rec            *mesh.Record
		now            Conditions
		links, telling bool
	}{
		{out, Conditions{}, false, false}, {in, Conditions{}, false, true}, {in, filled, true, true}, {out, Conditions{}, false, false},
		{published, Conditions{}, false, true}, {in, Conditions{}, false, true}, {published, Conditions{}, false, true}, {out, filled, true, true},
	} {
		d.Follow(step.rec, "n2", debian12, step.now)
		sameState(t, fmt.Sprintf("step %d", i), d.State, Compile(step.rec, "n2", debian12, step.now))
		_, links := d.State[link]
		_, telling := d.State[presence]
		if links != step.links || telling != step.telling {
			t.Errorf("step %d: a link: %t, N: %t", i, links, telling)
		}
	}
	next := out.Next() // by a change, which compares no more than it has in it
	db := *in.Services["db"]
	must(t, next.PutService(&db))
	if _, known := portsOf(mesh.Diff(out, next), out, next, "n2"); known {
		t.Error("the change of a service that joins a network is taken for one of ports")
	}
}

// TestMembers_Checks: what members reach of a service is checked, though nothing is published:
// the port of the check, or the targets of the VIP's tcp ports.
func TestMembers_Checks(t *testing.T) {
	first, second, third := slot(1, 128), slot(1, 129), slot(2, 128)
	at := netip.AddrPortFrom
	vipPorts := func(s *mesh.Service) {
		s.VIPPorts = map[mesh.PortKey]uint16{{Port: 80, Protocol: mesh.TCP}: 8080, {Port: 53, Protocol: mesh.UDP}: 5353}
	}
	for name, test := range map[string]struct {
		change func(*mesh.Service)
		want   map[Check]string
	}{
		"the check's port": {asTheyAre, map[Check]string{{"db", at(first, 5432)}: "a", {"db", at(second, 5432)}: "a", {"db", at(third, 5432)}: "b"}},
		"names lead to the containers": {func(s *mesh.Service) { s.EndpointMode = mesh.EndpointDNSRR },
			map[Check]string{{"db", at(first, 5432)}: "a", {"db", at(second, 5432)}: "a", {"db", at(third, 5432)}: "b"}},
		"the targets of tcp": {func(s *mesh.Service) { vipPorts(s); s.HealthCheck.Port = 0 },
			map[Check]string{{"db", at(first, 8080)}: "a", {"db", at(second, 8080)}: "a", {"db", at(third, 8080)}: "b"}},
		"a process": {func(s *mesh.Service) {
			vipPorts(s)
			s.HealthCheck.Port = 0
			s.Endpoints = map[string]mesh.Endpoint{"a": {Node: "n2"}, "b": {Node: "n3", Port: 81}}
		}, map[Check]string{{"db", at(slot(1, 2), 8080)}: "a", {"db", at(slot(2, 2), 81)}: "b"}},
		"no check":      {func(s *mesh.Service) { s.HealthCheck = nil }, map[Check]string{}},
		"in no network": {func(s *mesh.Service) { s.Networks = nil }, map[Check]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			rec := withMembers(t, test.change)
			if got := Checks(rec, "n1"); !maps.Equal(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

// TestMembers_ServesAndKept: they are counted as those of published ports are.
func TestMembers_ServesAndKept(t *testing.T) {
	first, second, third := netip.AddrPortFrom(slot(1, 128), 5432), netip.AddrPortFrom(slot(1, 129), 5432), netip.AddrPortFrom(slot(2, 128), 5432)
	of := func(addrs ...netip.AddrPort) Conditions {
		now := Conditions{Unhealthy: map[Check]bool{}}
		for _, a := range addrs {
			now.Unhealthy[Check{"db", a}] = true
		}
		return now
	}
	empty := of(second, third)
	empty.Absent = map[netip.Addr]bool{first.Addr(): true}
	byPort := func(s *mesh.Service) { s.VIPPorts = map[mesh.PortKey]uint16{{Port: 80, Protocol: mesh.TCP}: 8080} }
	for name, test := range map[string]struct {
		change     func(*mesh.Service)
		now        Conditions
		all, local int
		kept       bool // third
	}{
		"all is well":                       {asTheyAre, Conditions{}, 3, 2, false},
		"one fails":                         {asTheyAre, of(third), 2, 2, false},
		"all fail":                          {asTheyAre, of(first, second, third), 0, 0, true},
		"all fail, by ports":                {byPort, of(first, second, third), 0, 0, true},
		"all fail but an empty one":         {asTheyAre, empty, 0, 0, true},
		"all fail that their names lead to": {func(s *mesh.Service) { s.EndpointMode = mesh.EndpointDNSRR }, of(first, second, third), 0, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			rec := withMembers(t, test.change)
			if all, local := Serves(rec, "n2", "db", test.now); all != test.all || local != test.local {
				t.Errorf("%d serve, %d of them here, want %d and %d", all, local, test.all, test.local)
			}
			if got := Kept(rec, "n2", Check{"db", third}, test.now); got != test.kept {
				t.Errorf("kept is %t", got)
			}
		})
	}
}
