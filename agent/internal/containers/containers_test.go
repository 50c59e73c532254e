package containers

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/engine"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/presence"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

type fakeEngines struct {
	running []engine.Container
	ready   bool
	wanted  bool
	faults  []engine.Fault
	present []string
	changed chan struct{}
}

func (f *fakeEngines) Want(wanted bool)            { f.wanted = wanted }
func (f *fakeEngines) Running() []engine.Container { return slices.Clone(f.running) }
func (f *fakeEngines) Ready() bool                 { return f.ready }
func (f *fakeEngines) Faults() []engine.Fault      { return f.faults }
func (f *fakeEngines) Present() []string           { return f.present }
func (f *fakeEngines) Changed() <-chan struct{}    { return f.changed }
func (f *fakeEngines) Run(ctx context.Context)     { <-ctx.Done() }

type fakePresence struct {
	roll          presence.Roll
	filled        map[netip.Addr]bool
	absent, empty map[netip.Addr]bool
	heard         map[string]presence.Heard
	changed       chan struct{}
}

func (f *fakePresence) Keep(r presence.Roll)             { f.roll = r }
func (f *fakePresence) Fill(filled map[netip.Addr]bool)  { f.filled = filled }
func (f *fakePresence) Absent() map[netip.Addr]bool      { return maps.Clone(f.absent) }
func (f *fakePresence) Empty() map[netip.Addr]bool       { return f.empty }
func (f *fakePresence) Heard() map[string]presence.Heard { return f.heard }
func (f *fakePresence) Changed() <-chan struct{}         { return f.changed }
func (f *fakePresence) Run(ctx context.Context)          { <-ctx.Done() }

type fakeKernel map[netip.Addr]state.Process

func (f fakeKernel) Attached() (map[netip.Addr]state.Process, error) { return f, nil }

// world is a Keeper of n1, whose service web has two slots for app=web and one for the
// container "one", and of whose other node n2 it has one.
type world struct {
	*Keeper
	t        *testing.T
	engines  *fakeEngines
	presence *fakePresence
	kernel   fakeKernel
	rec      *mesh.Record
	now      time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, engines: &fakeEngines{ready: true, present: []string{"docker"}, changed: make(chan struct{}, 1)},
		presence: &fakePresence{changed: make(chan struct{}, 1)}, kernel: fakeKernel{}, now: time.Unix(1000, 0),
	}
	rec, err := mesh.NewRecord("uid", mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("demo"), PublishedPortRange: mesh.DefaultPortRange,
	})
	must(t, err)
	for i, name := range []string{"n1", "n2"} {
		must(t, rec.PutNode(&mesh.Node{Name: name, Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), UnderlayMTU: 1500}))
	}
	labels := &mesh.Container{Labels: map[string]string{"app": "web"}}
	must(t, rec.PutService(&mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{
		"a": {Node: "n1", Container: labels, Slots: make([]uint16, 2)},
		"b": {Node: "n1", Container: &mesh.Container{Name: "one"}, Slots: make([]uint16, 1)},
		"c": {Node: "n2", Container: labels, Slots: make([]uint16, 1)},
		"p": {Node: "n1"},
	}}))
	must(t, rec.PutService(&mesh.Service{Name: "unpublished", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1", Container: labels, Slots: make([]uint16, 1)}}}))
	must(t, rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}))
	w.rec = rec
	w.Keeper = New(Options{Engines: w.engines, Presence: w.presence, Kernel: w.kernel, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.now }})
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// runs makes the containers those that run; the number is the process's and, as a time, when
// it was made.
func (w *world) runs(all ...engine.Container) {
	w.engines.running = all
	w.mu.Lock()
	w.fill()
	w.mu.Unlock()
}

func web(id string, pid int) engine.Container {
	return engine.Container{Engine: "docker", ID: id, Name: "name-" + id, Labels: map[string]string{"app": "web"}, Process: engine.Process{PID: pid, Start: 1}}
}

// has says which process is in which slot, by the last byte of its address.
func (w *world) expect(step string, want map[byte]int) {
	w.t.Helper()
	got := map[byte]int{}
	for slot, p := range w.Containers() {
		got[slot.As4()[3]] = p.PID
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("%s: %s", step, diff)
	}
	for slot := range w.Containers() {
		if !w.presence.filled[slot] {
			w.t.Errorf("%s: the others are not told that %s is filled", step, slot)
		}
	}
	if len(w.presence.filled) != len(want) {
		w.t.Errorf("%s: the others are told of %v", step, w.presence.filled)
	}
}

// TestKeeper_Slots: who has a slot keeps it; a restart of the same container stays where it
// was, and the next one takes the first that is free.
func TestKeeper_Slots(t *testing.T) {
	w := newWorld(t)
	w.Keep(w.rec, "n1")
	if !w.engines.wanted {
		t.Error("no engine is asked")
	}
	w.expect("none runs", map[byte]int{})
	w.runs(web("x", 1), web("y", 2), web("z", 3))
	w.expect("three for two slots", map[byte]int{128: 1, 129: 2})
	w.runs(web("y", 2), web("z", 3))
	w.expect("the first has ended", map[byte]int{128: 3, 129: 2})
	w.runs(web("y", 22), web("z", 3))
	w.expect("one was restarted", map[byte]int{128: 3, 129: 22})
	one := engine.Container{Engine: "podman", ID: "1", Name: "one", Process: engine.Process{PID: 9, Start: 1}}
	both := web("x", 1)
	both.Name = "one"
	w.runs(one, web("y", 22))
	w.expect("by its name", map[byte]int{129: 22, 130: 9})
	w.runs(both)
	w.expect("one container in the slots of two endpoints", map[byte]int{128: 1, 130: 1})
	hosts := web("h", 5)
	hosts.HostNetwork = true
	w.runs(hosts)
	w.expect("in the host's network", map[byte]int{})
	w.Keep(w.rec, "n2")
	w.runs(web("x", 1))
	w.expect("as another node", map[byte]int{128: 1})
	w.Keep(nil, "")
	w.expect("as none", map[byte]int{})
	if w.engines.wanted {
		t.Error("engines are asked for nothing")
	}
}

// TestKeeper_Start: an agent that starts keeps what is attached until the engines have been
// asked, one of them answering or not.
func TestKeeper_Start(t *testing.T) {
	w := newWorld(t)
	slot := netip.MustParseAddr("10.255.0.129")
	w.kernel[slot] = state.Process{PID: 2, Start: 1}
	w.engines.ready = false
	w.Keep(w.rec, "n1")
	w.expect("nobody was asked", map[byte]int{129: 2})
	w.runs(web("x", 1))
	w.expect("one engine has answered", map[byte]int{128: 1, 129: 2})
	w.runs(web("x", 1), web("y", 2))
	w.expect("the other as well", map[byte]int{128: 1, 129: 2})
	w.engines.ready = true
	w.runs(web("x", 1))
	w.expect("it has ended", map[byte]int{128: 1})
}

// TestKeeper_Leaving: a container whose slot is taken out of the record keeps its link for the
// service's drain, unless it ends.
func TestKeeper_Leaving(t *testing.T) {
	w := newWorld(t)
	without := func(drainSeconds int, endpoints ...string) *mesh.Record {
		rec := w.rec.Clone()
		s := rec.Services["web"]
		for _, key := range endpoints {
			delete(s.Endpoints, key)
		}
		s.DrainSeconds = drainSeconds
		return rec
	}
	linked := func(step string, want ...int) {
		t.Helper()
		var got []int
		for _, p := range w.Containers() {
			got = append(got, p.PID)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: linked are %v, want %v", step, got, want)
		}
	}
	w.rec = without(30)
	w.Keep(w.rec, "n1")
	w.runs(web("x", 1), web("y", 2))
	w.Keep(without(30, "a"), "n1")
	linked("both drain", 1, 2)
	if len(w.presence.filled) != 0 {
		t.Errorf("what drains counts as filled: %v", w.presence.filled)
	}
	w.engines.running = []engine.Container{web("y", 2)}
	w.expire()
	linked("one has ended", 2)
	w.now = w.now.Add(30 * time.Second)
	w.expire()
	linked("its time is over")
	w.Keep(w.rec, "n1")
	w.runs(web("y", 2))
	w.Keep(without(30, "a", "b"), "n1")
	if !w.engines.wanted {
		t.Error("nobody looks whether what drains still runs")
	}
	linked("the last one of this node", 2)
	w.Keep(w.rec, "n1")
	linked("back in its slot", 2)
	if len(w.leaving) != 0 || len(w.presence.filled) != 1 {
		t.Errorf("it leaves all the same: %v", w.leaving)
	}
	w.Keep(without(0), "n1")
	w.Keep(without(0, "a"), "n1")
	linked("a service that does not drain")
	w.Keep(nil, "")
	linked("a host that is left")
}

// inNetwork is the world's record, in which the service that publishes nothing is in a network.
func (w *world) inNetwork() *mesh.Record {
	rec := w.rec.Clone()
	must(w.t, rec.PutNetwork(&mesh.Network{Name: "back"}))
	s := *rec.Services["unpublished"]
	s.Networks, s.DrainSeconds = map[string]mesh.Membership{"back": {}}, 30
	must(w.t, rec.PutService(&s))
	return rec
}

// TestKeeper_InNetwork: a service in a network has containers although it publishes nothing.
func TestKeeper_InNetwork(t *testing.T) {
	w := newWorld(t)
	w.Keep(w.inNetwork(), "n1")
	own := netip.MustParseAddr("10.255.0.131")
	if !slices.Contains(w.presence.roll.Nodes["n1"].Slots, own) {
		t.Errorf("the other nodes are not told of %s: %v", own, w.presence.roll.Nodes["n1"].Slots)
	}
	w.runs(web("x", 1))
	w.expect("it has a slot of each endpoint", map[byte]int{128: 1, 131: 1})
	for _, s := range w.Slots() {
		if s.Address == own && s.State != mesh.SlotFilled {
			t.Errorf("the slot is %s", s.State)
		}
	}
}

// TestKeeper_LeavingNetworks: a slot that is taken out was in the networks of its service of
// then; a cluster without networks has nothing to say of them.
func TestKeeper_LeavingNetworks(t *testing.T) {
	w := newWorld(t)
	expect := func(step string, want map[netip.Addr]mesh.NetworkSet) {
		t.Helper()
		if got := w.Leaving(); !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", step, got, want)
		}
	}
	own, other := netip.MustParseAddr("10.255.0.131"), netip.MustParseAddr("10.255.0.128")
	in := w.inNetwork()
	in.Services["web"].DrainSeconds = 30
	w.Keep(in, "n1")
	w.runs(web("x", 1))
	expect("none leaves", nil)
	out := in.Clone()
	must(t, out.RemoveService("unpublished"))
	delete(out.Services["web"].Endpoints, "a")
	w.Keep(out, "n1")
	expect("both are taken out", map[netip.Addr]mesh.NetworkSet{own: "back", other: ""})
	must(t, out.RemoveNetwork("back"))
	without := out.Clone()
	w.Keep(without, "n1")
	expect("the last network is gone", nil)
	w.Keep(in, "n1")
	w.Keep(w.inNetwork(), "n1")
	expect("back in their slots", nil)
	next := in.Clone()
	must(t, next.RemoveService("unpublished"))
	w.Keep(next, "n1")
	expect("taken out again", map[netip.Addr]mesh.NetworkSet{own: "back"})
	w.now = w.now.Add(30 * time.Second)
	w.expire()
	expect("its time is over", nil)
}

// TestKeeper_Roll: the nodes tell each other of the slots of reachable services.
func TestKeeper_Roll(t *testing.T) {
	w := newWorld(t)
	w.Keep(w.rec, "n1")
	got := map[string][]netip.Addr{}
	for name, m := range w.presence.roll.Nodes {
		got[name+" "+m.Address.String()] = m.Slots
	}
	want := map[string][]netip.Addr{
		"n1 10.255.0.6": {netip.MustParseAddr("10.255.0.128"), netip.MustParseAddr("10.255.0.129"), netip.MustParseAddr("10.255.0.130")},
		"n2 10.255.1.6": {netip.MustParseAddr("10.255.1.128")},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	a, b := netip.MustParseAddr("10.255.1.128"), netip.MustParseAddr("10.255.0.130")
	w.presence.absent, w.presence.empty = map[netip.Addr]bool{a: true, b: true}, map[netip.Addr]bool{b: true}
	if diff := cmp.Diff(map[netip.Addr]bool{a: false, b: true}, w.Absent(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// TestKeeper_SlotsListed: for people, with the containers' names where they are known.
func TestKeeper_SlotsListed(t *testing.T) {
	w := newWorld(t)
	other := netip.MustParseAddr("10.255.1.128")
	list := func() string {
		var lines []string
		for _, s := range w.Slots() {
			lines = append(lines, strings.TrimSpace(strings.Join([]string{s.Service, s.Endpoint, s.Node, s.Address.String(), string(s.State), s.Container}, " ")))
		}
		return strings.Join(lines, "\n")
	}
	expect := func(step string, own, ofOther string) {
		t.Helper()
		want := "unpublished a n1 10.255.0.131 unpublished\n" + own + "\nweb c n2 10.255.1.128 " + ofOther
		if diff := cmp.Diff(want, list()); diff != "" {
			t.Error(step, diff)
		}
	}
	if got := w.Slots(); len(got) != 0 {
		t.Errorf("without a record: %v", got)
	}
	w.engines.ready = false
	w.Keep(w.rec, "n1")
	expect("nothing is known", "web a n1 10.255.0.128 unknown\nweb a n1 10.255.0.129 unknown\nweb b n1 10.255.0.130 unknown", "unknown")
	w.engines.ready = true
	w.runs(web("x", 1))
	own := "web a n1 10.255.0.128 filled name-x\nweb a n1 10.255.0.129 empty\nweb b n1 10.255.0.130 empty"
	for state, heard := range map[string]presence.Heard{
		"filled": {Known: true, Filled: []netip.Addr{other}}, "empty": {Known: true}, "silent": {Known: true, Silent: true, Filled: []netip.Addr{other}},
	} {
		w.presence.heard = map[string]presence.Heard{"n2": heard}
		expect(state, own, state)
	}
}

// TestKeeper_Warnings: who has nobody to answer is told of, after a while.
func TestKeeper_Warnings(t *testing.T) {
	w := newWorld(t)
	expect := func(step string, want ...string) {
		t.Helper()
		var got []string
		for _, warning := range w.Warnings() {
			got = append(got, warning.Object.String()+": "+warning.Text)
		}
		if len(got) != len(want) {
			t.Fatalf("%s: %s\nwant %s", step, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("%s: %s\nwant %s", step, got[i], want[i])
			}
		}
	}
	one := engine.Container{ID: "1", Name: "one", Process: engine.Process{PID: 9, Start: 1}}
	w.Keep(w.rec, "n1")
	expect("at first")
	w.now = w.now.Add(emptyFor)
	expect("later", `Endpoint "a" of service "web"`, `this node does not run the container "one" (asked: docker)`)
	w.runs(web("x", 1), one)
	expect("they run")
	w.runs(web("x", 1), web("y", 2), web("z", 3), one)
	expect("too many", `has 2 slots, and 3 containers of this node fit (containers labelled app=web)`)
	hosts := web("h", 5)
	hosts.HostNetwork = true
	w.runs(hosts, one)
	w.now = w.now.Add(emptyFor)
	expect("in the host's network", "name-h) is in the host's network")
	w.engines.faults = []engine.Fault{{Engine: "podman", Text: "Podman cannot be asked."}}
	w.runs(one, web("x", 1))
	expect("an engine that cannot be asked, of which nothing is missing but a slot", "node/n1: Podman cannot be asked.")
	w.runs(one, web("x", 1), web("y", 2))
	expect("nothing is missing")
	w.engines.present, w.engines.faults = nil, nil
	w.runs()
	w.now = w.now.Add(emptyFor)
	expect("no engine", "systemctl enable --now podman.socket", "neither Docker's socket nor Podman's")
	w.engines.ready = false
	w.runs()
	expect("not asked yet")
}
