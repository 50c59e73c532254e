//go:build kernel

package kernel_test

import (
	"net/netip"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// docs/design/data-path.md with real packets: two nodes and a
// client on one wire, node b has the endpoint of 8080, both have 8081's, b has
// 9090's in host mode.
func TestPackets(t *testing.T) {
	for name, firewall := range map[string]bool{"open hosts": false, "hosts that drop what nothing accepts": true} {
		t.Run(name, func(t *testing.T) { testPackets(t, firewall) })
	}
}

func testPackets(t *testing.T, firewall bool) {
	a, b, c := newMesh(t, firewall)
	const (
		nodeA, nodeB = "192.168.77.1", "192.168.77.2"
		local        = "127.0.0.1"
		byA, byB     = "b sees 10.255.1.1", "b sees 10.255.2.1"
	)
	tests := []struct {
		name  string
		from  *machine
		proto string
		to    string
		want  string
	}{
		{"client through a node without endpoint", c, "tcp", nodeA + ":8080", byA},
		{"client through the endpoint's node", c, "tcp", nodeB + ":8080", byB},
		{"node without endpoint, 127.0.0.1", a, "tcp", local + ":8080", byA},
		{"node without endpoint, its own address", a, "tcp", nodeA + ":8080", byA},
		{"node without endpoint, the other's address", a, "tcp", nodeB + ":8080", byB},
		{"endpoint's node, 127.0.0.1", b, "tcp", local + ":8080", byB},
		{"endpoint's node, its own address", b, "tcp", nodeB + ":8080", byB},
		{"endpoint's node, the other's address", b, "tcp", nodeA + ":8080", byA},

		{"UDP, client through a node without endpoint", c, "udp", nodeA + ":8080", byA},
		{"UDP, client through the endpoint's node", c, "udp", nodeB + ":8080", byB},
		{"UDP, node without endpoint, 127.0.0.1", a, "udp", local + ":8080", byA},
		{"UDP, node without endpoint, its own address", a, "udp", nodeA + ":8080", byA},
		{"UDP, endpoint's node, 127.0.0.1", b, "udp", local + ":8080", byB},
		{"UDP, endpoint's node, its own address", b, "udp", nodeB + ":8080", byB},
		{"UDP, endpoint's node, the other's address", b, "udp", nodeA + ":8080", byA},

		{"endpoint that listens on the published port", c, "tcp", nodeA + ":8082", byA},
		{"endpoint that listens on the published port, its node", c, "tcp", nodeB + ":8082", byB},
		{"endpoint that listens on the published port, 127.0.0.1", b, "tcp", local + ":8082", byB},

		{"host mode keeps the client's address", c, "tcp", nodeB + ":9090", "b sees 192.168.77.100"},
		{"host mode keeps another node's address", a, "tcp", nodeB + ":9090", "b sees 192.168.77.1"},
		{"host mode, its own address", b, "tcp", nodeB + ":9090", byB},
		{"host mode, 127.0.0.1", b, "tcp", local + ":9090", byB},
		{"UDP, host mode", c, "udp", nodeB + ":9090", byB},
		{"UDP, host mode, 127.0.0.1", b, "udp", local + ":9090", byB},
		{"published without an endpoint", a, "tcp", local + ":8083", "refused"},
		{"what is not published", a, "tcp", local + ":80", "refused"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.from.t = t
			// Twice: what the first connection leaves in conntrack must not break the second.
			for range 2 {
				if got := test.from.ask(test.proto, test.to); got != test.want {
					t.Fatalf("%s to %s: %q, want %q", test.from.name, test.to, got, test.want)
				}
			}
		})
	}
	t.Run("connections are spread over both nodes", func(t *testing.T) {
		seen := map[string]int{}
		for range 4 {
			seen[c.ask("tcp", nodeA+":8081")]++
		}
		if seen["a sees 10.255.1.1"] != 2 || seen["b sees 10.255.1.1"] != 2 {
			t.Error(seen)
		}
	})
}

func newMesh(t *testing.T, firewall bool) (a, b, client *machine) {
	t.Helper()
	w := newWire(t)
	a, b, client = newMachine(t, "a"), newMachine(t, "b"), newMachine(t, "c")
	w.plug(a, node(1).underlay())
	w.plug(b, node(2).underlay())
	w.plug(client, netip.MustParseAddr("192.168.77.100"))
	for n, m := range map[node]*machine{1: a, 2: b} {
		if firewall {
			m.strict()
		}
		m.reach(published(t, n), 1)
	}
	a.answers("tcp", ":81")
	b.answers("tcp", ":80")
	b.answers("udp", ":80")
	b.answers("tcp", ":81")
	b.answers("tcp", ":8082")
	b.answers("tcp", ":90")
	b.answers("udp", ":90")
	return a, b, client
}

func published(t *testing.T, self node) state.State {
	s := desired(t, self, 3-self)
	publish(s, self, "tcp", 8080, 80, 2)
	publish(s, self, "udp", 8080, 80, 2)
	publish(s, self, "tcp", 8081, 81, 1, 2)
	publish(s, self, "tcp", 8082, 8082, 2)
	publish(s, self, "tcp", 8083, 83)
	if self == 2 {
		publishHost(s, self, 9090, 90)
		publish(s, self, "udp", 9090, 90, 2)
	}
	return s
}

// A listener on 127.0.0.1 is not for other nodes, though route_localnet is on
// for rmesh0 (CVE-2020-8558).
func TestLoopbackOfANodeIsNotReachedFromTheMesh(t *testing.T) {
	_, b, _ := newMesh(t, false)
	b.answers("tcp", "127.0.0.1:7777")
	b.mesh("sysctl -qw net.ipv4.conf.host0.route_localnet=1 net.ipv4.conf.lo.route_localnet=1; ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1/32 via 10.255.2.2 dev host0 src 10.255.2.1")
	before := dropped(b)
	b.mesh("timeout 3 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7777' && exit 1 || true")
	if dropped(b) == before {
		t.Error("no packet was dropped: none came, or it was let through")
	}
}

// dropped is the counter of the rule that guards the loopback addresses.
func dropped(m *machine) string {
	m.t.Helper()
	return m.run("iptables -nvxL ROUTINGMESH-IN 6 | awk '{print $1}'")
}
