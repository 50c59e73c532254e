package compile

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func putRange(tb testing.TB, rec *mesh.Record, p mesh.PublishedPort) {
	tb.Helper()
	if p.Protocol == "" {
		p.Protocol = mesh.TCP
	}
	if p.Mode == "" {
		p.Mode = mesh.Ingress
	}
	must(tb, rec.PutPort(&p))
}

// ranged is threeNodes with ranges: with a shift and without, in host mode, of udp, limited,
// and one that preserves the client's address.
func ranged(t *testing.T) *mesh.Record {
	t.Helper()
	rec := threeNodes(t)
	putService(t, rec, "media", map[string]mesh.Endpoint{"a": {Node: "n2"}, "b": {Node: "n3"}})
	putRange(t, rec, mesh.PublishedPort{Service: "media", Published: 10000, Last: 10999, Target: 20000})
	putRange(t, rec, mesh.PublishedPort{Service: "media", Published: 10000, Last: 29999, Target: 10000, Protocol: mesh.UDP})
	putRange(t, rec, mesh.PublishedPort{Service: "media", Published: 11000, Last: 11009, Target: 20000, AllowedCIDRs: "192.0.2.0/24,203.0.113.0/24"})
	putRange(t, rec, mesh.PublishedPort{Service: "media", Published: 12000, Last: 12009, Target: 13000, Mode: mesh.Host})
	putRange(t, rec, mesh.PublishedPort{Service: "media", Published: 13000, Last: 13009, Target: 14000, ClientAddress: mesh.Preserve})
	putRange(t, rec, mesh.PublishedPort{Service: "media", Published: 14000, Last: 14009, Target: 14000, Nodes: "n1"})
	return rec
}

// A range is as many objects as a port is, however many ports it has.
func TestRange_ObjectsDoNotGrowWithPorts(t *testing.T) {
	of := func(last uint16) state.State {
		rec := threeNodes(t)
		putRange(t, rec, mesh.PublishedPort{Service: "web", Published: 10000, Last: last, Target: 30000})
		return Compile(rec, "n2", debian12, Conditions{})
	}
	few, many := of(10001), of(29999)
	if len(few) != len(many) {
		t.Errorf("2 ports are %d objects, 20,000 are %d", len(few), len(many))
	}
	if a, b := chainsOf(few), chainsOf(many); len(a) != len(b) {
		t.Errorf("2 ports are %d rules, 20,000 are %d", len(a), len(b))
	}
	single := threeNodes(t)
	putPort(t, single, "web", 10000, 30000, mesh.TCP, mesh.Ingress)
	// Two routes and two chains are for the first range.
	if n := len(Compile(single, "n2", debian12, Conditions{})); len(many) != n+4 {
		t.Errorf("a port is %d objects of a node, a range %d", n, len(many))
	}
}

// To grow or shrink a range, or to move its targets, touches what says which ports it has,
// and no endpoint, IPVS service or VIP, so that no connection is lost.
func TestRange_InPlace(t *testing.T) {
	rec := ranged(t)
	for _, c := range []struct {
		last, target uint16
		want         []string
	}{
		{10499, 20000, []string{
			"remove ports 10500-10999 in ipset routingmesh-tcp", "remove ports 20500-20999 in ipset routingmesh-ep-tcp", "change chain nat ROUTINGMESH (host)",
		}},
		{10999, 30000, []string{
			"remove ports 20010-20499 in ipset routingmesh-ep-tcp", // 11000-11009 has the others too
			"change chain nat ROUTINGMESH (host)", "add ports 30000-30999 in ipset routingmesh-ep-tcp", "change ports 10000-10999 in ipset routingmesh-tcp",
		}},
	} {
		before := Compile(rec, "n2", debian12, Conditions{})
		putRange(t, rec, mesh.PublishedPort{Service: "media", Published: 10000, Last: c.last, Target: c.target})
		var got []string
		for _, op := range state.Plan(Compile(rec, "n2", debian12, Conditions{}), before) {
			got = append(got, op.String())
		}
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("to %d, targets from %d: %q, want %q", c.last, c.target, got, c.want)
		}
	}
}

// What is of a range is its port's.
func TestRange_Owners(t *testing.T) {
	rec := ranged(t)
	counts := map[string]int{}
	for _, o := range Compile(rec, "n2", debian12, Conditions{}) {
		counts[Owner(rec, "n2", o).Name]++
	}
	for name, want := range map[string]int{
		"10000/tcp": 6, // IPVS, 2 destinations, the ports, the endpoint's ports, which are in part those of 11000
		"10000/udp": 5,
		"11000/tcp": 4,
		"12000/tcp": 4, // in host mode one destination
		"13000/tcp": 5,
		"14000/tcp": 0, // not open here: its targets are those of 13000
	} {
		if counts[name] != want {
			t.Errorf("%s owns %d objects, want %d", name, counts[name], want)
		}
	}
}

// A range that becomes a single port has no way left for its connections; a single port that
// becomes a range has.
func TestRange_DrainsOfOther(t *testing.T) {
	rec := newRecord(t, "n1", "n2")
	putService(t, rec, "web", map[string]mesh.Endpoint{"a": {Node: "n2"}})
	putPort(t, rec, "web", 10000, 80, mesh.TCP, mesh.Ingress)
	key := mesh.PortKey{Port: 10000, Protocol: mesh.TCP}
	draining := func(port uint16) (found []string) {
		now := Conditions{Draining: map[Frontend][]netip.AddrPort{Published(key): {at(1, port)}}}
		for _, o := range Compile(rec, "n1", debian12, now) {
			if r, ok := o.(state.RealServer); ok {
				found = append(found, r.String())
			}
		}
		slices.Sort(found)
		return found
	}
	if got := strings.Join(draining(0), ", "); got != "IPVS 10.255.0.1:10000/tcp destination 10.255.1.2:80 weight 1" {
		t.Errorf("a port that was a range has %s", got)
	}
	putRange(t, rec, mesh.PublishedPort{Service: "web", Published: 10000, Last: 10009, Target: 80})
	if got := strings.Join(draining(80), ", "); got != "IPVS 10.255.0.1:10000/tcp destination 10.255.1.2:80 weight 0, IPVS 244.0.39.16:10000/tcp destination 10.255.1.2:0 weight 1" {
		t.Errorf("a range that was a port has %s", got)
	}
}

// members are the ports of sets, as the kernel has them.
type members map[string]map[uint16]bool

func membersOf(s state.State) members {
	all := members{}
	for _, o := range s {
		all.put(o, true)
	}
	return all
}

func (m members) put(o state.Object, in bool) {
	member, ok := o.(state.SetMember)
	if !ok || member.Addr.IsValid() {
		return
	}
	for port := int(member.Port); port <= int(max(member.Port, member.Last)); port++ {
		switch {
		case !in:
			delete(m[member.Set], uint16(port))
		case m[member.Set] == nil:
			m[member.Set] = map[uint16]bool{uint16(port): true}
		default:
			m[member.Set][uint16(port)] = true
		}
	}
}

// part is what an observation of some objects shows.
func (m members) part(of state.State) state.State {
	ports, there := state.PortSets{}, state.State{}
	for _, o := range of {
		member, ok := o.(state.SetMember)
		if !ok || member.Addr.IsValid() {
			continue
		}
		for port := int(member.Port); port <= int(max(member.Port, member.Last)); port++ {
			if m[member.Set][uint16(port)] {
				ports.Add(state.SetMember{Set: member.Set, Port: uint16(port)})
			}
		}
	}
	ports.Put(there)
	return there
}

// changeRanges changes ports whose targets are few, on one node: ranges rarely, so that most changes
// are partial beside some.
func changeRanges(t *testing.T, rec *mesh.Record, rng *rand.Rand) *mesh.Record {
	t.Helper()
	rec = rec.Next()
	p := &mesh.PublishedPort{
		Service: fmt.Sprintf("s%d", rng.IntN(3)), Published: 80 + uint16(rng.IntN(30)), Target: 8000 + uint16(rng.IntN(40)),
		Protocol: mesh.TCP, Mode: []mesh.Mode{mesh.Ingress, mesh.Host}[rng.IntN(2)],
	}
	switch rng.IntN(8) {
	case 0:
		p.Last = p.Published + uint16(1+rng.IntN(25))
	case 1, 2, 3:
		rec.RemovePort(p.Key())
		return rec
	case 4:
		endpoints := map[string]mesh.Endpoint{"a": {Node: "n1"}}
		if rng.IntN(2) == 0 {
			endpoints = map[string]mesh.Endpoint{"a": {Node: "n2"}}
		}
		putService(t, rec, p.Service, endpoints)
	}
	_ = rec.PutPort(p) // it may overlap another one
	return rec
}

// However ranges and ports overlap and change, a plan of the part that has changed leaves the
// sets as a plan of all would.
func TestRange_PartialPlansOfOverlappingPorts(t *testing.T) {
	for seed := range uint64(5) {
		rng := rand.New(rand.NewPCG(seed, 7))
		rec := newRecord(t, "n1", "n2")
		for i := range 3 {
			putService(t, rec, fmt.Sprintf("s%d", i), map[string]mesh.Endpoint{"a": {Node: "n1"}})
		}
		d, kernel := Desired{}, members{}
		for step := range 400 {
			rec = changeRanges(t, rec, rng)
			kernel.follow(d.Follow(rec, "n1", debian12, Conditions{}), d.State)
			for set, want := range membersOf(d.State) {
				for port := range want {
					if !kernel[set][port] {
						t.Fatalf("seed %d, step %d: %s lacks %d", seed, step, set, port)
					}
				}
				if len(kernel[set]) != len(want) {
					t.Fatalf("seed %d, step %d: %s has %d ports, want %d", seed, step, set, len(kernel[set]), len(want))
				}
			}
		}
	}
}

// follow does what a plan of the change asks for.
func (m members) follow(change Change, desired state.State) {
	after, touched := change.After, state.State{}
	if !change.Whole {
		touched = change.Touched()
	} else {
		after = desired
		for set := range m {
			touched.Put(state.SetMember{Set: set, Port: 1, Last: 65535})
		}
	}
	wanted := state.State{}
	for key, o := range after {
		if key.Kind == state.KindSetMember {
			wanted[key] = o
		}
	}
	for _, op := range state.Plan(wanted, m.part(touched)) {
		m.put(op.Object(), op.Action != state.Remove)
	}
}
