package meshclient

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// largeSnapshot is of 100 nodes, all of which have the record with 1,000 ports; two things are wrong on each.
func largeSnapshot(tb testing.TB) *Snapshot {
	tb.Helper()
	r, err := mesh.NewRecord("uid", mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: 1, PublishedPortRange: mesh.DefaultPortRange,
	})
	if err != nil {
		tb.Fatal(err)
	}
	address := netip.MustParseAddr("192.0.2.1")
	for i := range 100 {
		if err := r.PutNode(&mesh.Node{Name: fmt.Sprintf("n%d", i), Address: address}); err != nil {
			tb.Fatal(err)
		}
		address = address.Next()
	}
	if err := r.PutService(&mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1"}}}); err != nil {
		tb.Fatal(err)
	}
	for i := range 1000 {
		p := &mesh.PublishedPort{Service: "web", Published: uint16(10000 + i), Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}
		if err := r.PutPort(p); err != nil {
			tb.Fatal(err)
		}
	}
	s := &Snapshot{Record: r.Next(), Nodes: map[string]NodeView{}, Hosts: map[string]HostView{}}
	s.hash = s.Record.Hash()
	for name := range s.Record.Nodes {
		s.Nodes[name] = NodeView{Status: &mesh.Status{
			Node: name, Generation: s.Record.Generation, AppliedGeneration: s.Record.Generation, Hash: s.hash,
			Problems: []mesh.Problem{{Object: benchPort(3), Text: "It is gone."}, {Object: mesh.MustParseRef("port/9/tcp"), Text: "It is too many."}},
		}}
	}
	s.reported = sync.OnceValue(s.drifts)
	return s
}

func benchPort(i int) mesh.Ref {
	return mesh.PortRef(mesh.PortKey{Port: uint16(10000 + i), Protocol: mesh.TCP})
}

// publish is what a commit of one port makes of a snapshot.
func publish(tb testing.TB, s *Snapshot) *proposal {
	tb.Helper()
	next := s.Record.Successor(s.hash)
	if err := next.PutPort(&mesh.PublishedPort{Service: "web", Published: 9, Target: 9, Protocol: mesh.TCP, Mode: mesh.Ingress}); err != nil {
		tb.Fatal(err)
	}
	return newProposal(s, next, nil, nil)
}

// What every resource of a walk, and every commit, costs in a large cluster.
func BenchmarkLargeCluster(b *testing.B) {
	s := largeSnapshot(b)
	for _, bm := range []struct {
		name string
		run  func()
	}{
		{"drift index", func() { _ = s.drifts() }},
		{"drift of one port", func() { _ = s.Drift(benchPort(3)) }},
		{"proposal", func() { publish(b, s) }},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bm.run()
			}
		})
	}
}

// A resource looks its drift up: reading a thousand of them must not look at everything a thousand times.
func TestDriftIsLookedUp(t *testing.T) {
	s := largeSnapshot(t)
	object := benchPort(3)
	if got := len(s.Drift(object)); got != 100 {
		t.Fatalf("%d nodes lack the port, want 100", got)
	}
	if got := len(s.Drift(mesh.NodeRef("n7"))); got != 1 {
		t.Errorf("%d sentences are about what the record does not have, want 1", got)
	}
	if got := testing.AllocsPerRun(10, func() { _ = s.Drift(object) }); got > 0 {
		t.Errorf("each look allocates %.0f times", got)
	}
}

// Making a commit's proposal may write the record once, for its hash, and nothing else that grows with it.
func TestProposalWritesTheRecordOnce(t *testing.T) {
	s := largeSnapshot(t)
	once := testing.AllocsPerRun(5, func() { _ = s.Record.Hash() })
	if got := testing.AllocsPerRun(5, func() { publish(t, s) }); got > once*1.1+100 {
		t.Errorf("it allocates %.0f times, one hash %.0f times", got, once)
	}
}
