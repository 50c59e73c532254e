//go:build kernel

package kernel_test

import (
	"context"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
)

// A host that forwarded nothing before the mesh came passes no packet between its other
// links, but over a bridge, until somebody needs it to.
func TestTheMeshMakesNoRouter(t *testing.T) {
	m, left, right := newMachineAt(t, "a", "/"), newMachine(t, "left"), newMachine(t, "right")
	m.link("veth-l", left)
	m.link("veth-r", right)
	m.run(`sysctl -qw net.ipv4.ip_forward=0
ip link add br0 type bridge; ip link set br0 up
ip addr add 172.31.1.1/24 dev veth-l; ip link set veth-l up
ip addr add 172.31.2.1/24 dev veth-r; ip link set veth-r up`)
	left.run("ip addr add 172.31.1.2/24 dev eth0; ip link set eth0 up; ip route add default via 172.31.1.1")
	right.run("ip addr add 172.31.2.2/24 dev eth0; ip link set eth0 up; ip route add default via 172.31.2.1")
	passes := func() bool { return pings(left, "172.31.2.2") }

	w := m.watch(t)
	r := m.reconciler(w)
	if problems := r.Resume(context.Background(), record(t), "n1"); len(problems) > 0 {
		t.Fatal(problems)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	if got := m.run("cat /proc/sys/net/ipv4/ip_forward"); got != "1\n" {
		t.Fatalf("ip_forward is %q", got)
	}
	if passes() {
		t.Error("the host has become a router")
	}
	if chain := m.run("iptables -S ROUTINGMESH-FWD"); !strings.Contains(chain, "-i br0 -o br0 -j RETURN") {
		t.Errorf("what br0 bridges meets the rule, where br_netfilter is loaded:\n%s", chain)
	}

	m.run("ip link add docker0 type bridge")
	until(t, repairedWithin, "the host forwards for another program that has come", passes)
	if n := r.Repairs(); n != 0 {
		t.Errorf("%d repairs of what nobody has broken", n)
	}
	m.run("ip link del docker0")
	r.Repair(context.Background())
	if passes() {
		t.Error("the host forwards, and nobody needs it any more")
	}
	before, _ := m.originals.Get("net.ipv4.conf.*")
	m.must(m.originals.Delete("net.ipv4.conf.*")) // an agent of before did not keep which links there were
	if now, err := m.Forwarding(); err != nil || now.OnlyMesh {
		t.Errorf("what came before the agent knew of it is cut off: %+v, %v", now, err)
	}
	m.must(m.originals.Set("net.ipv4.conf.*", before))
	if _, problems := r.Status(context.Background()); len(problems) > 0 {
		t.Error(problems)
	}
}

// Where somebody has switched forwarding on before, for all links or for one, it is theirs.
func TestARouterStaysOne(t *testing.T) {
	for _, before := range []string{"net.ipv4.ip_forward=1", "net.ipv4.conf.lo.forwarding=1"} {
		m := newMachine(t, "a")
		m.run("sysctl -qw net.ipv4.ip_forward=0; sysctl -qw " + before)
		if problems := m.reconciler(nil).Resume(context.Background(), record(t), "n1"); len(problems) > 0 {
			t.Fatal(problems)
		}
		if now, err := m.Forwarding(); err != nil || now.OnlyMesh {
			t.Errorf("%s: %+v, %v", before, now, err)
		}
		if chain := m.run("iptables -S ROUTINGMESH-FWD"); strings.Contains(chain, "! -i rmesh0 ! -o rmesh0 -j DROP") {
			t.Errorf("%s:\n%s", before, chain)
		}
	}
}

// conditions are those that a reconciler finds on the machine, where nothing fails and nothing drains.
func (m *machine) conditions() compile.Conditions {
	m.t.Helper()
	now, err := m.Forwarding()
	m.must(err)
	return compile.Conditions{Forwarding: now}
}

// pings says whether an address answers a machine.
func pings(m *machine, to string) bool {
	m.t.Helper()
	return m.run("ping -c1 -W1 "+to+" >/dev/null && echo yes || echo no") == "yes\n"
}
