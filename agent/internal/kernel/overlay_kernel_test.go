//go:build kernel

package kernel_test

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

// A connection more is no entry more in the conntrack tables of the hosts for the overlay's own packets, once there are
// as many as the overlay has source ports.
func TestTheOverlayLeavesFromFewPorts(t *testing.T) {
	a, b, c := newMesh(t, false)
	const connections = 40
	for range connections {
		c.ask("udp", "192.168.77.1:8080")
	}
	for _, m := range []*machine{a, b} {
		// there and back: whoever sends is the origin
		sources := strings.Fields(m.run(`conntrack -L -p udp --orig-port-dst 4789 2>/dev/null | grep -o 'sport=[0-9]*' | cut -d= -f2 | sort -u`))
		outer := 0
		for _, s := range sources {
			port, err := strconv.Atoi(s)
			if err != nil {
				t.Fatal(err)
			}
			if port == 4789 {
				continue // of the answer that conntrack would expect
			}
			outer++
			if port < 49152 || port >= 49152+256 {
				t.Errorf("%s: a packet of the overlay came from port %d", m.name, port)
			}
		}
		if outer < 2 {
			t.Errorf("%s: all connections of the overlay share a port: %v", m.name, sources)
		}
	}
}

// The device is one that looks as it should, but for its source ports, as an agent from before made it.
func TestAnOverlayWithOtherSourcePortsIsMadeAnew(t *testing.T) {
	m := newMachine(t, "a")
	newWire(t).plug(m, netip.MustParseAddr("192.168.77.1"))
	want := desired(t, 1, 2)
	m.reach(want, 1)
	m.mesh("ip link del vx0")
	m.run("ip link add vx7 address 02:52:0a:ff:01:01 mtu 1450 type vxlan id 2100 dstport 4789 local 192.168.77.1 nolearning noudpcsum")
	m.run("ip link set vx7 netns " + m.namespaceFile())
	m.mesh("ip link set vx7 name vx0; ip link set vx0 up")
	if plan := text(m.plan(want)); !strings.Contains(plan, "its source ports are others") {
		t.Errorf("plan:\n%s", plan)
	}
	m.reach(want, 2)
	if has := m.mesh("ip -d link show vx0"); !strings.Contains(has, "srcport 49152 49408") {
		t.Error(has)
	}
}
