//go:build kernel

package kernel_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Something is deleted or changed behind our back; the plan says exactly that,
// in words, and applying it repairs it.
func TestWhatSomebodyBreaksIsSeenAndRepaired(t *testing.T) {
	tests := []struct {
		name  string
		host  string // commands
		mesh  string
		plan  []string
		again int // rounds after the first, where a repair uncovers the next
	}{
		{name: "loopback link of the mesh down", mesh: "ip link set lo down",
			plan: []string{"change network namespace routingmesh"}},
		{name: "veth down", host: "ip link set rmesh0 down", again: 1,
			plan: []string{
				"change link rmesh0 (veth, mtu 1450)",
				"add neighbour 10.255.1.1 lladdr 02:52:00:00:00:01 on rmesh0",
				"add route 10.255.1.1/32 dev rmesh0 src 10.255.1.2 (host)",
				"add route 10.255.0.0/16 via 10.255.1.1 dev rmesh0 src 10.255.1.2 (host)",
				"add route 0.0.0.0/0 via 10.255.1.1 dev rmesh0 table 10255 (host)",
			}},
		{name: "veth's MTU", host: "ip link set rmesh0 mtu 1400", plan: []string{"change link rmesh0 (veth, mtu 1450)"}},
		{name: "MTU of the veth's far end", mesh: "ip link set host0 mtu 1400", plan: []string{"change link rmesh0 (veth, mtu 1450)"}},
		{name: "veth's far end renamed", mesh: "ip link set host0 down; ip link set host0 name wrong; ip link set wrong up", again: 1,
			plan: []string{
				"change link rmesh0 (veth, mtu 1450)",
				"add sysctl net.ipv4.conf.host0.forwarding=1 (mesh)",
				"add sysctl net.ipv4.conf.host0.rp_filter=1 (mesh)",
				"add sysctl net.ipv4.conf.host0.send_redirects=0 (mesh)",
				"add neighbour 10.255.1.2 lladdr 02:52:00:00:00:02 on host0",
				"add route 10.255.1.2/32 dev host0 src 10.255.1.1 (mesh)",
				"add route 10.255.1.4/32 via 10.255.1.2 dev host0 (mesh)",
				"add route 0.0.0.0/0 via 10.255.1.2 dev host0 (mesh)",
			}},
		{name: "veth deleted", host: "ip link del rmesh0",
			plan: []string{
				"add link rmesh0 (veth, mtu 1450)",
				"add address 10.255.1.2/32 on rmesh0 (host)",
				"add sysctl net.ipv4.conf.rmesh0.forwarding=1 (host)",
				"add sysctl net.ipv4.conf.rmesh0.route_localnet=1 (host)",
				"add sysctl net.ipv4.conf.rmesh0.rp_filter=2 (host)",
				"add sysctl net.ipv4.conf.host0.forwarding=1 (mesh)",
				"add sysctl net.ipv4.conf.host0.rp_filter=1 (mesh)",
				"add sysctl net.ipv4.conf.host0.send_redirects=0 (mesh)",
				"add neighbour 10.255.1.1 lladdr 02:52:00:00:00:01 on rmesh0",
				"add neighbour 10.255.1.2 lladdr 02:52:00:00:00:02 on host0",
				"add route 10.255.1.1/32 dev rmesh0 src 10.255.1.2 (host)",
				"add route 10.255.0.0/16 via 10.255.1.1 dev rmesh0 src 10.255.1.2 (host)",
				"add route 0.0.0.0/0 via 10.255.1.1 dev rmesh0 table 10255 (host)",
				"add route 10.255.1.2/32 dev host0 src 10.255.1.1 (mesh)",
				"add route 10.255.1.4/32 via 10.255.1.2 dev host0 (mesh)",
				"add route 0.0.0.0/0 via 10.255.1.2 dev host0 (mesh)",
			}},
		{name: "overlay's MTU", mesh: "ip link set vx0 mtu 1400", plan: []string{overlayChange}},
		{name: "overlay down", mesh: "ip link set vx0 down",
			plan: []string{
				overlayChange,
				"add neighbour 10.255.2.1 lladdr 02:52:0a:ff:02:01 on vx0",
				"add neighbour 10.255.3.1 lladdr 02:52:0a:ff:03:01 on vx0",
				"add route 10.255.2.0/24 via 10.255.2.1 dev vx0 src 10.255.1.1 (mesh)",
				"add route 10.255.3.0/24 via 10.255.3.1 dev vx0 src 10.255.1.1 (mesh)",
			}},
		{name: "overlay's MAC", mesh: "ip link set vx0 address 02:00:00:00:00:01", again: 1, // the kernel forgets neighbours with it
			plan: []string{
				overlayChange,
				"add neighbour 10.255.2.1 lladdr 02:52:0a:ff:02:01 on vx0",
				"add neighbour 10.255.3.1 lladdr 02:52:0a:ff:03:01 on vx0",
			}},
		{name: "overlay made by hand with other values", again: 1,
			mesh: "ip link del vx0; ip link add vx0 type vxlan id 2100 dstport 4789 local 192.168.77.1; ip link set vx0 up",
			plan: append([]string{overlayChange}, onOverlay...)},
		{name: "overlay replaced by a link of another type", mesh: "ip link del vx0; ip link add vx0 type dummy",
			plan: append([]string{"add" + strings.TrimPrefix(overlayChange, "change")}, onOverlay...)},
		{name: "host's address", host: "ip addr del 10.255.1.2/32 dev rmesh0",
			plan: []string{
				"add address 10.255.1.2/32 on rmesh0 (host)",
				"add neighbour 10.255.1.1 lladdr 02:52:00:00:00:01 on rmesh0",
				"add route 10.255.1.1/32 dev rmesh0 src 10.255.1.2 (host)",
				"add route 10.255.0.0/16 via 10.255.1.1 dev rmesh0 src 10.255.1.2 (host)",
				"add route 0.0.0.0/0 via 10.255.1.1 dev rmesh0 table 10255 (host)",
			}},
		{name: "virtual address", mesh: "ip addr del 10.255.1.3/32 dev lo", plan: []string{"add address 10.255.1.3/32 on lo (mesh)"}},
		{name: "an address too many", mesh: "ip addr add 10.255.1.9/32 dev lo", plan: []string{"remove address 10.255.1.9/32 on lo (mesh)"}},
		{name: "host's setting", host: "sysctl -qw net.ipv4.ip_forward=0", plan: []string{
			"change sysctl net.ipv4.conf.rmesh0.forwarding=1 (host)", "change sysctl net.ipv4.ip_forward=1 (host)"}},
		{name: "link's setting", host: "sysctl -qw net.ipv4.conf.rmesh0.route_localnet=0", plan: []string{"change sysctl net.ipv4.conf.rmesh0.route_localnet=1 (host)"}},
		{name: "mesh's setting", mesh: "sysctl -qw net.ipv4.vs.conntrack=0", plan: []string{"change sysctl net.ipv4.vs.conntrack=1 (mesh)"}},
		{name: "neighbour deleted", mesh: "ip neigh del 10.255.2.1 dev vx0", plan: []string{"add neighbour 10.255.2.1 lladdr 02:52:0a:ff:02:01 on vx0"}},
		{name: "neighbour no longer permanent", mesh: "ip neigh replace 10.255.2.1 lladdr 02:00:00:00:00:01 dev vx0 nud reachable",
			plan: []string{"add neighbour 10.255.2.1 lladdr 02:52:0a:ff:02:01 on vx0"}},
		{name: "neighbour changed", mesh: "ip neigh replace 10.255.2.1 lladdr 02:00:00:00:00:01 dev vx0 nud permanent",
			plan: []string{"change neighbour 10.255.2.1 lladdr 02:52:0a:ff:02:01 on vx0"}},
		{name: "FDB entry deleted", mesh: "bridge fdb del 02:52:0a:ff:02:01 dev vx0 dst 192.168.77.2", plan: []string{"add fdb entry 02:52:0a:ff:02:01 dst 192.168.77.2 on vx0"}},
		{name: "FDB entry changed", mesh: "bridge fdb replace 02:52:0a:ff:02:01 dev vx0 dst 192.168.77.8", plan: []string{"change fdb entry 02:52:0a:ff:02:01 dst 192.168.77.2 on vx0"}},
		{name: "FDB entry too many", mesh: "bridge fdb append 00:00:00:00:00:00 dev vx0 dst 192.168.77.8", plan: []string{"remove fdb entry 00:00:00:00:00:00 dst 192.168.77.8 on vx0"}},
		{name: "route to a node", mesh: "ip route del 10.255.2.0/24", plan: []string{"add route 10.255.2.0/24 via 10.255.2.1 dev vx0 src 10.255.1.1 (mesh)"}},
		{name: "route to a node swallowed", mesh: "ip route replace blackhole 10.255.2.0/24", plan: []string{"change route 10.255.2.0/24 via 10.255.2.1 dev vx0 src 10.255.1.1 (mesh)"}},
		{name: "route to the pool", host: "ip route del 10.255.0.0/16", plan: []string{"add route 10.255.0.0/16 via 10.255.1.1 dev rmesh0 src 10.255.1.2 (host)"}},
		{name: "route to S", host: "ip route del 10.255.1.1/32", plan: []string{"add route 10.255.1.1/32 dev rmesh0 src 10.255.1.2 (host)"}},
		{name: "route of our table", host: "ip route flush table 10255", plan: []string{"add route 0.0.0.0/0 via 10.255.1.1 dev rmesh0 table 10255 (host)"}},
		{name: "a route too many", host: "ip route add 203.0.113.0/24 dev rmesh0", plan: []string{"remove route 203.0.113.0/24 dev rmesh0 (host)"}},
		{name: "policy rule", host: "ip rule del priority 10255", plan: []string{"add rule from 10.255.1.2 lookup 10255"}},
		{name: "policy rule for another table", host: "ip rule del priority 10255; ip rule add from 10.255.1.2 lookup 7 priority 10255", plan: []string{"change rule from 10.255.1.2 lookup 10255"}},
		{name: "a policy rule too many", host: "ip rule add from 10.255.1.9 lookup 10255 priority 10255", plan: []string{"remove rule from 10.255.1.9 lookup 10255"}},
		{name: "member of a set", host: "ipset del routingmesh-tcp 8080", plan: []string{"add port 8080 in ipset routingmesh-tcp"}},
		{name: "members of a set", host: "ipset flush routingmesh-peers", plan: []string{
			"add address 192.168.77.2 in ipset routingmesh-peers", "add address 192.168.77.3 in ipset routingmesh-peers"}},
		{name: "members too many", host: "ipset add routingmesh-udp 1000-1002", plan: []string{
			"remove port 1000 in ipset routingmesh-udp", "remove port 1001 in ipset routingmesh-udp", "remove port 1002 in ipset routingmesh-udp"}},
		{name: "set too small", again: 1,
			host: "ipset create small bitmap:port range 8000-9000; ipset add small 8080; ipset add small 8081; ipset swap small routingmesh-tcp; ipset destroy small",
			plan: []string{"change ipset routingmesh-tcp (bitmap:port)"}},
		{name: "a set too many", host: "ipset create routingmesh-old hash:ip; ipset add routingmesh-old 192.0.2.1", plan: []string{
			"remove address 192.0.2.1 in ipset routingmesh-old", "remove ipset routingmesh-old (hash:ip)"}},
		{name: "iptables of the host flushed", host: "iptables -t nat -F; iptables -t nat -X; iptables -F; iptables -X", plan: []string{
			"add chain filter ROUTINGMESH-FWD (host)", "add chain filter ROUTINGMESH-IN (host)", "add chain nat ROUTINGMESH (host)", "add chain nat ROUTINGMESH-POST (host)"}},
		{name: "jump", host: "iptables -t nat -D PREROUTING -m addrtype --dst-type LOCAL -j ROUTINGMESH", plan: []string{"change chain nat ROUTINGMESH (host)"}},
		{name: "jump twice", host: "iptables -A INPUT -j ROUTINGMESH-IN", plan: []string{"change chain filter ROUTINGMESH-IN (host)"}},
		{name: "jump too narrow", host: "iptables -D INPUT -j ROUTINGMESH-IN; iptables -A INPUT -p tcp -j ROUTINGMESH-IN", plan: []string{"change chain filter ROUTINGMESH-IN (host)"}},
		{name: "rule", host: "iptables -D ROUTINGMESH-IN 1", plan: []string{"change chain filter ROUTINGMESH-IN (host)"}},
		{name: "a rule too many", host: "iptables -I ROUTINGMESH-FWD 1 -j DROP", plan: []string{"change chain filter ROUTINGMESH-FWD (host)"}},
		{name: "a chain too many", host: "iptables -t mangle -N ROUTINGMESH-OLD; iptables -t mangle -A ROUTINGMESH-OLD -j RETURN; iptables -t mangle -A PREROUTING -j ROUTINGMESH-OLD",
			plan: []string{"remove chain mangle ROUTINGMESH-OLD (host)"}},
		{name: "iptables of the mesh flushed", mesh: "iptables -t nat -F; iptables -t raw -F", plan: []string{
			"add chain nat POSTROUTING (mesh)", "add chain raw PREROUTING (mesh)"}},
		{name: "a rule too many in the mesh", mesh: "iptables -A FORWARD -j DROP", plan: []string{"remove chain filter FORWARD (mesh)"}},
		{name: "a chain too many in the mesh", mesh: "iptables -N X; iptables -A X -j DROP; iptables -A FORWARD -j X", plan: []string{
			"remove chain filter X (mesh)", "remove chain filter FORWARD (mesh)"}},
		{name: "a policy in the mesh", mesh: "iptables -P FORWARD DROP", plan: []string{"remove chain filter FORWARD (mesh)"}},
		{name: "IPVS service", mesh: "ipvsadm -D -t 10.255.1.1:8080", plan: []string{
			"add IPVS 10.255.1.1:8080/tcp rr",
			"add IPVS 10.255.1.1:8080/tcp destination 10.255.1.2:80 weight 1",
			"add IPVS 10.255.1.1:8080/tcp destination 10.255.2.2:80 weight 1",
			"add IPVS 10.255.1.1:8080/tcp destination 10.255.3.2:80 weight 1"}},
		{name: "IPVS scheduler", mesh: "ipvsadm -E -t 10.255.1.1:8080 -s wlc", plan: []string{"change IPVS 10.255.1.1:8080/tcp rr"}},
		{name: "IPVS affinity", mesh: "ipvsadm -E -t 10.255.1.1:8080 -s rr -p 300", plan: []string{"change IPVS 10.255.1.1:8080/tcp rr"}},
		{name: "an IPVS service too many", mesh: "ipvsadm -A -u 10.255.1.1:9999 -s rr", plan: []string{"remove IPVS 10.255.1.1:9999/udp rr"}},
		{name: "IPVS destination", mesh: "ipvsadm -d -u 10.255.1.1:5353 -r 10.255.2.2:53", plan: []string{"add IPVS 10.255.1.1:5353/udp destination 10.255.2.2:53 weight 1"}},
		{name: "IPVS weight", mesh: "ipvsadm -e -u 10.255.1.1:5353 -r 10.255.2.2:53 -m -w 70000", plan: []string{"change IPVS 10.255.1.1:5353/udp destination 10.255.2.2:53 weight 1"}},
		{name: "IPVS forwarding", mesh: "ipvsadm -a -u 10.255.1.1:5353 -r 10.255.3.2:5353 -g", plan: []string{"remove IPVS 10.255.1.1:5353/udp destination 10.255.3.2:5353 weight 1, not masquerading"}},
		{name: "an IPVS destination too many", mesh: "ipvsadm -a -u 10.255.1.1:5353 -r 10.255.3.2:53 -m", plan: []string{"remove IPVS 10.255.1.1:5353/udp destination 10.255.3.2:53 weight 1"}},
	}
	m := newMachine(t, "a")
	m.run(somebodyElse)
	want := full(t)
	m.reach(want, 1)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m.t = t
			if test.host != "" {
				m.run(test.host)
			}
			if test.mesh != "" {
				m.mesh(test.mesh)
			}
			ops := m.plan(want)
			if diff := cmp.Diff(test.plan, names(ops)); diff != "" {
				t.Errorf("plan:\n%s", diff)
			}
			for range test.again {
				m.apply(ops)
				ops = m.plan(want)
			}
			m.apply(ops)
			if ops := m.plan(want); len(ops) > 0 {
				t.Fatalf("still to do:\n%s", text(ops))
			}
		})
	}
}

const overlayChange = "change link vx0 (vxlan id 2100 local 192.168.77.1 port 4789 mac 02:52:0a:ff:01:01 mtu 1450)"

// onOverlay is what goes with vx0.
var onOverlay = []string{
	"add neighbour 10.255.2.1 lladdr 02:52:0a:ff:02:01 on vx0",
	"add neighbour 10.255.3.1 lladdr 02:52:0a:ff:03:01 on vx0",
	"add fdb entry 02:52:0a:ff:02:01 dst 192.168.77.2 on vx0",
	"add fdb entry 02:52:0a:ff:03:01 dst 192.168.77.3 on vx0",
	"add route 10.255.2.0/24 via 10.255.2.1 dev vx0 src 10.255.1.1 (mesh)",
	"add route 10.255.3.0/24 via 10.255.3.1 dev vx0 src 10.255.1.1 (mesh)",
}

func TestTheNamespaceComesBack(t *testing.T) {
	for name, breakIt := range map[string]func(m *machine){
		"after ip netns del": func(m *machine) {
			m.must(unix.Unmount(m.namespaceFile(), unix.MNT_DETACH))
			m.must(unix.Unlink(m.namespaceFile()))
		},
		"after a crash that left its file": func(m *machine) {
			m.must(unix.Unmount(m.namespaceFile(), unix.MNT_DETACH))
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, "a")
			want := full(t)
			m.reach(want, 1)
			breakIt(m)
			m.reach(want, 2)
			m.reach(state.State{}, 1)
		})
	}
}

func TestIPNetnsKnowsTheNamespace(t *testing.T) {
	m := newMachineAt(t, "a", "/")
	m.reach(full(t), 1)
	if out := m.run("ip netns exec routingmesh ip -br addr show dev lo"); !strings.Contains(out, "10.255.1.1/32") {
		t.Errorf("ip netns exec routingmesh: %s", out)
	}
	m.run("ip netns del routingmesh")
	m.reach(full(t), 2)
	m.reach(state.State{}, 1)
	if out := m.run("ip netns"); out != "" {
		t.Errorf("left: %s", out)
	}
}

func TestErrorsNameWhatIsInTheWay(t *testing.T) {
	tests := []struct {
		name, host, says string
		is               error
	}{
		{"a link by our name", "ip link add rmesh0 type dummy", "the host has another link called rmesh0", unix.EEXIST},
		{"a VXLAN by our VNI", "ip link add vx9 type vxlan id 2100 dstport 4789 local 192.0.2.1", "device vx9 already has VNI 2100 on port 4789", unix.EEXIST},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(t, "a")
			m.run(test.host)
			before := m.run("ip -d link")
			failed := m.Apply(context.Background(), m.plan(full(t)))
			var found bool
			for _, e := range failed {
				found = found || strings.Contains(e.Err.Error(), test.says) && errors.Is(e, test.is)
			}
			if !found {
				t.Errorf("no error says %q: %v", test.says, failed)
			}
			m.reach(state.State{}, 1)
			if diff := cmp.Diff(before, m.run("ip -d link")); diff != "" {
				t.Errorf("what was in the way is no longer as it was:\n%s", diff)
			}
		})
	}
}

// One bad rule keeps only its own chain out.
func TestAChainThatCannotBeMadeIsReportedAlone(t *testing.T) {
	m := newMachine(t, "a")
	want := full(t)
	bad := state.Chain{Table: "nat", Name: "ROUTINGMESH-BAD", Rules: "-m set --match-set nosuchset dst -j RETURN"}
	want.Put(bad)
	failed := m.Apply(context.Background(), m.plan(want))
	if len(failed) != 1 || failed[0].Op.New != state.Object(bad) {
		t.Fatalf("failed: %v", failed)
	}
	if diff := cmp.Diff([]string{"add chain nat ROUTINGMESH-BAD (host)"}, names(m.plan(want))); diff != "" {
		t.Error(diff)
	}
}

func TestASetThatSomebodyRefersToIsKeptAndSaid(t *testing.T) {
	m := newMachine(t, "a")
	m.reach(full(t), 1)
	m.run("iptables -A INPUT -p tcp -m set --match-set routingmesh-tcp dst -j ACCEPT")
	failed := m.Apply(context.Background(), m.plan(state.State{}))
	if len(failed) != 1 || !strings.Contains(failed[0].Err.Error(), "a rule that is not ours refers to it") {
		t.Fatalf("failed: %v", failed)
	}
	m.run("iptables -F INPUT")
	m.reach(state.State{}, 1)
}

func TestAFullDiskKeepsNoRepairFromHappening(t *testing.T) {
	m := newMachine(t, "a")
	want := full(t)
	m.reach(want, 1)
	m.originals.full = true
	m.run("nft flush ruleset; ip link del rmesh0")
	m.mesh("ipvsadm -C; nft flush ruleset")
	m.reach(want, 2)
	m.originals.full = false
	m.run("umount -l " + m.namespaceFile())
	m.originals.full = true
	m.reach(want, 2)
}
