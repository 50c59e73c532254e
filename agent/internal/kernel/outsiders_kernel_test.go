//go:build kernel

package kernel_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// mailbox has what arrived at UDP ports of a machine.
type mailbox struct {
	mu      sync.Mutex
	letters []string
}

func (b *mailbox) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.letters)
}

// collects notes what arrives at the UDP ports of a machine.
func (m *machine) collects(ports ...int) *mailbox {
	m.t.Helper()
	box := &mailbox{}
	for _, port := range ports {
		m.in(func() error {
			c, err := net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
			if err != nil {
				return err
			}
			m.t.Cleanup(func() { c.Close() })
			go func() {
				buf := make([]byte, 2048)
				for {
					n, from, err := c.ReadFrom(buf)
					if err != nil {
						return
					}
					box.mu.Lock()
					box.letters = append(box.letters, fmt.Sprintf("%s from %s", buf[:n], host(from)))
					box.mu.Unlock()
				}
			}()
			return nil
		})
	}
	return box
}

// matched is how often the first rule of a chain that has the words has matched.
func (m *machine) matched(ns state.NS, chain string, words ...string) uint64 {
	m.t.Helper()
	chains, err := m.Chains(context.Background(), ns)
	m.must(err)
	for _, c := range chains {
		for _, r := range c.Rules {
			if c.Name == chain && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(r.Text, w) }) {
				return r.Packets
			}
		}
	}
	m.t.Fatalf("%s: %s has no rule with %q", m.name, chain, words)
	return 0
}

// speaksVXLAN gives a machine a VXLAN device of its own to a node: what it sends to
// the node's block goes in frames that it makes.
func (m *machine) speaksVXLAN(name string, vni int, to node) {
	m.t.Helper()
	m.run(fmt.Sprintf(`ip link add %[1]s mtu 1400 type vxlan id %[2]d dstport 4789 remote %[3]s nolearning noudpcsum
ip addr add 10.255.1.1/32 dev %[1]s
ip link set %[1]s up
ip neigh add %[4]s lladdr %[5]s dev %[1]s nud permanent
ip route add %[6]s via %[4]s dev %[1]s src 10.255.1.1 onlink`, name, vni, to.underlay(), to.S(), to.mac(), to.block()))
}

const letter = "exec 3<>/dev/udp/%s/%d; printf '%s' >&3"

func sends(in func(string) string, what, to string, port int) {
	in("bash -c " + "\"" + fmt.Sprintf(letter, to, port, what) + "\"")
}

// A host that is not a node reaches nothing of the overlay, and a node reaches no more of
// another than its endpoints. The hosts' own firewalls accept everything here.
func TestOutsidersReachNothing(t *testing.T) {
	a, b, c := newMesh(t, false)
	inside := b.collects(84, 7000)
	outside := c.collects(7000)
	want := published(t, 2)
	want.Put(state.SetMember{Set: "routingmesh-ep-udp", Port: 84})
	b.reach(want, 1)
	strict := func() bool { // of the kernel: it counts, and logs nothing
		return !strings.Contains(b.mesh("nstat -asz TcpExtIPReversePathFilter"), " 0 ")
	}
	rule := func(m *machine, ns state.NS, chain string, words ...string) func() bool {
		return func() bool { return m.matched(ns, chain, words...) > 0 }
	}

	// A container behind a: the host masquerades what it sends.
	k := newMachine(t, "k")
	a.link("veth-k", k)
	a.run("ip addr add 172.31.0.1/24 dev veth-k; ip link set veth-k up; iptables -t nat -A POSTROUTING -s 172.31.0.0/24 -j MASQUERADE")
	k.run("ip addr add 172.31.0.2/24 dev eth0; ip link set eth0 up; ip route add default via 172.31.0.1")

	c.speaksVXLAN("vx7", 2100, 2)
	k.speaksVXLAN("vx7", 2100, 2)
	for _, try := range []struct {
		name    string
		do      func()
		stopped func() bool
	}{
		{"frames of someone who is no node", func() { sends(c.run, "frame", "10.255.2.2", 84) },
			rule(b, state.Host, "ROUTINGMESH-IN", "--bytecode")},
		{"frames of a container with its host's address", func() { sends(k.run, "masqueraded", "10.255.2.2", 84) },
			rule(a, state.Host, "ROUTINGMESH-FWD", "--bytecode")},
		{"a route to the pool by a node", func() {
			c.run("ip route del 10.255.2.0/24; ip route add 10.255.0.0/16 via 192.168.77.1")
			sends(c.run, "routed", "10.255.2.2", 84)
		}, rule(a, state.Host, "ROUTINGMESH-FWD", "-o rmesh0 -j DROP")},
		{"a node with an address that is not its own", func() {
			a.mesh("ip addr add 203.0.113.9/32 dev lo; ip route add 10.255.2.2/32 via 10.255.2.1 dev vx0 src 203.0.113.9 onlink")
			sends(a.mesh, "forged", "10.255.2.2", 84)
			a.mesh("ip route del 10.255.2.2/32; ip addr del 203.0.113.9/32 dev lo")
		}, strict},
		{"a node that uses another as its way out", func() {
			a.mesh("ip route add 192.168.77.100/32 via 10.255.2.1 dev vx0 src 10.255.1.1 onlink")
			sends(a.mesh, "relayed", "192.168.77.100", 7000)
		}, rule(b, state.Mesh, "PREROUTING", "-j DROP")},
		{"a node that asks for what is no endpoint", func() { sends(a.mesh, "no endpoint", "10.255.2.2", 7000) },
			rule(b, state.Host, "ROUTINGMESH-IN", "INVALID,NEW")},
	} {
		t.Run(try.name, func(t *testing.T) {
			try.do()
			until(t, time.Minute, "it is dropped where it should be", try.stopped)
		})
	}

	// By the same ways what may pass does: else nothing above says anything.
	sends(a.mesh, "from a node", "10.255.2.2", 84)
	until(t, time.Minute, "b hears its peer", func() bool { return len(inside.all()) > 0 })
	if got := inside.all(); !slices.Equal(got, []string{"from a node from 10.255.1.1"}) {
		t.Errorf("b has got %q", got)
	}
	sends(b.run, "from outside", "192.168.77.100", 7000)
	until(t, time.Minute, "c hears b", func() bool { return len(outside.all()) > 0 })
	if got := outside.all(); !slices.Equal(got, []string{"from outside from 192.168.77.2"}) {
		t.Errorf("c has got %q", got)
	}
}

// The UDP port belongs to the host, not to the mesh: another overlay on it works on.
func TestAnotherOverlayOnThePort(t *testing.T) {
	_, b, c := newMesh(t, true)
	b.run("iptables -I INPUT 2 -p udp --dport 4789 -j ACCEPT") // as the owner of the other overlay would
	for m, self := range map[*machine]string{b: "172.30.0.2", c: "172.30.0.3"} {
		remote := map[*machine]netip.Addr{b: netip.MustParseAddr("192.168.77.100"), c: node(2).underlay()}[m]
		m.run(fmt.Sprintf("ip link add other mtu 1400 type vxlan id 77 dstport 4789 remote %s; ip addr add %s/24 dev other; ip link set other up", remote, self))
	}
	c.run("ping -qc 1 -W 20 172.30.0.2")
}

// What nobody has is refused at once: it neither circles between the host and the
// mesh nor keeps the client waiting.
func TestAnAddressThatNobodyHas(t *testing.T) {
	a, _, _ := newMesh(t, false)
	for _, nobody := range []string{"10.255.1.77:80", "10.255.9.9:80"} {
		if got := a.greeting("tcp", nobody); !strings.HasSuffix(got, "no route to host") {
			t.Errorf("%s: %s", nobody, got)
		}
	}
}
