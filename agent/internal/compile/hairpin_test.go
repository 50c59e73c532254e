package compile

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// TestHairpin: its members are what a VIP may lead back to where it came from: this node's
// endpoints of services that have one, also while they leave.
func TestHairpin(t *testing.T) {
	in := withMembers(t, asTheyAre)
	process := withMembers(t, func(s *mesh.Service) {
		s.VIPPorts = map[mesh.PortKey]uint16{{Port: 80, Protocol: mesh.TCP}: 8080}
		s.Endpoints = map[string]mesh.Endpoint{"a": {Node: "n2"}}
	})
	rr := withMembers(t, func(s *mesh.Service) { s.EndpointMode = mesh.EndpointDNSRR })
	elsewhere := withMembers(t, func(s *mesh.Service) { delete(s.Endpoints, "a") })
	leaving := func(networks mesh.NetworkSet) Conditions {
		return Conditions{Leaving: map[netip.Addr]mesh.NetworkSet{slot(1, 140): networks}}
	}
	var d Desired
	for i, step := range []struct {
		rec  *mesh.Record
		now  Conditions
		want string
	}{
		{in, Conditions{}, "10.255.1.128 10.255.1.129"},
		{process, Conditions{}, "10.255.1.2"},
		{in, leaving("back"), "10.255.1.128 10.255.1.129 10.255.1.140"},
		{in, leaving(""), "10.255.1.128 10.255.1.129"},
		{rr, Conditions{}, ""},
		{rr, leaving("back"), "10.255.1.140"},
		{elsewhere, Conditions{}, ""},
		{in, Conditions{}, "10.255.1.128 10.255.1.129"},
		{threeNodes(t), leaving("back"), ""},
	} {
		d.Follow(step.rec, "n2", debian12, step.now)
		sameState(t, fmt.Sprintf("step %d", i), d.State, Compile(step.rec, "n2", debian12, step.now))
		h, there := d.State[state.Hairpin{}.Key()].(state.Hairpin)
		if h.Members != step.want || there != (step.want != "") || there && h.Source != slot(1, 7) {
			t.Errorf("step %d: %t, %+v, want %q", i, there, h, step.want)
		}
	}
	next := process.Next() // by a change, which compares no more than it has in it
	api := *process.Services["db"]
	api.Endpoints = map[string]mesh.Endpoint{"a": {Node: "n3"}}
	must(t, next.PutService(&api))
	if _, known := portsOf(mesh.Diff(process, next), process, next, "n2"); known {
		t.Error("the change of where an endpoint is that a VIP leads to is taken for one of ports")
	}
}
