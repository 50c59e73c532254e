package reconcile

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// shuffled is the record after some random changes of services and ports.
func shuffled(t *testing.T, rng *rand.Rand, rec *mesh.Record) *mesh.Record {
	t.Helper()
	next := rec.Next()
	for range 1 + rng.IntN(3) {
		service := fmt.Sprintf("s%d", rng.IntN(3))
		s := &mesh.Service{Name: service, Endpoints: map[string]mesh.Endpoint{}}
		for i := range rng.IntN(3) {
			s.Endpoints[fmt.Sprintf("e%d", i)] = mesh.Endpoint{Node: fmt.Sprintf("n%d", 1+rng.IntN(2)), Port: uint16(8000 + i)}
		}
		p := &mesh.PublishedPort{
			Service: service, Published: uint16(80 + rng.IntN(5)), Target: 80, Protocol: []mesh.Protocol{mesh.TCP, mesh.UDP}[rng.IntN(2)], Mode: mesh.Ingress,
		}
		if rng.IntN(5) == 0 {
			p.Mode = mesh.Host
		}
		switch rng.IntN(3) {
		case 0:
			next.RemovePort(p.Key())
		case 1:
			_ = next.PutService(s)
		default:
			_ = next.PutPort(p) // there may be no such service, or it is another's
		}
	}
	return next
}

// Whatever is committed, the kernel has all of it afterwards, also where only a part
// of it was looked at.
func TestCommitsByPartsAddUpToTheWhole(t *testing.T) {
	parts := 0
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 2))
		k := newFakeKernel()
		r, _, _ := newWatched(k, Options{})
		rec := record(t, 0)
		for i := range 40 {
			k.forget()
			expect(t, "problems", texts(r.Commit(t.Context(), rec, "n1")), "")
			if want := compile.Compile(rec, "n1", debian12, compile.Conditions{}); !maps.Equal(k.has, want) {
				t.Fatalf("seed %d, commit %d, looked at %v: left to do %v", seed, i, k.scopes, state.Plan(want, k.has))
			}
			if k.scopes[0] == aPart {
				parts++
			}
			rec = shuffled(t, rng, rec)
		}
	}
	if parts < 600 {
		t.Errorf("only %d of 1,200 commits looked at a part", parts)
	}
}

// What is planned for a part is what would be planned for it as part of the whole,
// whatever the kernel has.
func TestThePlanOfAPartIsPartOfThePlan(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 3))
		k := newFakeKernel()
		r, _, _ := newWatched(k, Options{})
		rec := record(t, 4)
		r.Commit(t.Context(), rec, "n1")
		for range 10 {
			rec = shuffled(t, rng, rec)
			change := r.keepTo(rec, "n1")
			if change.Whole {
				t.Fatal("not a part")
			}
			disturb(rng, k.has)
			if !allInParts(&change) {
				continue
			}
			whole, err := r.plan(t.Context(), sight{})
			if err != nil {
				t.Fatal(err)
			}
			part, err := r.plan(t.Context(), sight{part: &change})
			if err != nil {
				t.Fatal(err)
			}
			touched := change.Touched()
			want := slices.DeleteFunc(whole.ops, func(op state.Op) bool {
				key := op.Object().Key()
				server := state.Key{Kind: state.KindVirtualServer, NS: state.Mesh, Name: key.Name, A: key.A}
				return touched[key] == nil && (key.Kind != state.KindRealServer || touched[server] == nil)
			})
			if !slices.Equal(part.ops, want) {
				t.Fatalf("seed %d: planned\n%v\nwant\n%v", seed, part.ops, want)
			}
		}
	}
}

func allInParts(c *compile.Change) bool {
	for key := range c.Touched() {
		if !kernel.InPart(key) {
			return false
		}
	}
	return true
}

// disturb takes some objects out and changes others.
func disturb(rng *rand.Rand, has state.State) {
	for key, o := range maps.Clone(has) {
		switch d, isReal := o.(state.RealServer); {
		case !kernel.InPart(key) || rng.IntN(4) > 0:
		case isReal && rng.IntN(2) == 0:
			d.Weight = 7
			has.Put(d)
			d.Addr = netip.MustParseAddrPort("198.51.100.1:80")
			has.Put(d)
		default:
			delete(has, key)
		}
	}
}

// Where anything is in doubt a commit looks at everything.
func TestWhatIsInDoubtIsLookedAtAsAWhole(t *testing.T) {
	tests := map[string]func(*Reconciler, *fakeKernel, *fakeWatch, *mesh.Record){
		"an event":                           func(_ *Reconciler, _ *fakeKernel, w *fakeWatch, _ *mesh.Record) { w.see() },
		"something changed, says the canary": func(_ *Reconciler, _ *fakeKernel, w *fakeWatch, _ *mesh.Record) { w.untouched = false },
		"another address of a node": func(_ *Reconciler, _ *fakeKernel, _ *fakeWatch, next *mesh.Record) {
			next.Nodes["n2"].Address = netip.MustParseAddr("192.0.2.77")
		},
		"the first port in host mode, which needs a route": func(_ *Reconciler, _ *fakeKernel, _ *fakeWatch, next *mesh.Record) {
			next.Services["web"].Endpoints["mine"] = mesh.Endpoint{Node: "n1"}
			next.Ports[mesh.PortKey{Port: 8080, Protocol: mesh.TCP}].Mode = mesh.Host
		},
		"something is broken and known to be": func(r *Reconciler, k *fakeKernel, _ *fakeWatch, _ *mesh.Record) {
			delete(k.has, natChain)
			k.refuses[natChain] = fmt.Errorf("no memory")
			r.Repair(t.Context())
			clear(k.refuses)
		},
		"the kernel could not be read": func(r *Reconciler, k *fakeKernel, _ *fakeWatch, _ *mesh.Record) {
			k.blind = fmt.Errorf("no buffer space")
			r.Repair(t.Context())
			k.blind = nil
		},
	}
	for name, doubt := range tests {
		t.Run(name, func(t *testing.T) {
			k := newFakeKernel()
			r, w, _ := newWatched(k, Options{})
			rec := record(t, 0)
			r.Commit(t.Context(), rec, "n1")
			next := record(t, 1)
			doubt(r, k, w, next)
			k.forget()
			expect(t, "problems", texts(r.Commit(t.Context(), next, "n1")), "")
			if slices.Contains(k.scopes, aPart) || len(k.scopes) == 0 {
				t.Errorf("scopes %v", k.scopes)
			}
			if want := compile.Compile(next, "n1", debian12, compile.Conditions{}); !maps.Equal(k.has, want) {
				t.Errorf("left to do %v", state.Plan(want, k.has))
			}
		})
	}
}

// Somebody who writes while a part is written and read back has everything looked at,
// in the same commit.
func TestWhoWritesAtTheSameTimeIsSeen(t *testing.T) {
	k := newFakeKernel()
	r, w, _ := newWatched(k, Options{})
	r.Commit(t.Context(), record(t, 0), "n1")
	k.forget()
	w.disturbed = true
	k.afterApply = func(has state.State) { delete(has, member) }
	r.Commit(t.Context(), record(t, 1), "n1")
	if k.scopes[0] != aPart || !slices.Contains(k.scopes, kernel.Traffic) {
		t.Errorf("scopes %v", k.scopes)
	}
	k.afterApply, w.disturbed = nil, false
	r.Commit(t.Context(), record(t, 2), "n1")
	if k.has[member] == nil {
		t.Error("what was taken away meanwhile is not back")
	}
}

// A part that the kernel does not take is reported and tried as a whole.
func TestAPartThatIsRefusedIsAProblem(t *testing.T) {
	k := newFakeKernel()
	r, _, _ := newWatched(k, Options{})
	r.Commit(t.Context(), record(t, 0), "n1")
	refused := state.SetMember{Set: "routingmesh-tcp", Port: 9000}.Key()
	k.refuses[refused] = fmt.Errorf("no memory")
	expect(t, "problems", texts(r.Commit(t.Context(), record(t, 1), "n1")),
		"port/9000/tcp: The ipset routingmesh-tcp lacks port 9000, so that no traffic gets in: no memory.\n")
	clear(k.refuses)
	expect(t, "problems", texts(r.Commit(t.Context(), record(t, 2), "n1")), "")
	if k.has[refused] == nil {
		t.Error("it is not open")
	}
}

// What a commit of one port costs does not depend on how many others there are.
func TestOnePortMoreAllocatesTheSameBesideThousands(t *testing.T) {
	if few, many := commitAllocs(t, 10), commitAllocs(t, 3000); many > few+50 || many > 400 {
		t.Errorf("%v allocations beside 3,000 ports, %v beside ten; 400 are promised", many, few)
	}
}

// commitAllocs is for one port more or less beside so many others, announced and
// committed as the server does it.
func commitAllocs(t *testing.T, ports int) float64 {
	t.Helper()
	k := newFakeKernel()
	r, _, _ := newWatched(k, Options{Hash: func(*mesh.Record) string { return "known" }})
	rec := record(t, ports)
	next := rec.Next()
	next.Ports = maps.Clone(rec.Ports)
	next.Services = rec.Services // as a record shares with the one that it was made of
	next.Nodes = rec.Nodes
	p := &mesh.PublishedPort{Service: "web", Published: 7000, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}
	next.Ports[p.Key()] = p
	records := []*mesh.Record{next, rec}
	turn := 0
	commit := func() {
		to := records[turn%2]
		turn++
		if err := r.Announce(to, "n1", nil); err != nil {
			t.Fatal(err)
		}
		expect(t, "problems", texts(r.Commit(t.Context(), to, "n1")), "")
	}
	r.Commit(t.Context(), rec, "n1")
	k.forget()
	allocs := testing.AllocsPerRun(10, commit)
	if i := slices.IndexFunc(k.scopes, func(s kernel.Scope) bool { return s != aPart }); i >= 0 {
		t.Errorf("looked at scope %v", k.scopes[i])
	}
	return allocs
}

func BenchmarkCommitOnePortMore(b *testing.B) {
	b.ReportAllocs()
	k := newFakeKernel()
	r, _, _ := newWatched(k, Options{Hash: func(*mesh.Record) string { return "known" }})
	rec := record(b, 5000)
	next := rec.Next()
	delete(next.Ports, mesh.PortKey{Port: 9000, Protocol: mesh.TCP})
	r.Commit(b.Context(), rec, "n1")
	for b.Loop() {
		r.Commit(b.Context(), next, "n1")
		r.Commit(b.Context(), rec, "n1")
	}
}
