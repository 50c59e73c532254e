//go:build kernel

package kernel_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Every setting of a service is read back as it was asked for, and changed in
// place: an established connection goes on through all of it.
func TestServiceSettingsChangeInPlace(t *testing.T) {
	s := newTrio(t)
	s.endpoints(place{1, 81, 0}, place{2, 81, 0})
	settings := []state.VirtualServer{
		{Proto: "tcp", Scheduler: "rr", AffinitySeconds: 600, AffinityBits: 32},
		{Proto: "tcp", Scheduler: "rr", AffinitySeconds: 2678400, AffinityBits: 24},
		{Proto: "tcp", Scheduler: "rr", AffinitySeconds: 1, AffinityBits: 1},
	}
	for _, name := range mesh.Schedulers() {
		settings = append(settings, state.VirtualServer{Proto: "tcp", Scheduler: name})
	}
	s.serve(state.VirtualServer{Proto: "tcp", Scheduler: "rr"}, 8080, place{1, 81, 1}, place{2, 81, 1})
	c := s.mustConnect(netip.Addr{}, s.a, 8080)
	defer c.Close()
	for _, v := range settings {
		s.serveOn(s.a, v, 8080, place{1, 81, 1}, place{2, 81, 1})
		if err := c.echo(); err != nil {
			t.Fatalf("after %s: %v", v, err)
		}
		if name := s.endpoint(netip.Addr{}, s.a, 8080); name == "" {
			t.Errorf("%s: nobody answers", v)
		}
	}
	for _, weight := range []int{0, mesh.MaxWeight, 1} {
		s.serveOn(s.a, state.VirtualServer{Proto: "tcp", Scheduler: "wlc"}, 8080, place{1, 81, weight}, place{2, 81, weight})
		if err := c.echo(); err != nil {
			t.Fatalf("after weight %d: %v", weight, err)
		}
	}
	s.serveOn(s.a, state.VirtualServer{Proto: "udp", Scheduler: "rr", OnePacket: true}, 8080, place{1, 81, 1})
	s.serveOn(s.a, state.VirtualServer{Proto: "udp", Scheduler: "mh"}, 8080, place{1, 81, 1})
}

// What somebody changes about a service is seen, and repaired.
func TestServiceSettingsAreSeen(t *testing.T) {
	m := newMachine(t, "a")
	want := desired(t, 1, 2)
	v := state.VirtualServer{Proto: "tcp", Addr: netip.MustParseAddrPort("10.255.1.1:8080"), Scheduler: "mh"}
	want.Put(v, state.SetMember{Set: "routingmesh-tcp", Port: 8080})
	m.reach(want, 1)
	tests := []struct{ command, want string }{
		{"ipvsadm -E -t 10.255.1.1:8080 -s mh", "the clients of a destination of weight 0 are refused"},
		{"ipvsadm -E -t 10.255.1.1:8080 -s mh -b mh-fallback,mh-port", "flags 0x10"},
		{"ipvsadm -E -t 10.255.1.1:8080 -s mh -b mh-fallback -p 77 -M 255.255.0.0", "persistent 77 s /16"},
		{"ipvsadm -E -t 10.255.1.1:8080 -s wrr", "wrr"},
	}
	for _, tt := range tests {
		m.mesh(tt.command)
		ops := state.Plan(withoutChains(want), m.traffic())
		if len(ops) != 1 || ops[0].Action != state.Change || !strings.Contains(ops[0].Old.String(), tt.want) {
			t.Errorf("%s: plan %s, want a change of %s", tt.command, text(ops), tt.want)
		}
		m.settle(want)
	}
}

// A scheduler that the kernel does not have is an error that says so.
func TestUnknownScheduler(t *testing.T) {
	m := newMachine(t, "a")
	want := desired(t, 1, 2)
	m.reach(want, 1)
	want.Put(state.VirtualServer{Proto: "tcp", Addr: netip.MustParseAddrPort("10.255.1.1:8080"), Scheduler: "nosuch"})
	failed := m.Apply(context.Background(), m.plan(want))
	if len(failed) != 1 || !strings.Contains(failed[0].Err.Error(), "the kernel has no IPVS scheduler nosuch (modprobe ip_vs_nosuch") {
		t.Errorf("errors: %v", failed)
	}
}

// Loads are those of the moment, of all services, also of those that /proc leaves
// out.
func TestLoads(t *testing.T) {
	s := newTrio(t)
	s.endpoints(place{1, 81, 0}, place{2, 81, 0})
	for port := uint16(10000); port < 10200; port++ {
		s.asked(s.a, state.VirtualServer{Proto: "tcp", Scheduler: "rr"}, port, place{1, 81, 1})
		s.asked(s.b, state.VirtualServer{Proto: "tcp", Scheduler: "rr"}, port, place{1, 81, 1})
	}
	s.serve(state.VirtualServer{Proto: "tcp", Scheduler: "rr"}, 8080, place{1, 81, 1}, place{2, 81, 1})
	open := s.connections(s.a, 8080, 6, caller)
	to := func(n node) state.Key {
		return state.RealServer{Proto: "tcp", Server: netip.AddrPortFrom(node(1).S(), 8080), Addr: netip.AddrPortFrom(n.H(), 81)}.Key()
	}
	loads, err := s.a.Loads(t.Context())
	s.a.must(err)
	if len(loads) != 202 || loads[to(1)].Active != 3 || loads[to(2)].Active != 3 {
		t.Errorf("%d destinations, %+v and %+v", len(loads), loads[to(1)], loads[to(2)])
	}
	closeAll(open)
	until(t, 5*time.Second, "the connections have ended", func() bool {
		loads, err := s.a.Loads(t.Context())
		s.a.must(err)
		return loads[to(1)].Active == 0 && loads[to(1)].Inactive == 3
	})
	if loads, err := s.c.Loads(t.Context()); err != nil || len(loads) != 0 {
		t.Errorf("without a namespace: %v, %v", loads, err)
	}
}
