//go:build kernel

package kernel_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// setting is one of a host's, turned the other way: net/ipv4/conf/all/arp_ignore.
type setting struct{ file, value string }

// sysctlSpace is where the settings of a network namespace are turned.
type sysctlSpace struct {
	m  *machine
	in func(commands string) string
}

// turned lists the settings below the folders whose value is a small number, each
// the other way: off where it is on, on where it is off. What a kernel has that we
// have never heard of is among them.
func (s sysctlSpace) turned(folders ...string) (turned []setting) {
	s.m.t.Helper()
	for line := range strings.Lines(s.in("cd /proc/sys/net; grep -sH '^[0-9]$' " + strings.Join(folders, "/* ") + "/* || true")) {
		switch file, value, _ := strings.Cut(strings.TrimSpace(line), ":"); {
		case slices.Contains(necessary, filepath.Base(file)):
		case value == "0":
			turned = append(turned, setting{file, "1"})
		default:
			turned = append(turned, setting{file, "0"})
		}
	}
	if len(turned) < 10 {
		s.m.t.Fatalf("only %d settings below %s", len(turned), folders)
	}
	return turned
}

// necessary are settings that stop a host without a mesh as well, or that only name
// something: a host's own forwarding is another case of the test.
var necessary = []string{"forwarding", "mc_forwarding", "ip_forward", "medium_id", "tag", "ip_default_ttl", "tcp_mem", "igmp_max_memberships", "igmp_max_msf", "tcp_allowed_congestion_control"}

// set turns settings. One that the kernel refuses stays.
func (s sysctlSpace) set(settings []setting) {
	s.m.t.Helper()
	var b strings.Builder
	for _, one := range settings {
		fmt.Fprintf(&b, "echo %s > /proc/sys/net/%s 2>/dev/null || true\n", one.value, one.file)
	}
	s.in(b.String())
}

func (m *machine) host() sysctlSpace { return sysctlSpace{m, m.run} }
func (m *machine) ours() sysctlSpace { return sysctlSpace{m, m.mesh} }

// tuned are hosts that are set up as guides of others advise, and against all of
// what a namespace inherits: of conf.all and conf.default the other values as well.
var tuned = map[string][]setting{
	"each setting the other way": nil,
	"LVS and MetalLB, hardened": {
		{"ipv4/conf/all/arp_ignore", "1"}, {"ipv4/conf/all/arp_announce", "2"}, {"ipv4/conf/default/arp_ignore", "8"}, {"ipv4/conf/default/arp_announce", "2"},
		{"ipv4/conf/all/arp_filter", "1"}, {"ipv4/conf/all/rp_filter", "1"}, {"ipv4/conf/default/rp_filter", "1"},
		{"ipv4/conf/all/send_redirects", "0"}, {"ipv4/conf/all/accept_redirects", "0"}, {"ipv4/conf/all/log_martians", "1"},
		{"ipv4/ip_forward", "1"}, {"ipv4/conf/default/forwarding", "0"}, {"ipv4/icmp_echo_ignore_all", "1"}, {"ipv4/tcp_timestamps", "0"},
		{"netfilter/nf_conntrack_tcp_loose", "0"}, {"netfilter/nf_conntrack_tcp_be_liberal", "0"},
	},
}

// A new network namespace has the settings of the host, and links of ours have
// conf.default's. Whatever they are, before the mesh is made and after it: clients
// are served. The namespace is made first, and its settings turned in it, for the
// test's own namespaces are not the first one, from which the kernel takes them.
func TestInheritedSettings(t *testing.T) {
	for name, settings := range tuned {
		t.Run(name, func(t *testing.T) {
			if failed := serveTuned(t, settings); len(failed) > 0 {
				t.Errorf("with %v:\n%s", settings, strings.Join(failed, "\n"))
			}
		})
	}
}

func serveTuned(t *testing.T, settings []setting) []string {
	t.Helper()
	w := newWire(t)
	a, b, c := newMachine(t, "a"), newMachine(t, "b"), newMachine(t, "c")
	w.plug(a, node(1).underlay())
	w.plug(b, node(2).underlay())
	w.plug(c, netip.MustParseAddr("192.168.77.100"))
	for n, m := range map[node]*machine{1: a, 2: b} {
		m.apply([]state.Op{{Action: state.Add, New: state.NetNS{}}})
		for _, space := range []sysctlSpace{m.host(), m.ours()} {
			turn := settings
			if turn == nil {
				turn = space.turned("ipv4", "ipv4/conf/all", "ipv4/conf/default", "netfilter")
			}
			space.set(turn)
		}
		m.reach(published(t, n), 1)
	}
	b.answers("tcp", ":80")
	b.answers("udp", ":80")
	b.answers("tcp", ":90")
	failed := served(a, b, c, "made with them")
	for n, m := range map[node]*machine{1: a, 2: b} {
		m.host().set(m.host().turned("ipv4/conf/all", "ipv4/conf/rmesh0", "ipv4/neigh/rmesh0"))
		m.ours().set(m.ours().turned("ipv4/neigh/host0", "ipv4/neigh/vx0", "ipv4/conf/host0", "ipv4/conf/vx0"))
		m.settle(published(t, n)) // what is ours is repaired
		m.host().set([]setting{{"ipv4/conf/all/arp_ignore", "1"}})
	}
	return append(failed, served(a, b, c, "turned afterwards")...)
}

// served says which ways are broken, of the kinds that there are.
func served(a, b, c *machine, when string) (failed []string) {
	for _, test := range []struct {
		from           *machine
		proto, to, see string
	}{
		{c, "tcp", "192.168.77.1:8080", "b sees 10.255.1.1"},
		{c, "udp", "192.168.77.1:8080", "b sees 10.255.1.1"},
		{a, "tcp", "127.0.0.1:8080", "b sees 10.255.1.1"},
		{a, "udp", "127.0.0.1:8080", "b sees 10.255.1.1"},
		{b, "tcp", "127.0.0.1:8080", "b sees 10.255.2.1"},
		{b, "udp", "192.168.77.2:8080", "b sees 10.255.2.1"},
		{c, "tcp", "192.168.77.2:9090", "b sees 192.168.77.100"},
		{b, "tcp", "127.0.0.1:9090", "b sees 10.255.2.1"},
	} {
		if got := test.from.greeting(test.proto, test.to); got != test.see {
			failed = append(failed, fmt.Sprintf("%s: %s to %s/%s: %q, want %q", when, test.from.name, test.to, test.proto, got, test.see))
		}
	}
	return failed
}

// An agent from before gave the veth random addresses; a restart of the new one
// gives it the fixed ones without making it again, which would end connections.
func TestVeth_OtherMACs_ChangedInPlace(t *testing.T) {
	m := newMachine(t, "a")
	want := desired(t, 1, 2)
	m.run("ip link add eth0 type dummy; ip addr add 192.168.77.1/24 dev eth0; ip link set eth0 up")
	m.reach(want, 1)
	index := m.run("ip -o link show rmesh0 | cut -d: -f1")
	m.run("ip link set rmesh0 address 02:11:22:33:44:55; ip neigh del 10.255.1.1 dev rmesh0 || true")
	m.mesh("ip link set host0 address 02:11:22:33:44:56")
	m.settle(want)
	if now := m.run("ip -o link show rmesh0 | cut -d: -f1"); now != index {
		t.Errorf("rmesh0 had index %s and has %s", index, now)
	}
	for _, neigh := range []string{m.run("ip neigh show dev rmesh0"), m.mesh("ip neigh show dev host0")} {
		if !strings.Contains(neigh, "PERMANENT") {
			t.Errorf("neighbours: %s", neigh)
		}
	}
}
