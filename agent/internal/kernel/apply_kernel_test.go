//go:build kernel

package kernel_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// somebodyElse puts things of others on a host, of every kind that we have too.
const somebodyElse = `
ip link add dummy0 type dummy
ip addr add 192.168.77.1/24 dev dummy0
ip link set dummy0 up
ip route add 172.31.0.0/16 via 192.168.77.254
ip route add 172.30.0.0/16 via 192.168.77.254 table 99
ip rule add from 172.29.0.1 lookup 99 priority 99
ip neigh add 192.168.77.9 lladdr 02:00:00:00:00:09 dev dummy0 nud permanent
ipset create other hash:ip
ipset add other 192.0.2.1
ipset create routing bitmap:port range 0-100
iptables -t nat -N OTHER
iptables -t nat -A OTHER -p tcp -m set --match-set other src -j RETURN
iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j OTHER
iptables -t nat -N ROUTINGMESHED
iptables -t nat -A OUTPUT -m addrtype --dst-type LOCAL -j ROUTINGMESHED
iptables -t nat -A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE
iptables -A FORWARD -m comment --comment "it says -j ROUTINGMESH-FWD" -j ACCEPT
iptables -A INPUT -p tcp --dport 22 -j ACCEPT
iptables -t mangle -A PREROUTING -p tcp -j MARK --set-mark 7
iptables -t raw -A PREROUTING -p udp --dport 4789 -j ACCEPT
`

func TestApplyReachesTheDesiredStateAndTheNextPlanIsEmpty(t *testing.T) {
	m := newMachine(t, "a")
	m.run(somebodyElse)
	want := full(t)
	ops := m.plan(want)
	timed(t, "apply a whole node", func() { m.apply(ops) })
	timed(t, "observe it", func() { m.observe() })
	timed(t, "observe it without chains", func() { m.traffic() })
	if ops := m.plan(want); len(ops) > 0 {
		t.Fatalf("planned right after applying:\n%s", text(ops))
	}
}

func TestRemovingEverythingLeavesTheHostAsItWas(t *testing.T) {
	m := newMachine(t, "a")
	m.run(somebodyElse)
	m.run("sysctl -qw net.ipv4.ip_forward=0")
	before := m.snapshot()
	want := full(t)
	m.reach(want, 1)
	if m.run("cat /proc/sys/net/ipv4/ip_forward") != "1\n" {
		t.Error("ip_forward was not set")
	}
	m.reach(state.State{}, 1)
	if diff := cmp.Diff(before, m.snapshot()); diff != "" {
		t.Errorf("not as before:\n%s", diff)
	}
	if _, claimed := m.originals.Get("net.ipv4.ip_forward"); claimed {
		t.Error("ip_forward is still claimed")
	}
}

// iptables-nft leaves empty tables behind, iproute2 the folder of namespaces.
func TestWhatCameWithUsGoesWithUs(t *testing.T) {
	m := newMachine(t, "a")
	m.reach(full(t), 1)
	m.reach(state.State{}, 1)
	if out := m.run("iptables-save"); out != "" {
		t.Errorf("left behind:\n%s", out)
	}
	if _, err := os.Stat(filepath.Dir(m.namespaceFile())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder of namespaces is still there: %v", err)
	}
	if left := len(m.originals.values); left > 0 {
		t.Errorf("still kept from before: %v", m.originals.values)
	}
}

func TestATableThatOthersUseByNowStays(t *testing.T) {
	m := newMachine(t, "a")
	m.reach(full(t), 1)
	m.run("iptables -A INPUT -s 203.0.113.9 -j DROP; iptables -t nat -N THEIRS; mkdir -p " + filepath.Dir(m.namespaceFile()) + "/theirs")
	m.reach(state.State{}, 1)
	out := m.run("iptables-save")
	if !strings.Contains(out, "-A INPUT -s 203.0.113.9/32 -j DROP") || !strings.Contains(out, ":THEIRS") {
		t.Errorf("others' rules are gone:\n%s", out)
	}
	if _, err := os.Stat(filepath.Dir(m.namespaceFile()) + "/theirs"); err != nil {
		t.Error(err)
	}
}

func TestRemoveLeavesASettingThatSomebodyHasChangedSince(t *testing.T) {
	m := newMachine(t, "a")
	m.run("sysctl -qw net.ipv4.ip_forward=1") // Docker was here first
	want := full(t)
	m.reach(want, 1)
	m.reach(state.State{}, 1)
	if m.run("cat /proc/sys/net/ipv4/ip_forward") != "1\n" {
		t.Error("ip_forward was 1 before us and must stay so")
	}
	m.run("sysctl -qw net.ipv4.ip_forward=0")
	m.reach(want, 1)
	m.run("sysctl -qw net.ipv4.ip_forward=1; echo 0 > /proc/sys/net/ipv4/ip_forward")
	m.reach(state.State{}, 1)
	if m.run("cat /proc/sys/net/ipv4/ip_forward") != "0\n" {
		t.Error("what somebody has set since must stay so")
	}
}

// ip_forward takes other settings with it, on and off.
func TestWhatIPForwardOverwritesIsPutBack(t *testing.T) {
	settings := func(m *machine) string {
		return m.run("cd /proc/sys/net/ipv4; head -n1 ip_forward conf/all/accept_redirects conf/default/forwarding conf/dummy*/forwarding conf/eth*/forwarding")
	}
	before := []string{
		"net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.dummy0.forwarding=1",
		"net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.default.forwarding=1 net/ipv4/conf/eth1.5/forwarding=1",
		"net.ipv4.conf.all.accept_redirects=1",
	}
	for _, set := range before {
		t.Run(set, func(t *testing.T) {
			m := newMachine(t, "a")
			m.run("ip link add dummy0 type dummy; ip link add dummy1 type dummy; ip link add eth1.5 type dummy; sysctl -qw net.ipv4.ip_forward=0 " + set)
			want := settings(m)
			m.reach(full(t), 1)
			m.reach(state.State{}, 1)
			if got := settings(m); got != want {
				t.Errorf("was\n%s\nand is\n%s", want, got)
			}
			if left := len(m.originals.values); left > 0 {
				t.Errorf("still kept from before: %v", m.originals.values)
			}
		})
	}
	t.Run("set since", func(t *testing.T) {
		m := newMachine(t, "a")
		m.run("sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.all.accept_redirects=0")
		m.reach(full(t), 1)
		m.run("sysctl -qw net.ipv4.conf.all.accept_redirects=1")
		m.reach(state.State{}, 1)
		if got := m.run("cat /proc/sys/net/ipv4/conf/all/accept_redirects"); got != "1\n" {
			t.Errorf("accept_redirects is %s, somebody has set it to 1 since", got)
		}
	})
}

// Docker or libvirt has found ip_forward on, and has its bridge by now: it stays on. A
// bridge that was there before did without.
func TestIPForwardStaysForOthers(t *testing.T) {
	m := newMachine(t, "a")
	m.run("ip link add br0 type bridge; sysctl -qw net.ipv4.ip_forward=0")
	for came, want := range map[string]string{"": "0\n", "ip link add docker0 type bridge": "1\n"} {
		m.reach(full(t), 1)
		m.run(came)
		m.reach(state.State{}, 1)
		if got := m.run("cat /proc/sys/net/ipv4/ip_forward; ip link del docker0 2>/dev/null || true; sysctl -qw net.ipv4.ip_forward=0"); got != want {
			t.Errorf("%q: ip_forward is %s", came, got)
		}
		if left := len(m.originals.values); left > 0 {
			t.Errorf("%q: still kept from before: %v", came, m.originals.values)
		}
	}
}

func TestObserveSeesNothingOfOthers(t *testing.T) {
	m := newMachine(t, "a")
	m.run(somebodyElse)
	if ours := m.plan(state.State{}); len(ours) > 0 {
		t.Errorf("taken for ours:\n%s", text(ours))
	}
}

// A port is one set member, one IPVS service and its destinations; no program.
func TestPublishingAPortRunsNoProgram(t *testing.T) {
	m := newMachine(t, "a")
	want := full(t)
	m.reach(want, 1)
	before := m.Execs()
	publish(want, 1, "tcp", 8443, 443, 2, 3)

	have, err := m.Observe(context.Background(), kernel.Traffic)
	if err != nil {
		t.Fatal(err)
	}
	ops := state.Plan(withoutChains(want), have)
	if diff := cmp.Diff([]string{
		"add IPVS 10.255.1.1:8443/tcp rr",
		"add IPVS 10.255.1.1:8443/tcp destination 10.255.2.2:443 weight 1",
		"add IPVS 10.255.1.1:8443/tcp destination 10.255.3.2:443 weight 1",
		"add port 8443 in ipset routingmesh-tcp",
	}, names(ops)); diff != "" {
		t.Error(diff)
	}
	m.apply(ops)
	if n := m.Execs() - before; n != 0 {
		t.Errorf("%d programs ran", n)
	}
	if ops := m.plan(want); len(ops) > 0 {
		t.Errorf("left to do:\n%s", text(ops))
	}
}

// One iptables-restore in each namespace, each after one iptables-save.
func TestAllChainsTakeOneRunPerNamespace(t *testing.T) {
	m := newMachine(t, "a")
	ops := m.plan(full(t))
	before := m.Execs()
	m.apply(ops)
	if n := m.Execs() - before; n > 4 {
		t.Errorf("%d programs ran", n)
	}
}

func withoutChains(s state.State) state.State {
	c := state.State{}
	for _, o := range s {
		if o.Key().Kind != state.KindChain {
			c.Put(o)
		}
	}
	return c
}

func names(ops []state.Op) []string {
	var lines []string
	for _, op := range ops {
		lines = append(lines, op.String())
	}
	return lines
}
