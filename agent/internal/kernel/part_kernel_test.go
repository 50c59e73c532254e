//go:build kernel

package kernel_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// What is observed of a part is what a whole observation has of it, also where it is
// not there, or is more or other than was asked for.
func TestAPartIsObservedAsInTheWhole(t *testing.T) {
	m := newMachine(t, "a")
	want := full(t)
	for port := uint16(10000); port < 10080; port += 2 { // more members than are asked for one by one
		publish(want, 1, "tcp", port, port, 1, 2)
	}
	want.Put(state.SetMember{Set: "routingmesh-tcp", Port: 20000, Last: 20999})
	m.reach(want, 1)
	m.mesh("ipvsadm -d -t 10.255.1.1:8080 -r 10.255.2.2:80; ipvsadm -a -t 10.255.1.1:10000 -r 10.255.9.2:80 -g; ipvsadm -D -t 10.255.1.1:10002; ipvsadm -E -t 10.255.1.1:10004 -s sh")
	m.run("ipset del routingmesh-tcp 10006; ipset add routingmesh-udp 99")
	has := m.observe()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 20 {
		part, expected := state.State{}, state.State{}
		for key, o := range want {
			if kernel.InPart(key) && (i == 0 || rng.IntN(10) == 0) {
				part[key] = o
			}
		}
		for key, o := range has {
			if part[key] != nil || key.Kind == state.KindRealServer && asksFor(part, key) || key.Kind == state.KindVirtualServer && asksFor(part, key) {
				expected[key] = o
			}
		}
		got, err := m.ObservePart(context.Background(), part)
		m.must(err)
		if !maps.Equal(got, expected) {
			t.Fatalf("to make the one into the other:\n%s", text(state.Plan(expected, got)))
		}
	}
	if _, err := m.ObservePart(context.Background(), state.State{state.NetNS{}.Key(): state.NetNS{}}); err == nil {
		t.Error("a namespace is no part")
	}
}

// asksFor says whether something of the service is in the part.
func asksFor(part state.State, of state.Key) bool {
	for key := range part {
		if key.Kind != state.KindSetMember && key.Name == of.Name && key.A == of.A {
			return true
		}
	}
	return false
}

func TestAPartWithoutANamespaceIsNothing(t *testing.T) {
	m := newMachine(t, "a")
	got, err := m.ObservePart(context.Background(), state.State{
		state.VirtualServer{Proto: "tcp", Addr: netip.MustParseAddrPort("10.255.1.1:80")}.Key(): state.VirtualServer{Proto: "tcp", Addr: netip.MustParseAddrPort("10.255.1.1:80")},
		state.SetMember{Set: "routingmesh-tcp", Port: 80}.Key():                                 state.SetMember{Set: "routingmesh-tcp", Port: 80},
	})
	if err != nil || len(got) > 0 {
		t.Errorf("%v, %v", got, err)
	}
}

// Of many writes that go at once, each has its own answer.
func TestOfManyWritesThoseThatFailAreTold(t *testing.T) {
	m := newMachine(t, "a")
	want := desired(t, 1, 2)
	m.reach(want, 1)
	var ops []state.Op
	bad := map[state.Key]bool{}
	for port := uint16(10000); port < 10300; port++ {
		server := netip.AddrPortFrom(node(1).S(), port)
		if port%3 != 0 {
			ops = append(ops, state.Op{Action: state.Add, New: state.VirtualServer{Proto: "tcp", Addr: server, Scheduler: "rr"}})
		}
	}
	for port := uint16(10000); port < 10300; port++ {
		r := state.RealServer{Proto: "tcp", Server: netip.AddrPortFrom(node(1).S(), port), Addr: netip.AddrPortFrom(node(2).H(), port), Weight: 1}
		ops = append(ops, state.Op{Action: state.Add, New: r})
		bad[r.Key()] = port%3 == 0 // there is no such service
	}
	for range 2 { // what is there already is done
		failed := map[state.Key]bool{}
		for _, f := range m.Apply(context.Background(), ops) {
			failed[f.Op.Object().Key()] = true
		}
		for key, want := range bad {
			if failed[key] != want {
				t.Errorf("%v failed: %t, want %t", key, failed[key], want)
			}
		}
	}
	for i := range ops {
		ops[i] = state.Op{Action: state.Remove, Old: ops[i].New}
	}
	for range 2 { // destinations without their service are gone as well
		for _, f := range m.Apply(context.Background(), ops) {
			t.Error(f)
		}
	}
	m.reach(want, 0)
}

// The watch knows what was written by us from what was written by others.
func TestOwnWritesAreToldFromOthers(t *testing.T) {
	m := newMachine(t, "a")
	want := full(t)
	m.reach(want, 1)
	w := m.watch(t)
	// the kernel tells of a new link's state up to a second after it was made
	until(t, patience, "nobody touches anything", func() bool {
		w.Cover(kernel.Full)
		m.observe()
		return w.Untouched()
	})
	next := maps.Clone(want)
	publish(next, 1, "tcp", 9000, 90, 1, 2)
	ops := state.Plan(next, want)
	m.apply(ops)
	if w.Untouched() {
		t.Error("our own writes, which the watch has not been told of, are not seen")
	}
	if !w.Own(ops) || !w.Untouched() {
		t.Error("our own writes count as another's")
	}
	for what, take := range map[string]func(){
		"a member":  func() { m.run("ipset del routingmesh-tcp 8080") },
		"a service": func() { m.mesh("ipvsadm -D -t 10.255.1.1:8081") },
	} {
		take()
		if w.Untouched() || w.Own(nil) {
			t.Errorf("%s that another program took away was not seen", what)
		}
		if !w.Pending() {
			t.Errorf("%s wakes nobody", what)
		}
		m.reach(next, 1)
		w.Cover(kernel.Full)
	}
	if !w.ChainsCertain() {
		t.Error("nobody has touched the chains")
	}
	m.mesh("iptables -t raw -A PREROUTING -j ACCEPT; iptables -t raw -D PREROUTING -j ACCEPT")
	if w.ChainsCertain() {
		t.Error("a rule that came and went was not seen")
	}
	w.Cover(kernel.Full)
	m.mesh("ip route del 10.255.2.0/24")
	if w.Untouched() || w.Own(nil) {
		t.Error("a route that another program took away was not seen")
	}
}
