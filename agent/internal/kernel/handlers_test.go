package kernel

import (
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// A kind that lacks a part would be written and never seen, or seen and never removed.
func TestHandlers_EveryKindHasEveryPart(t *testing.T) {
	t.Parallel()
	for kind := range state.Kinds {
		h := handlers[kind]
		if kind == state.KindOwnFile {
			if h.observe != nil || h.put != nil {
				t.Error("the agent's own files are not in the kernel")
			}
			continue
		}
		if h.observe == nil && handlers[h.with].observe == nil {
			t.Errorf("kind %d is not observed, neither by itself nor along with kind %d", kind, h.with)
		}
		if (h.put == nil || h.remove == nil) && (h.batch == nil || h.together == nil) {
			t.Errorf("kind %d cannot be written", kind)
		}
		if h.many && h.together == nil {
			t.Errorf("kind %d may have thousands, and each is written by itself", kind)
		}
	}
}

// What has the key of another kind is refused, and does not end the agent.
func TestHandlers_WrongType_Error(t *testing.T) {
	t.Parallel()
	h := handlers[state.KindRoute]
	if err := h.put(nil, t.Context(), nil, state.FDB{}); err == nil || err.Error() != "a state.FDB has the key of a state.Route" {
		t.Errorf("put: %v", err)
	}
	if err := h.remove(nil, t.Context(), state.FDB{}); err == nil {
		t.Error("removed")
	}
}

// Only what changes the way of packets into the mesh makes us read conntrack.
func TestHandlers_WhatSteers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		o    state.Object
		want bool
	}{
		{state.NetNS{}, true},
		{state.Addr{NS: state.Mesh, Link: "lo"}, true},
		{state.Addr{NS: state.Host, Link: state.HostLink}, false},
		{state.VirtualServer{Proto: "udp"}, true},
		{state.VirtualServer{Proto: "tcp"}, false},
		{state.RealServer{Proto: "udp"}, true},
		{state.RealServer{Proto: "tcp"}, false},
		{state.SetMember{Set: "routingmesh-udp", Port: 53}, true},
		{state.SetMember{Set: "routingmesh-tcp", Port: 53}, false},
		{state.Chain{Table: "nat"}, true},
		{state.Chain{Table: "filter"}, false},
		{state.Route{}, false},
		{state.OwnFile{}, false},
	} {
		if got := changesFlows(state.Op{Action: state.Add, New: tt.o}); got != tt.want {
			t.Errorf("%T %+v: %t, want %t", tt.o, tt.o, got, tt.want)
		}
	}
}
