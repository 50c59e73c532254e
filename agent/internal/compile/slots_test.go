package compile

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// withContainers is threeNodes, whose service web has two slots on n2 and one on n3 in the
// place of processes.
func withContainers(t *testing.T) *mesh.Record {
	t.Helper()
	rec := threeNodes(t)
	c := &mesh.Container{Labels: map[string]string{"app": "web"}}
	putService(t, rec, "web", map[string]mesh.Endpoint{
		"a": {Node: "n2", Container: c, Slots: make([]uint16, 2)}, "b": {Node: "n3", Container: c, Slots: make([]uint16, 1)},
	})
	return rec
}

func slot(node, n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 255, byte(node), byte(n)}) }

func TestContainers_Golden(t *testing.T) {
	rec := withContainers(t)
	now := Conditions{Containers: map[netip.Addr]state.Process{slot(1, 128): {PID: 4711, Start: 99}}, Absent: map[netip.Addr]bool{slot(1, 129): true}}
	got, path := render(Compile(rec, "n2", debian12, now)), filepath.Join("testdata", "containers.golden")
	sameGolden(t, path, got)
}

// TestContainers_Absent: an empty slot is no destination, whatever the others do; one whose
// node is silent is as an endpoint that fails its check.
func TestContainers_Absent(t *testing.T) {
	rec := withContainers(t)
	first, second, third := slot(1, 128), slot(1, 129), slot(2, 128)
	for name, test := range map[string]struct {
		absent map[netip.Addr]bool
		leads  []netip.Addr // get new connections
		has    []netip.Addr // are in IPVS
	}{
		"all are filled":               {nil, []netip.Addr{first, second, third}, []netip.Addr{first, second, third}},
		"one is empty":                 {map[netip.Addr]bool{second: true}, []netip.Addr{first, third}, []netip.Addr{first, third}},
		"all are empty":                {map[netip.Addr]bool{first: true, second: true, third: true}, nil, nil},
		"a node is silent":             {map[netip.Addr]bool{third: false}, []netip.Addr{first, second}, []netip.Addr{first, second, third}},
		"all are silent":               {map[netip.Addr]bool{first: false, second: false, third: false}, []netip.Addr{first, second, third}, []netip.Addr{first, second, third}},
		"one is empty, others silent":  {map[netip.Addr]bool{first: true, second: false, third: false}, []netip.Addr{second, third}, []netip.Addr{second, third}},
		"one is silent, others empty":  {map[netip.Addr]bool{first: true, second: true, third: false}, []netip.Addr{third}, []netip.Addr{third}},
		"what is absent is no slot":    {map[netip.Addr]bool{slot(0, 128): true}, []netip.Addr{first, second, third}, []netip.Addr{first, second, third}},
		"what is absent is a node's H": {map[netip.Addr]bool{slot(1, 2): true}, []netip.Addr{first, second, third}, []netip.Addr{first, second, third}},
	} {
		t.Run(name, func(t *testing.T) {
			now, p := Conditions{Absent: test.absent}, rec.Ports[mesh.PortKey{Port: 8080, Protocol: mesh.TCP}]
			var leads, has []netip.Addr
			for _, a := range LeadsTo(rec, "n1", p, now) {
				leads = append(leads, a.Addr())
			}
			for _, o := range Compile(rec, "n1", debian12, now) {
				if r, ok := o.(state.RealServer); ok && r.Server.Port() == 8080 {
					has = append(has, r.Addr.Addr())
				}
			}
			slices.SortFunc(has, netip.Addr.Compare)
			if !slices.Equal(leads, test.leads) || !slices.Equal(has, test.has) {
				t.Errorf("leads to %v, want %v; has %v, want %v", leads, test.leads, has, test.has)
			}
		})
	}
}

// TestContainers_Checks: each slot is checked by itself.
func TestContainers_Checks(t *testing.T) {
	rec := withContainers(t)
	s := *rec.Services["web"]
	s.HealthCheck = &mesh.HealthCheck{Type: mesh.CheckTCP, IntervalMillis: 5000, TimeoutMillis: 2000, Rise: 2, Fall: 3, OnUnhealthy: mesh.KeepConnections}
	must(t, rec.PutService(&s))
	checks := Checks(rec, "n1")
	for _, a := range []netip.Addr{slot(1, 128), slot(1, 129), slot(2, 128)} {
		check := Check{"web", netip.AddrPortFrom(a, 80)}
		if checks[check] == "" {
			t.Errorf("%s is not checked: %v", a, checks)
		}
		p := rec.Ports[mesh.PortKey{Port: 8080, Protocol: mesh.TCP}]
		if to := LeadsTo(rec, "n1", p, Conditions{Unhealthy: map[Check]bool{check: true}}); len(to) != 2 || slices.Contains(to, check.Addr) {
			t.Errorf("%s fails, and new connections go to %v", a, to)
		}
	}
}

// TestContainers_NothingWithout: a cluster whose published services have no containers has
// nothing of them, and a container whose slot was taken out keeps its link while it is told.
func TestContainers_NothingWithout(t *testing.T) {
	rec := withContainers(t)
	var d Desired
	link := state.Attachment{Slot: slot(1, 128)}.Key()
	with := Conditions{Containers: map[netip.Addr]state.Process{slot(1, 128): {PID: 1, Start: 2}}}
	plain := rec.Clone()
	putService(t, plain, "web", map[string]mesh.Endpoint{"a": {Node: "n2"}, "b": {Node: "n3"}})
	for i, step := range []struct {
		rec   *mesh.Record
		now   Conditions
		links bool
	}{
		{rec, with, true}, {rec, Conditions{}, false}, {rec, with, true}, {plain, with, true}, {plain, Conditions{}, false}, {rec, Conditions{}, false}, {plain, Conditions{}, false},
	} {
		d.Follow(step.rec, "n2", debian12, step.now)
		sameState(t, fmt.Sprintf("step %d", i), d.State, Compile(step.rec, "n2", debian12, step.now))
		if _, ok := d.State[link]; ok != step.links {
			t.Errorf("step %d: a link: %t", i, ok)
		}
	}
	sameState(t, "without containers", Compile(plain, "n2", debian12, Conditions{}), Compile(threeNodes(t), "n2", debian12, Conditions{}))
}

// TestContainers_Owner: what is wrong with a link is the service's.
func TestContainers_Owner(t *testing.T) {
	rec := withContainers(t)
	link := state.Attachment{Slot: slot(1, 129), Gateway: rec.Nodes["n2"].MeshAddress()}
	neigh, route := link.Leads()
	for _, o := range []state.Object{link, neigh, route} {
		if owner := Owner(rec, "n2", o); owner != mesh.ServiceRef("web") {
			t.Errorf("%s is of %s", o, owner)
		}
	}
	s := Compile(rec, "n2", debian12, Conditions{Containers: map[netip.Addr]state.Process{slot(2, 128): {PID: 1, Start: 1}}})
	if _, ok := s[state.Attachment{Slot: slot(2, 128)}.Key()]; ok {
		t.Error("a container in another node's slot is attached")
	}
	link.Slot = slot(1, 200)
	if owner := Owner(rec, "n2", link); owner != mesh.NodeRef("n2") {
		t.Errorf("a link of no slot is of %s", owner)
	}
}
