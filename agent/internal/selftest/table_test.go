package selftest

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/probe"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func record(t *testing.T, nodes, ports int) *mesh.Record {
	t.Helper()
	rec, err := mesh.NewRecord("uid", mesh.Cluster{
		Name: "demo", AddressPool: netip.MustParsePrefix("10.0.0.0/8"), NodePrefixLength: 24, VXLANPort: 4789, VNI: 5_000_001, PublishedPortRange: mesh.DefaultPortRange,
	})
	must(t, err)
	service := &mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{}}
	for i := range nodes {
		name := fmt.Sprintf("n%d", i)
		must(t, rec.PutNode(&mesh.Node{Name: name, Address: netip.AddrFrom4([4]byte{192, 0, byte(2 + i/250), byte(1 + i%250)}), UnderlayMTU: 1500}))
		service.Endpoints[name] = mesh.Endpoint{Node: name}
	}
	must(t, rec.PutService(service))
	for i := range ports {
		must(t, rec.PutPort(&mesh.PublishedPort{Service: "web", Published: uint16(10000 + i), Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}))
	}
	return rec
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// network answers the table's echoes at once, unless it loses them.
type network struct {
	*table
	sent  []time.Time
	large int
	loses func(name string, size int) bool
}

func newNetwork(rec *mesh.Record) *network {
	n := &network{table: &table{now: time.Now}}
	n.keep(rec, "n0")
	return n
}

func (n *network) run(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(overlayTick) {
		for _, e := range n.send() {
			n.sent = append(n.sent, time.Now())
			if e.size == n.full {
				n.large++
			}
			if n.loses == nil || !n.loses(e.to.name, e.size) {
				n.take(probe.Heard{From: e.addr, Size: e.size})
			}
		}
	}
}

// maxPerSecond is the most that was sent within any second.
func maxPerSecond(sent []time.Time) (most int) {
	first := 0
	for i, at := range sent {
		for at.Sub(sent[first]) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

func TestTable_Rate_IsBounded(t *testing.T) {
	for _, nodes := range []int{2, 100, 1000} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(record(t, nodes, 0))
				n.run(time.Minute) // the first echo of full size is after the first answer
				n.sent, n.large = nil, 0
				n.run(2 * largeInterval)
				if most := maxPerSecond(n.sent); most > 75 {
					t.Errorf("%d echoes in one second", most)
				}
				each := len(n.sent) / (nodes - 1)
				if want := int(2 * largeInterval / max(echoInterval, time.Duration(nodes)*echoSpacing)); each < want-1 || each > want+4 {
					t.Errorf("%d echoes to each of the peers, want %d", each, want)
				}
				if each := n.large / (nodes - 1); each < 1 || each > 3 {
					t.Errorf("%d of full size to each", each)
				}
				if peers, answering := n.count(); peers != nodes-1 || answering != peers {
					t.Errorf("%d of %d peers answer", answering, peers)
				}
			})
		})
	}
}

// A peer is lost after four echoes in a row, and back after two answers; one that
// loses every second packet never is.
func TestTable_Lost_HasHysteresis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(record(t, 3, 0))
		n.run(10 * time.Second)
		count := 0
		n.loses = func(name string, _ int) bool { count++; return name == "n1" && count%2 == 0 }
		n.run(time.Minute)
		if len(n.lost()) != 0 {
			t.Fatal("a peer that answers now and then is lost")
		}
		n.loses = func(name string, _ int) bool { return name == "n1" }
		n.run(lostAfter * echoInterval / 2)
		if len(n.lost()) != 0 {
			t.Error("a peer is lost too soon")
		}
		n.run(lostAfter * echoInterval)
		if lost := n.lost(); !lost["n1"] || len(lost) != 1 || n.clean("n1") || !n.clean("n2") {
			t.Errorf("lost are %v", lost)
		}
		n.loses = nil
		n.run(echoInterval)
		if !n.lost()["n1"] {
			t.Error("it is back after one answer")
		}
		n.run(echoInterval)
		if len(n.lost()) != 0 || !n.clean("n1") {
			t.Error("it is not back")
		}
	})
}

// Why a peer is lost is probed at once, and again a minute later; until then there
// is nothing to report.
func TestTable_Report_WaitsForTheProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := record(t, 3, 0)
		n := newNetwork(rec)
		n.loses = func(name string, _ int) bool { return name == "n1" }
		n.run(12 * time.Second)
		if r := n.report(); r != nil {
			t.Errorf("reported without a probe: %+v", r)
		}
		_, _, names := n.toProbe()
		if len(names) != 1 || names[0] != "n1" {
			t.Fatalf("to probe are %v", names)
		}
		wire := []netip.Addr{rec.Nodes["n1"].Address}
		n.probed(rec, names, &mesh.ProbeResponse{Peers: map[string]mesh.PeerProbe{"n1": {Wire: wire, Underlay: true, Heard: 128}}})
		if r := n.report(); len(r) != 1 || !r["n1"].Underlay || r["n1"].Heard != 0 {
			t.Errorf("reported: %+v", r)
		}
		n.take(probe.Heard{From: rec.Nodes["n1"].MeshAddress(), Request: true, Size: probe.Smallest})
		if r := n.report(); r["n1"].Heard != n.full {
			t.Errorf("what arrives does not count: %+v", r)
		}
		if _, _, names := n.toProbe(); len(names) != 0 {
			t.Errorf("probed again at once: %v", names)
		}
		n.run(probeAgain)
		if _, _, names := n.toProbe(); len(names) != 1 {
			t.Errorf("not probed again: %v", names)
		}
		n.loses = nil
		n.run(3 * echoInterval)
		if r := n.report(); r != nil {
			t.Errorf("reported although it is back: %+v", r)
		}
	})
}

// Small packets pass, large ones do not: that is found within a few minutes, and
// its end within seconds.
func TestTable_LargePackets_AreTested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := record(t, 3, 0)
		n := newNetwork(rec)
		n.run(time.Minute)
		n.loses = func(name string, size int) bool { return name == "n1" && size > 1372 }
		n.run(largeInterval + 3*largeLostAfter*echoInterval)
		if _, _, names := n.toProbe(); len(names) != 1 || names[0] != "n1" {
			t.Fatalf("to probe are %v", names)
		}
		n.probed(rec, []string{"n1"}, &mesh.ProbeResponse{Peers: map[string]mesh.PeerProbe{"n1": {Answered: 1372, Heard: 128, Underlay: true}}})
		if r := n.report()["n1"]; r.Answered != 1372 || r.Heard != 128 {
			t.Errorf("reported: %+v", r)
		}
		if len(n.lost()) != 0 {
			t.Error("it is lost as a whole")
		}
		n.take(probe.Heard{From: rec.Nodes["n1"].MeshAddress(), Request: true, Size: n.full})
		if r := n.report()["n1"]; r.Heard != n.full {
			t.Errorf("that large packets arrive here does not count: %+v", r)
		}
		n.loses = nil
		n.run(largeRetry + 2*backAfter*echoInterval)
		if r := n.report(); r != nil {
			t.Errorf("reported although they pass: %+v", r)
		}
	})
}

func TestTable_Keep_LeavesOutWhatDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(record(t, 4, 0))
		n.loses = func(name string, _ int) bool { return name == "n1" }
		n.run(12 * time.Second)
		next := n.rec.Clone()
		next.Nodes["n2"].Availability = mesh.AvailabilityDrain
		n.keep(next, "n0")
		if peers, _ := n.count(); peers != 2 || !n.lost()["n1"] {
			t.Errorf("%d peers, lost are %v", peers, n.lost())
		}
		next = next.Clone()
		next.Nodes["n1"].Availability = mesh.AvailabilityDrain
		n.keep(next, "n0")
		if peers, _ := n.count(); peers != 1 || len(n.lost()) != 0 {
			t.Errorf("%d peers, lost are %v", peers, n.lost())
		}
		next = next.Clone()
		next.Nodes["n0"].Availability = mesh.AvailabilityDrain
		n.keep(next, "n0")
		if peers, _ := n.count(); peers != 0 {
			t.Errorf("a node that drains tests %d peers", peers)
		}
	})
}
