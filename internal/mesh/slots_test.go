package mesh

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func labelled(node string, slots int) Endpoint {
	return Endpoint{Node: node, Container: &Container{Labels: map[string]string{"app": "web"}}, Slots: make([]uint16, slots)}
}

func slotsOf(t *testing.T, r *Record, service string) (all []string) {
	t.Helper()
	for key, e := range r.Services[service].Endpoints {
		for a := range e.SlotAddresses(r.Nodes[e.Node]) {
			all = append(all, key+" "+a.String())
		}
	}
	slices.Sort(all)
	return all
}

// TestSlots: a slot keeps its address for as long as it exists; one that was freed is the last
// to be used again, and services do not share any.
func TestSlots(t *testing.T) {
	r := demoRecord(t)
	put := func(name string, endpoints map[string]Endpoint) {
		t.Helper()
		must(t, r.PutService(&Service{Name: name, Endpoints: endpoints}))
	}
	expect := func(step, service string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, slotsOf(t, r, service)); diff != "" {
			t.Error(step, diff)
		}
		must(t, r.Validate())
	}
	put("api", map[string]Endpoint{"a": labelled("n1", 2), "b": labelled("n2", 1)})
	expect("new", "api", "a 10.255.0.128", "a 10.255.0.129", "b 10.255.1.128")
	put("db", map[string]Endpoint{"x": {Node: "n1", Container: &Container{Name: "db"}, Slots: make([]uint16, 1)}, "p": {Node: "n1"}})
	expect("of another service", "db", "x 10.255.0.130")
	put("api", map[string]Endpoint{"a": labelled("n1", 3), "b": labelled("n2", 1)})
	expect("one more", "api", "a 10.255.0.128", "a 10.255.0.129", "a 10.255.0.131", "b 10.255.1.128")
	put("api", map[string]Endpoint{"a": labelled("n1", 1)})
	expect("fewer", "api", "a 10.255.0.128")
	put("api", map[string]Endpoint{"a": labelled("n1", 2)})
	expect("one more again", "api", "a 10.255.0.128", "a 10.255.0.132")
	put("api", map[string]Endpoint{"a": labelled("n2", 1)})
	expect("moved", "api", "a 10.255.1.129")
}

func TestSlots_Full(t *testing.T) {
	r := demoRecord(t)
	must(t, r.PutService(&Service{Name: "a", Endpoints: map[string]Endpoint{"a": labelled("n1", MaxSlots)}}))
	err := r.PutService(&Service{Name: "b", Endpoints: map[string]Endpoint{"b": labelled("n1", MaxSlots)}})
	wantRule(t, err, "endpoints", "all 127 that node n1 has room for are taken")
	must(t, r.PutService(&Service{Name: "b", Endpoints: map[string]Endpoint{"b": labelled("n1", 127-MaxSlots)}}))
	if last := slotsOf(t, r, "b"); last[len(last)-1] != "b 10.255.0.254" {
		t.Errorf("the last one is %s; .255 may be taken for a broadcast address", last[len(last)-1])
	}
}

func TestSlots_Rules(t *testing.T) {
	many, none, both := labelled("n1", MaxSlots+1), labelled("n1", 0), labelled("n1", 1)
	both.Container = &Container{Name: "web", Labels: map[string]string{"a": "b"}}
	for name, test := range map[string]struct {
		endpoints map[string]Endpoint
		says      string
	}{
		"too many":             {map[string]Endpoint{"a": many}, "1–64 slots, not 65"},
		"none":                 {map[string]Endpoint{"a": none}, "1–64 slots, not 0"},
		"of a process":         {map[string]Endpoint{"a": {Node: "n1", Slots: []uint16{0}}}, "slots are for containers"},
		"name and labels":      {map[string]Endpoint{"a": both}, "by one of both"},
		"neither":              {map[string]Endpoint{"a": {Node: "n1", Container: &Container{}, Slots: []uint16{0}}}, "by one of both"},
		"no name":              {map[string]Endpoint{"a": {Node: "n1", Container: &Container{Name: "/web"}, Slots: []uint16{0}}}, `"/web" is no name of a container`},
		"a label with a break": {map[string]Endpoint{"a": {Node: "n1", Container: &Container{Labels: map[string]string{"a": "b\x00"}}, Slots: []uint16{0}}}, "control characters"},
		"the same ones":        {map[string]Endpoint{"a": labelled("n1", 1), "b": labelled("n1", 1)}, `"a" and "b" are the same containers of node n1`},
	} {
		t.Run(name, func(t *testing.T) {
			wantRule(t, demoRecord(t).PutService(&Service{Name: "api", Endpoints: test.endpoints}), "endpoints", test.says)
		})
	}
}

// TestSlots_SmallBlocks: a block without room for slots is told of when planning.
func TestSlots_SmallBlocks(t *testing.T) {
	c := demoCluster()
	c.NodePrefixLength = 26
	r, err := NewRecord("u", c)
	must(t, err)
	must(t, r.PutNode(&Node{Name: "n1", Address: netip.MustParseAddr("192.0.2.1")}))
	wantRule(t, r.PutService(&Service{Name: "api", Endpoints: map[string]Endpoint{"a": labelled("n1", 1)}}), "endpoints", "too small for those: /26")
	for bits, want := range map[int]string{25: "10.0.0.64/26", 24: "10.0.0.128/25", 23: "10.0.1.0/24", 20: "10.0.8.0/24", 8: "10.0.128.0/24"} {
		n := Node{Block: netip.PrefixFrom(netip.MustParseAddr("10.0.0.0"), bits)}
		if got := n.SlotBlock().String(); got != want {
			t.Errorf("the slots of a /%d are in %s, want %s", bits, got, want)
		}
	}
}

// TestSlots_PreserveIsRefused, from both sides: neither may come second.
func TestSlots_PreserveIsRefused(t *testing.T) {
	r := demoRecord(t)
	must(t, r.PutService(&Service{Name: "api", Endpoints: map[string]Endpoint{"a": labelled("n1", 1)}}))
	port := &PublishedPort{Service: "api", Published: 7070, Target: 80, Protocol: TCP, Mode: Ingress, ClientAddress: Preserve}
	wantRule(t, r.PutPort(port), "client_address", "endpoints of service \"api\" are containers")
	must(t, r.PutService(&Service{Name: "api", Endpoints: map[string]Endpoint{"a": {Node: "n1"}}}))
	must(t, r.PutPort(port))
	wantRule(t, r.PutService(&Service{Name: "api", Endpoints: map[string]Endpoint{"a": labelled("n1", 1)}}), "endpoints", `publishes 7070/tcp with client_address = "preserve"`)
}

func TestContainer_Fits(t *testing.T) {
	labels := map[string]string{"app": "web", "tier": "front", "empty": ""}
	for _, test := range []struct {
		c    Container
		fits bool
	}{
		{Container{Name: "web-1"}, true},
		{Container{Name: "web"}, false},
		{Container{Labels: map[string]string{"app": "web"}}, true},
		{Container{Labels: map[string]string{"app": "web", "tier": "front"}}, true},
		{Container{Labels: map[string]string{"app": "web", "tier": "back"}}, false},
		{Container{Labels: map[string]string{"empty": ""}}, true},
		{Container{Labels: map[string]string{"other": ""}}, false},
		{Container{}, false},
	} {
		if test.c.Fits("web-1", labels) != test.fits {
			t.Errorf("%s: want %t", &test.c, test.fits)
		}
	}
}

// TestSlots_FromOutside: a record that nobody could have made is refused.
func TestSlots_FromOutside(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(r *Record)
		says  string
	}{
		"a VIP's place": {func(r *Record) { r.Services["api"].Endpoints["a"].Slots[0] = 1 }, "has the slot 1 of node"},
		"twice":         {func(r *Record) { r.Services["api"].Endpoints["a"].Slots[1] = 128 }, "share the slot 128"},
		"past the end":  {func(r *Record) { r.Services["api"].Endpoints["a"].Slots[0] = 255 }, "has the slot 255"},
		"next":          {func(r *Record) { r.Nodes["n1"].NextSlot = 127 }, "next_slot 127"},
	} {
		t.Run(name, func(t *testing.T) {
			r := demoRecord(t)
			must(t, r.PutService(&Service{Name: "api", Endpoints: map[string]Endpoint{"a": labelled("n1", 2)}}))
			r = r.Clone()
			test.spoil(r)
			if err := r.Validate(); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %s", err, test.says)
			}
		})
	}
}
