package compile

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Whatever changes, what is kept up is what would be compiled, and what is said to
// have changed makes the one of the other; what is said of a service is all of it.
func TestWhatIsKeptUpIsWhatIsCompiled(t *testing.T) {
	partly := 0
	for seed := range uint64(60) {
		w := newWorld(t, seed)
		var d Desired
		before := Compile(nil, "", debian12, Conditions{})
		for i := range 60 {
			w.step()
			change := d.Follow(w.rec, "n1", debian12, w.now)
			want := Compile(w.rec, "n1", debian12, w.now)
			if !maps.Equal(d.State, want) {
				t.Fatalf("seed %d, step %d: kept up and compiled differ:\n%v", seed, i, state.Plan(want, d.State))
			}
			if !change.Whole {
				partly++
			}
			checkPorts(t, &d, w)
			if again := d.Follow(w.rec, "n1", debian12, w.now); len(again.Before)+len(again.After) > 0 {
				t.Fatalf("the same once more changes %v", again)
			}
			checkChange(t, change, before, want)
			before = want
		}
	}
	if partly < 60*60/2 {
		t.Errorf("only %d changes were not compiled anew", partly)
	}
}

// checkPorts: what each port asks for is what it would ask for alone, and all of it is in
// the state.
func checkPorts(t *testing.T, d *Desired, w *world) {
	t.Helper()
	self := w.rec.Nodes["n1"]
	for unit, asked := range d.units {
		if unit.VIP == "" && w.rec.Ports[unit.Port] == nil && len(asked) > 0 {
			t.Fatalf("%s is closed and asks for %v", unit, asked)
		}
	}
	for unit := range units(w.rec) {
		want := state.State{}
		if self != nil {
			unitObjects(func(o state.Object) { want.Put(o) }, w.rec, self, unit, memberNetworks(w.rec, self.Name), w.now)
		}
		got := state.State{}
		got.Put(d.units[unit]...)
		if !maps.Equal(got, want) {
			t.Fatalf("%s asks for %v, want %v", unit, got, want)
		}
		for name, o := range got {
			if d.State[name] != o {
				t.Fatalf("%s is not in the whole", o)
			}
		}
	}
}

func checkChange(t *testing.T, c Change, before, after state.State) {
	t.Helper()
	inPart := func(s, part state.State) state.State {
		found := state.State{}
		for key, o := range s {
			_, was := c.Before[key]
			_, is := c.After[key]
			if was || is || key.Kind == state.KindRealServer && (hasServer(c.Before, key) || hasServer(c.After, key)) {
				found[key] = o
			}
		}
		return found
	}
	if got, want := state.Plan(c.After, c.Before), state.Plan(after, before); !slices.Equal(got, want) {
		t.Fatalf("the change is\n%v\nwant\n%v", got, want)
	}
	if !maps.Equal(c.Before, inPart(before, c.Before)) || !maps.Equal(c.After, inPart(after, c.After)) {
		t.Fatal("the change lacks destinations of its services")
	}
}

func hasServer(s state.State, server state.Key) bool {
	server.Kind, server.B = state.KindVirtualServer, netip.AddrPort{}
	_, ok := s[server]
	return ok
}

// Whatever of a record is compiled, another value of it is a change.
func TestWhatIsCompiledIsCompared(t *testing.T) {
	web := mesh.PortKey{Port: 80, Protocol: mesh.TCP}
	for name, change := range map[string]func(*mesh.Record){
		"settings":       func(r *mesh.Record) { r.Cluster.TCPIdleSeconds = 60 },
		"node's address": func(r *mesh.Record) { r.Nodes["n2"].Address = netip.MustParseAddr("192.0.2.99") },
		"node's block":   func(r *mesh.Record) { r.Nodes["n2"].Block = netip.MustParsePrefix("10.255.77.0/24") },
		"node's MTU":     func(r *mesh.Record) { r.Nodes["n2"].UnderlayMTU = 1400 },
		"a node drains":  func(r *mesh.Record) { r.Nodes["n2"].Availability = mesh.AvailabilityDrain },
		"a node leaves":  func(r *mesh.Record) { r.RemoveNode("n2") },
		"target":         func(r *mesh.Record) { r.Ports[web].Target = 81 },
		"mode":           func(r *mesh.Record) { r.Ports[web].Mode = mesh.Host },
		"locality":       func(r *mesh.Record) { r.Ports[web].Locality = mesh.LocalOnly },
		"scheduler":      func(r *mesh.Record) { r.Services["shop"].Scheduler = "sh" },
		"affinity": func(r *mesh.Record) {
			r.Services["shop"].Affinity = &mesh.Affinity{TimeoutSeconds: 60, PrefixLength: 32}
		},
		"check's port": func(r *mesh.Record) { r.Services["shop"].HealthCheck.Port = 99 },
		"no check":     func(r *mesh.Record) { r.Services["shop"].HealthCheck = nil },
		"weight":       func(r *mesh.Record) { r.Services["shop"].Endpoints["b"] = mesh.Endpoint{Node: "n2"} },
		"endpoint's port": func(r *mesh.Record) {
			r.Services["shop"].Endpoints["c"] = mesh.Endpoint{Node: "n3", Port: 8082}
		},
		"endpoint's node": func(r *mesh.Record) { r.Services["shop"].Endpoints["a"] = mesh.Endpoint{Node: "n2", Port: 8083} },
		"endpoint gone":   func(r *mesh.Record) { delete(r.Services["shop"].Endpoints, "a") },
		"port gone":       func(r *mesh.Record) { r.RemovePort(web) },
	} {
		rec := shop(t, asIs)
		next := rec.Next()
		change(next)
		if ports, known := ChangedPorts(rec, next, "n1"); known && !slices.Contains(ports, web) {
			t.Errorf("%s: changed are %v", name, ports)
		}
	}
}

// TestPortsOf_Change: what a change says that it changes is what a comparison finds, and no
// less, in every world; and it is known as often.
func TestPortsOf_Change(t *testing.T) {
	known := 0
	for seed := range uint64(40) {
		w := newWorld(t, seed)
		was := w.rec
		for range 40 {
			w.step()
			made := applied(t, was, w.rec)
			for _, node := range []string{"n1", "none"} {
				want, wantKnown := ChangedPorts(was, made.Record, node)
				got, gotKnown := portsOf(made.Origin.Change, was, made.Record, node)
				if gotKnown != wantKnown {
					t.Fatalf("seed %d: known is %v, want %v", seed, gotKnown, wantKnown)
				}
				for _, key := range want {
					if !slices.Contains(got, key) {
						t.Fatalf("seed %d: %v has changed, said are %v", seed, want, got)
					}
				}
				if wantKnown {
					known++
				}
			}
			was = made.Record
			w.rec = made.Record.Clone()
		}
	}
	if known < 400 {
		t.Errorf("only %d changes were of ports only", known)
	}
}

// applied is next as an agent makes it of the change that it is sent.
func applied(t testing.TB, base, next *mesh.Record) mesh.Encoded {
	t.Helper()
	c := mesh.Diff(base, next)
	c.Hash = next.Hash()
	made, err := base.Apply(c)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// TestExpect_NothingCompared: a record that is expected by its change is followed by it,
// and one that was made of another record is compared.
func TestExpect_NothingCompared(t *testing.T) {
	rec := large(t, 20)
	next := rec.Next()
	putPort(t, next, "s7", 9000, 19000, mesh.TCP, mesh.Ingress)
	made := applied(t, rec, next)
	var d Desired
	d.Follow(rec, "n3", debian12, Conditions{})
	lie := *made.Origin
	lie.Change = &mesh.Change{}
	d.Expect(made.Record, "n3", &lie)
	if c := d.Follow(made.Record, "n3", debian12, Conditions{}); len(c.After) != 0 {
		t.Errorf("something was compared: %v", c.After)
	}
	d = Desired{}
	d.Follow(rec.Clone(), "n3", debian12, Conditions{})
	d.Expect(made.Record, "n3", &lie)
	if c := d.Follow(made.Record, "n3", debian12, Conditions{}); len(c.After) != 13 {
		t.Errorf("of another base: %v", c.After)
	}
	d = Desired{}
	d.Follow(rec, "n3", debian12, Conditions{})
	d.Expect(made.Record, "n3", made.Origin)
	if c := d.Follow(made.Record, "n3", debian12, Conditions{}); len(c.After) != 13 || !maps.Equal(d.State, Compile(made.Record, "n3", debian12, Conditions{})) {
		t.Errorf("the change is %v", c.After)
	}
}

// A record that is equal in what is compiled makes no work, whatever else differs.
func TestAnEqualRecordChangesNothing(t *testing.T) {
	rec := large(t, 20)
	next := rec.Next()
	next.Nodes["n1"].Labels = map[string]string{"rack": "a"}
	if ports, known := ChangedPorts(rec, next, "n3"); !known || len(ports) > 0 {
		t.Errorf("%v (known: %t) have changed", ports, known)
	}
}

func TestOnePortMoreAmongThousandsIsKeptUpCheaply(t *testing.T) {
	rec := large(t, 5000)
	next := rec.Next()
	putPort(t, next, "s7", 9000, 19000, mesh.TCP, mesh.Ingress)
	var d Desired
	d.Follow(rec, "n3", debian12, Conditions{})
	records := []*mesh.Record{next, rec}
	turn := 0
	allocs := testing.AllocsPerRun(20, func() {
		if c := d.Follow(records[turn%2], "n3", debian12, Conditions{}); c.Whole || len(c.Before)+len(c.After) != 13 {
			t.Fatalf("the change is %v → %v", c.Before, c.After)
		}
		turn++
	})
	if allocs > 150 {
		t.Errorf("%v allocations for one port among 5,000, at most 150 are promised", allocs)
	}
}

func BenchmarkFollowOnePortMore(b *testing.B) {
	b.ReportAllocs()
	rec := large(b, 5000)
	next := rec.Next()
	putPort(b, next, "s7", 9000, 19000, mesh.TCP, mesh.Ingress)
	var d Desired
	d.Follow(rec, "n3", debian12, Conditions{})
	for b.Loop() {
		d.Follow(next, "n3", debian12, Conditions{})
		d.Follow(rec, "n3", debian12, Conditions{})
	}
}
