package kernel

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// show is an observation of what there is.
func (s *mismatches) show(there state.State) {
	for _, o := range there {
		switch o := o.(type) {
		case state.VirtualServer:
			s.Virtual(o)
		case state.RealServer:
			s.Destination(o)
		case state.SetMember:
			for port := int(o.Port); port <= int(max(o.Port, o.Last)); port++ {
				s.Member(state.SetMember{Set: o.Set, Port: uint16(port)}) // as the kernel lists them
			}
		default:
			s.others.Put(o)
		}
	}
	s.ports.Put(s.others)
}

// crowded is a state with so many ports, each with ten destinations.
func crowded(ports int) state.State {
	s := state.State{}
	s.Put(state.NetNS{}, state.Set{Name: "routingmesh-tcp", Type: state.BitmapPort}, state.Chain{Table: "nat", Name: "ROUTINGMESH"})
	for i := range ports {
		server := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 255, 0, 1}), uint16(10000+i))
		s.Put(state.VirtualServer{Proto: "tcp", Addr: server, Scheduler: "rr"}, state.SetMember{Set: "routingmesh-tcp", Port: server.Port()})
		for d := range 10 {
			s.Put(state.RealServer{Proto: "tcp", Server: server, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 255, byte(d), 2}), 80), Weight: 1})
		}
	}
	return s
}

// Whatever there is, the differences are those of the two states; only where something
// is missing does the comparison say that it cannot tell.
func TestDifferencesAreThePlan(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	told := 0
	for range 500 {
		desired, there := crowded(1+rng.IntN(3)), crowded(1+rng.IntN(3))
		if rng.IntN(2) == 0 {
			desired.Put(state.SetMember{Set: "routingmesh-tcp", Port: 20000, Last: 29999})
		}
		if last := 19990 + uint16(rng.IntN(4))*10000; last < 40000 {
			there.Put(state.SetMember{Set: "routingmesh-tcp", Port: 20000, Last: last + 9})
		}
		for key, o := range there {
			r, ok := o.(state.RealServer)
			switch rng.IntN(20) {
			case 0:
				delete(there, key)
			case 1:
				if ok {
					r.Weight = 5
					there.Put(r)
				}
			}
		}
		scope := []Scope{Full, Traffic}[rng.IntN(2)]
		chain := state.Chain{Table: "nat", Name: "ROUTINGMESH"}
		if scope == Traffic {
			delete(there, chain.Key())
		}
		found := newMismatches(desired)
		found.show(there)
		wanted, ok := found.wanted(scope)
		if scope == Traffic {
			delete(desired, chain.Key())
		}
		want := state.Plan(desired, there)
		missing := slices.ContainsFunc(want, func(op state.Op) bool {
			_, hole := op.Old.(state.SetMember) // in a range
			return (op.Action == state.Add || op.Action == state.Change && hole) && InPart(op.New.Key())
		})
		if ok == missing {
			t.Fatalf("it can tell: %t, something is missing: %t", ok, missing)
		}
		if !ok {
			continue
		}
		told++
		if got := state.Plan(wanted, found.others); !slices.Equal(got, want) {
			t.Fatalf("got\n%v\nwant\n%v", got, want)
		}
	}
	if told < 50 {
		t.Errorf("it could tell only %d times of 500", told)
	}
}

// A kernel that is as desired makes no garbage, however much it holds.
func TestWhatIsAsDesiredMakesNoGarbage(t *testing.T) {
	desired := crowded(500)
	var servers []state.VirtualServer
	var reals []state.RealServer
	for _, o := range desired {
		switch o := o.(type) {
		case state.VirtualServer:
			servers = append(servers, o)
		case state.RealServer:
			reals = append(reals, o)
		}
	}
	found := newMismatches(desired)
	var many sink = found
	allocs := testing.AllocsPerRun(5, func() {
		found.met = 0
		for _, v := range servers {
			many.Virtual(v)
		}
		for _, r := range reals {
			many.Destination(r)
		}
	})
	if found.met != 5500 || allocs > 0 {
		t.Errorf("%d met, %v allocations", found.met, allocs)
	}
}

func BenchmarkCompareWithDesired(b *testing.B) {
	b.ReportAllocs()
	desired := crowded(5000)
	for b.Loop() {
		found := newMismatches(desired)
		found.show(desired)
		if wanted, ok := found.wanted(Full); !ok || len(state.Plan(wanted, found.others)) > 0 {
			b.Fatal("not as desired")
		}
	}
}

func BenchmarkPlanWithDesired(b *testing.B) {
	b.ReportAllocs()
	desired, there := crowded(5000), crowded(5000)
	for b.Loop() {
		if len(state.Plan(desired, there)) > 0 {
			b.Fatal("not as desired")
		}
	}
}
