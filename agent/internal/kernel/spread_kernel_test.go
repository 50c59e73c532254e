//go:build kernel

package kernel_test

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// wlc spreads 3,000 connections over endpoints of weight 1, 2 and 3 as 1:2:3.
func TestWeightedLeastConnections(t *testing.T) {
	s := newTrio(t)
	places := []place{{1, 81, 1}, {2, 81, 2}, {2, 82, 3}}
	s.endpoints(places...)
	s.serve(state.VirtualServer{Proto: "tcp", Scheduler: "wlc"}, 8080, places...)
	const total = 3000
	open := s.connections(s.a, 8080, total, func(i int) netip.Addr { return caller(i % 100) })
	counts := map[string]int{}
	for _, c := range open {
		counts[c.name]++
	}
	for name, weight := range map[string]float64{"a:81": 1, "b:81": 2, "b:82": 3} {
		want := total * weight / 6
		off := float64(counts[name])/want - 1
		t.Logf("%s, weight %.0f: %d of %d connections, %+.2f %% of its share", name, weight, counts[name], total, 100*off)
		if math.Abs(off) > 0.05 {
			t.Errorf("%s has %d connections, want %.0f", name, counts[name], want)
		}
	}
}

// When one of ten endpoints leaves, mh moves its clients and few others.
func TestMaglevMovesFewClients(t *testing.T) {
	s := newTrio(t)
	v, all := state.VirtualServer{Proto: "tcp", Scheduler: "mh"}, tenPlaces()
	s.endpoints(all...)
	s.serve(v, 8080, all...)
	const clients = 1000
	before := s.mapping(s.a, 8080, clients)
	s.serve(v, 8080, slices.Delete(slices.Clone(all), 3, 4)...)
	after := s.mapping(s.a, 8080, clients)
	moved := 100 * float64(differences(before, after)) / clients
	t.Logf("%.1f %% of %d clients move when one of ten endpoints leaves", moved, clients)
	if moved < 8 || moved > 12 {
		t.Errorf("%.1f %% of the clients move, want 8–12", moved)
	}
}

// A client stays with its endpoint for as long as that gets connections. Its first
// connection is alone, here as below: of two at the same moment on two processors,
// each makes the client a template of its own (ip_vs_sched_persist looks and adds
// without a lock), and the one added last is kept to from then on.
func TestAffinity(t *testing.T) {
	s := newTrio(t)
	places := []place{{1, 81, 1}, {2, 81, 1}, {2, 82, 1}}
	s.endpoints(places...)
	v := state.VirtualServer{Proto: "tcp", Scheduler: "rr", AffinitySeconds: 600, AffinityBits: 32}
	s.serve(v, 8080, places...)
	stays := func(what string) string {
		t.Helper()
		s.mustConnect(caller(1), s.a, 8080).Close()
		open := s.connections(s.a, 8080, 20, func(int) netip.Addr { return caller(1) })
		defer closeAll(open)
		for _, c := range open {
			if c.name != open[0].name {
				t.Fatalf("%s: the client is sent to %s and to %s", what, open[0].name, c.name)
			}
		}
		return open[0].name
	}
	at := func(name string) int {
		return slices.IndexFunc(places, func(p place) bool { return p.name() == name })
	}
	first := stays("at first")
	if others := s.spread(30, 8080); others < 3 {
		t.Errorf("30 clients are at %d endpoints, want 3", others)
	}
	places[at(first)].weight = 0
	s.serve(v, 8080, places...)
	second := stays("after its endpoint got weight 0")
	if second == first {
		t.Errorf("the client stays at %s, which has weight 0", first)
	}
	s.serve(v, 8080, slices.Delete(slices.Clone(places), at(second), at(second)+1)...)
	if third := stays("after its endpoint was removed"); third == second {
		t.Errorf("the client stays at %s, which is removed", second)
	}
	// Clients of one /24 are one where that much of an address makes a client.
	v.AffinityBits = 24
	s.serve(v, 8081, place{1, 81, 1}, place{2, 81, 1}, place{2, 82, 1})
	s.mustConnect(caller(1), s.a, 8081).Close()
	if n := s.spread(30, 8081); n != 1 {
		t.Errorf("30 clients of one /24 are at %d endpoints, want 1", n)
	}
}

// spread is to how many endpoints n clients are sent.
func (s *trio) spread(n int, port uint16) int {
	names := map[string]bool{}
	for _, name := range s.mapping(s.a, port, n) {
		names[name] = true
	}
	return len(names)
}

func (p place) name() string {
	return fmt.Sprintf("%s:%d", map[node]string{1: "a", 2: "b"}[p.on], p.port)
}
