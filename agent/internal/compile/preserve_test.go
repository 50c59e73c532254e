package compile

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func preservedPort(published, target uint16, proto mesh.Protocol, service string) *mesh.PublishedPort {
	return &mesh.PublishedPort{Service: service, Published: published, Target: target, Protocol: proto, Mode: mesh.Ingress, ClientAddress: mesh.Preserve}
}

// preserved has the services of threeNodes, some on ports that preserve the client's address.
func preserved(t *testing.T) *mesh.Record {
	t.Helper()
	rec := threeNodes(t)
	must(t, rec.PutPort(preservedPort(8081, 80, mesh.TCP, "web")))
	must(t, rec.PutPort(preservedPort(54, 53, mesh.UDP, "dns")))
	return rec
}

// TestPreserve_EntryAddresses: each entry node has its own address at an endpoint's node,
// which is local there, routed from the entry node, and routed back to it.
func TestPreserve_EntryAddresses(t *testing.T) {
	rec := preserved(t)
	n1, n2 := rec.Nodes["n1"], rec.Nodes["n2"]
	if at := n2.EntryAddress(n1); at == n1.EntryAddress(n2) || at == n2.EntryAddress(n2) || !n2.EntryBlock().Contains(at) {
		t.Fatalf("n2 gets what comes in by n1 at %s, beside %s and %s", at, n1.EntryAddress(n2), n2.EntryAddress(n2))
	}
	entry, endpoint := Compile(rec, "n1", debian12, Conditions{}), Compile(rec, "n2", debian12, Conditions{})
	server := netip.AddrPortFrom(n1.PreserveAddress(), 8081)
	for s, objects := range map[string][]state.Object{
		"entry": {
			state.VirtualServer{Proto: "tcp", Addr: server},
			state.RealServer{Proto: "tcp", Server: server, Addr: netip.AddrPortFrom(n2.EntryAddress(n1), 80)},
			state.SetMember{Set: "routingmesh-keep-tcp", Port: 8081},
			state.Route{NS: state.Mesh, Table: state.MainTable, Dst: n2.EntryBlock()},
		},
		"endpoint": {
			state.Route{NS: state.Host, Table: state.LocalTable, Dst: n2.EntryBlock()},
			state.Rule{NS: state.Mesh, From: only(n2.EntryAddress(n1)), Priority: state.RulePriority + 1},
			state.Route{NS: state.Mesh, Table: entryTable(n1), Dst: everywhere()},
		},
	} {
		for _, o := range objects {
			if _, ok := map[string]state.State{"entry": entry, "endpoint": endpoint}[s][o.Key()]; !ok {
				t.Errorf("the %s node has no %s", s, o)
			}
		}
	}
}

// TestPreserve_NothingWithoutSuchAPort: a cluster without such a port has nothing of it,
// also after the last one was removed, and all while one is there or was changed.
func TestPreserve_NothingWithoutSuchAPort(t *testing.T) {
	var d Desired
	rec := preserved(t)
	key := mesh.PortKey{Port: 8081, Protocol: mesh.TCP}
	plain := *rec.Ports[key]
	plain.ClientAddress = mesh.EntryNode
	marked := state.Rule{Mark: rec.Cluster.Mark(), Priority: state.RulePriority}.Key()
	for i, step := range []struct {
		change func(r *mesh.Record) error
		want   bool
	}{
		{func(r *mesh.Record) error { r.RemovePort(mesh.PortKey{Port: 54, Protocol: mesh.UDP}); return nil }, true},
		{func(r *mesh.Record) error { return r.PutPort(&plain) }, true}, // connections from before go on
		{func(r *mesh.Record) error { r.RemovePort(key); return nil }, false},
		{func(r *mesh.Record) error { return r.PutPort(preservedPort(8081, 80, mesh.TCP, "web")) }, true},
		{func(r *mesh.Record) error { r.RemovePort(key); return nil }, false},
		{func(r *mesh.Record) error { return r.PutPort(&plain) }, false},
	} {
		rec = rec.Clone()
		must(t, step.change(rec))
		c := d.Follow(rec, "n2", debian12, Conditions{})
		if _, has := d.State[marked]; has != step.want {
			t.Errorf("step %d: %t, want %t", i, has, step.want)
		}
		sameState(t, fmt.Sprintf("step %d", i), d.State, Compile(rec, "n2", debian12, Conditions{}))
		if _, after := c.After[marked]; after != step.want && c.Whole {
			t.Errorf("step %d: the change says %t", i, after)
		}
	}
}

func sameState(t *testing.T, when string, got, want state.State) {
	t.Helper()
	for _, op := range state.Plan(want, got) {
		t.Errorf("%s: to do: %s", when, op)
	}
}

// TestPreserve_Change: what drains from before client_address was changed stays at its own
// virtual address, new connections have the other one.
func TestPreserve_Change(t *testing.T) {
	for _, now := range []mesh.ClientAddress{mesh.EntryNode, mesh.Preserve} {
		rec := preserved(t)
		key, n1, n2 := mesh.PortKey{Port: 8081, Protocol: mesh.TCP}, rec.Nodes["n1"], rec.Nodes["n2"]
		old, other, server := n2.HostAddress(), n1.MeshAddress(), n1.PreserveAddress()
		if now == mesh.EntryNode {
			changed := *rec.Ports[key]
			changed.ClientAddress = now
			must(t, rec.PutPort(&changed))
			old, other, server = n2.EntryAddress(n1), n1.PreserveAddress(), n1.MeshAddress()
		}
		drains := netip.AddrPortFrom(old, 80)
		s := Compile(rec, "n1", debian12, Conditions{Draining: map[Frontend][]netip.AddrPort{Published(key): {drains}}})
		virtual := netip.AddrPortFrom(other, 8081)
		if _, ok := s[state.VirtualServer{Proto: "tcp", Addr: virtual}.Key()]; !ok {
			t.Errorf("to %q: there is no %s for what drains", now, virtual)
		}
		if o := s[state.RealServer{Proto: "tcp", Server: virtual, Addr: drains}.Key()]; o == nil || o.(state.RealServer).Weight != 0 {
			t.Errorf("to %q: it drains as %v", now, o)
		}
		if _, ok := s[state.VirtualServer{Proto: "tcp", Addr: netip.AddrPortFrom(server, 8081)}.Key()]; !ok {
			t.Errorf("to %q: new connections have no server at %s", now, server)
		}
		if names := EndpointNames(rec, "n1", Published(key)); now == mesh.EntryNode && names[drains] != "a" {
			t.Errorf("to %q: %s has no name: %v", now, drains, names)
		}
	}
}
