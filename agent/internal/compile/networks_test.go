package compile

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// withNetworks is threeNodes with the networks front, of n1's processes and web's containers
// on n2 and n3, and back, of db's container on n2 and of a process of n3 (api).
func withNetworks(t *testing.T) *mesh.Record {
	t.Helper()
	rec := threeNodes(t)
	must(t, rec.PutNetwork(&mesh.Network{Name: "front", Hosts: []string{"n1"}}))
	must(t, rec.PutNetwork(&mesh.Network{Name: "back"}))
	container := &mesh.Container{Labels: map[string]string{"app": "web"}}
	must(t, rec.PutService(&mesh.Service{Name: "web", Networks: map[string]mesh.Membership{"front": {}, "back": {}}, Endpoints: map[string]mesh.Endpoint{
		"a": {Node: "n2", Container: container, Slots: make([]uint16, 2)}, "b": {Node: "n3", Container: container, Slots: make([]uint16, 1)},
	}}))
	must(t, rec.PutService(&mesh.Service{Name: "db", Networks: map[string]mesh.Membership{"back": {}}, Endpoints: map[string]mesh.Endpoint{
		"a": {Node: "n2", Container: &mesh.Container{Name: "db"}, Slots: make([]uint16, 1)},
	}}))
	must(t, rec.PutService(&mesh.Service{
		Name: "api", Networks: map[string]mesh.Membership{"back": {}}, VIPPorts: map[mesh.PortKey]uint16{{Port: 80, Protocol: mesh.TCP}: 8080},
		Endpoints: map[string]mesh.Endpoint{"a": {Node: "n3"}},
	}))
	return rec
}

func TestNetworks_Golden(t *testing.T) {
	rec := withNetworks(t)
	now := Conditions{
		Containers: map[netip.Addr]state.Process{slot(1, 128): {PID: 4711, Start: 99}}, Absent: map[netip.Addr]bool{slot(1, 129): true},
		Leaving: map[netip.Addr]mesh.NetworkSet{slot(1, 140): "front"},
	}
	got, path := render(Compile(rec, "n2", debian12, now)), filepath.Join("testdata", "networks.golden")
	sameGolden(t, path, got)
}

// TestNetworks_NothingWithout: what networks need goes with the last one.
func TestNetworks_NothingWithout(t *testing.T) {
	rec := withNetworks(t)
	for _, name := range []string{"api", "db"} {
		must(t, rec.RemoveService(name))
	}
	putService(t, rec, "web", map[string]mesh.Endpoint{"a": {Node: "n2"}, "b": {Node: "n3"}})
	must(t, rec.RemoveNetwork("front"))
	must(t, rec.RemoveNetwork("back"))
	sameState(t, "without networks", Compile(rec, "n2", debian12, Conditions{}), Compile(threeNodes(t), "n2", debian12, Conditions{}))
}

// vips are the VIPs that IPVS has on the node, each with where it leads.
func vips(rec *mesh.Record, node string, now Conditions) map[netip.AddrPort][]string {
	found := map[netip.AddrPort][]string{}
	for _, o := range Compile(rec, node, debian12, now) {
		switch o := o.(type) {
		case state.VirtualServer:
			if isVIP(rec, o.Addr.Addr()) && found[o.Addr] == nil {
				found[o.Addr] = []string{}
			}
		case state.RealServer:
			if isVIP(rec, o.Server.Addr()) {
				found[o.Server] = append(found[o.Server], fmt.Sprintf("%s*%d", o.Addr, o.Weight))
			}
		}
	}
	for _, to := range found {
		slices.Sort(to)
	}
	return found
}

// TestNetworks_VIPsOfNode: a node has the VIPs of the networks that it has members of.
func TestNetworks_VIPsOfNode(t *testing.T) {
	rec := withNetworks(t)
	web, db, api := netip.AddrPortFrom(rec.Services["web"].VIP, 0), netip.AddrPortFrom(rec.Services["db"].VIP, 0), netip.AddrPortFrom(rec.Services["api"].VIP, 80)
	all := map[netip.AddrPort]string{
		web: "[10.255.1.128:0*1 10.255.1.129:0*1 10.255.2.128:0*1]", db: "[10.255.1.130:0*1]", api: "[10.255.2.2:8080*1]",
	}
	for node, want := range map[string][]netip.AddrPort{"n1": {web}, "n2": {web, db, api}, "n3": {web, db, api}} {
		got := vips(rec, node, Conditions{})
		if len(got) != len(want) {
			t.Errorf("%s has %v", node, got)
		}
		for _, vip := range want {
			if to := fmt.Sprint(got[vip]); to != all[vip] {
				t.Errorf("%s of %s leads to %v, want %s", vip, node, to, all[vip])
			}
		}
	}
	for _, service := range rec.Services {
		for node := range rec.Nodes {
			here := false
			for name := range service.Networks {
				here = here || memberNetworks(rec, node)[name]
			}
			if want := rec.HasMemberOf(node, service.NetworkSet()); here != want {
				t.Errorf("%s on %s: %t, want %t", service.Name, node, here, want)
			}
		}
	}
}

// TestNetworks_VIPUnderConditions: checks, empty slots and drains are as those of published ports.
func TestNetworks_VIPUnderConditions(t *testing.T) {
	rec := withNetworks(t)
	s := *rec.Services["web"]
	s.HealthCheck = &mesh.HealthCheck{Type: mesh.CheckTCP, Port: 80, IntervalMillis: 5000, TimeoutMillis: 2000, Rise: 2, Fall: 3, OnUnhealthy: mesh.KeepConnections}
	must(t, rec.PutService(&s))
	vip := netip.AddrPortFrom(s.VIP, 0)
	fails := func(slots ...netip.Addr) map[Check]bool {
		checks := map[Check]bool{}
		for _, a := range slots {
			checks[Check{"web", netip.AddrPortFrom(a, 80)}] = true
		}
		return checks
	}
	gone := netip.AddrPortFrom(slot(1, 200), 0)
	var d Desired
	for _, test := range []struct {
		now  Conditions
		want string
	}{
		{Conditions{Unhealthy: fails(slot(1, 128))}, "[10.255.1.128:0*0 10.255.1.129:0*1 10.255.2.128:0*1]"},
		{Conditions{Unhealthy: fails(slot(1, 128), slot(1, 129), slot(2, 128))}, "[10.255.1.128:0*1 10.255.1.129:0*1 10.255.2.128:0*1]"},
		{Conditions{Absent: map[netip.Addr]bool{slot(1, 128): true, slot(2, 128): false}}, "[10.255.1.129:0*1 10.255.2.128:0*0]"},
		{Conditions{Absent: map[netip.Addr]bool{slot(1, 128): true, slot(1, 129): true, slot(2, 128): true}}, "[]"},
		{Conditions{Draining: map[Frontend][]netip.AddrPort{{VIP: "web"}: {gone}}}, "[10.255.1.128:0*1 10.255.1.129:0*1 10.255.1.200:0*0 10.255.2.128:0*1]"},
	} {
		if got := fmt.Sprint(vips(rec, "n3", test.now)[vip]); got != test.want {
			t.Errorf("%+v: %s, want %s", test.now, got, test.want)
		}
		first := d.rec == nil
		if c := d.Follow(rec, "n3", debian12, test.now); c.Whole != first {
			t.Errorf("%+v: everything is compiled: %t", test.now, c.Whole)
		}
		sameState(t, fmt.Sprint(test.now), d.State, Compile(rec, "n3", debian12, test.now))
	}
}

// TestNetworks_Owner: what is wrong with a VIP or a slot is the service's.
func TestNetworks_Owner(t *testing.T) {
	rec := withNetworks(t)
	owned := map[mesh.Ref]int{}
	for _, o := range Compile(rec, "n2", debian12, Conditions{}) {
		owner := Owner(rec, "n2", o)
		owned[owner]++
		m, ok := o.(state.SetMember)
		if ok && m.NS == state.Mesh && m.Addr != rec.Nodes["n2"].HostAddress() && !strings.HasPrefix(owner.String(), "service") {
			t.Errorf("%s is of %s", o, owner)
		}
	}
	web, _ := mesh.ServerMark(netip.AddrPortFrom(rec.Services["web"].VIP, 0))
	for _, o := range []state.Object{
		state.VirtualServer{Addr: netip.AddrPortFrom(rec.Services["web"].VIP, 0)}, state.RealServer{Proto: "tcp", Server: netip.AddrPortFrom(rec.Services["web"].VIP, 80)},
		state.SetMember{NS: state.Mesh, Set: state.VIPSet, Addr: rec.Services["web"].VIP, Mark: web},
	} {
		if got := Owner(rec, "n2", o); got != mesh.ServiceRef("web") {
			t.Errorf("%s is of %s", o, got)
		}
	}
	if got := Owner(rec, "n3", state.SetMember{Set: endpointSet(mesh.TCP), Port: 8080}); got != mesh.ServiceRef("api") {
		t.Errorf("the target of a VIP's port is of %s", got)
	}
	if owned[mesh.ServiceRef("db")] == 0 || owned[mesh.ServiceRef("web")] == 0 {
		t.Errorf("objects by owner: %v", owned)
	}
}

// TestFrontendAt: IPVS's services are known by the record, also those of VIPs at a port that
// is published too.
func TestFrontendAt(t *testing.T) {
	rec := withNetworks(t)
	for _, node := range []string{"n1", "n2", "n3"} {
		for unit := range units(rec) {
			all := []Frontend{unit}
			if unit.VIP != "" {
				all = vipFrontends(rec.Services[unit.VIP])
			}
			for _, f := range all {
				p := f.port(rec)
				if got, ok := FrontendAt(rec, node, string(p.Protocol), f.ServerOf(rec, node, netip.MustParseAddrPort("10.255.1.2:80"))); !ok || got != f {
					t.Errorf("%s is taken for %s (%t)", f, got, ok)
				}
			}
		}
	}
	if f, ok := FrontendAt(rec, "n1", "tcp", netip.AddrPortFrom(rec.Resolver(), 53)); ok {
		t.Errorf("the resolver's is taken for %s", f)
	}
}
