//go:build kernel

package kernel_test

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// newMembers is newContained, whose service publishes nothing and is in a network, with its
// containers on these nodes as endpoints.
func newMembers(t *testing.T, on ...string) *contained {
	t.Helper()
	c := newContained(t)
	for key := range c.rec.Ports {
		c.rec.RemovePort(key)
	}
	must(t, c.rec.PutNetwork(&mesh.Network{Name: "back"}))
	s := *c.rec.Services["web"]
	s.Networks, s.Endpoints = map[string]mesh.Membership{"back": {}}, map[string]mesh.Endpoint{}
	for _, name := range on {
		s.Endpoints["on-"+name] = c.rec.Services["web"].Endpoints["on-"+name]
	}
	must(t, c.rec.PutService(&s))
	now := compile.Conditions{Containers: map[netip.Addr]state.Process{}}
	for _, name := range on {
		now.Containers[c.slot(name)] = c.in[name].process()
	}
	for name, m := range c.nodes { // vx0 is another one with the first network
		m.reach(compile.Compile(c.rec, name, runningKernel(t), now), 2)
	}
	return c
}

// large sends 1 MiB to an endpoint and takes it back, by tcp, and as much in datagrams that
// are answered one by one.
func (c *contained) large(from *machine, proto string, to netip.AddrPort) (said string) {
	c.t.Helper()
	conn, err := connectFrom(from, proto, netip.AddrPort{}, to)
	if err != nil {
		c.t.Fatalf("%s from %s to %s: %v", proto, from.name, to, err)
	}
	defer conn.Close()
	said = c.said(conn)
	const size, datagram = 1 << 20, 1 << 10
	must(c.t, conn.SetDeadline(time.Now().Add(60*time.Second)))
	if proto == "tcp" {
		go func() { _, _ = conn.Write(make([]byte, size)) }()
		if n, err := io.CopyN(io.Discard, conn, size); err != nil {
			c.t.Errorf("%s to %s (%s): %d bytes came back: %v", from.name, to, said, n, err)
		}
		return said
	}
	answer := make([]byte, datagram)
	for i := range size / datagram {
		if _, err = conn.Write(make([]byte, datagram)); err != nil {
			c.t.Fatal(err)
		}
		n, err := conn.Read(answer)
		if err != nil || strings.TrimSpace(string(answer[:n])) != said {
			c.t.Fatalf("%s to %s: datagram %d: %q, %v", from.name, to, i, answer[:n], err)
		}
	}
	return said
}

// TestHairpin_OnlyEndpoint: the only endpoint of a service reaches itself by its VIP.
func TestHairpin_OnlyEndpoint(t *testing.T) {
	c := newMembers(t, "n2")
	vip, want := c.rec.Services["web"].VIP, "c2 sees "+c.rec.Nodes["n2"].HairpinAddress().String()
	for proto, port := range map[string]uint16{"tcp": 80, "udp": 53} {
		for range 4 {
			if said := c.large(c.in["n2"], proto, netip.AddrPortFrom(vip, port)); said != want {
				t.Errorf("%s: %s, want %s", proto, said, want)
			}
		}
	}
}

// TestHairpin_Siblings: of two endpoints each reaches itself and the other one, which sees its
// address.
func TestHairpin_Siblings(t *testing.T) {
	c := newMembers(t, "n2", "n3")
	vip := c.rec.Services["web"].VIP
	for proto, port := range map[string]uint16{"tcp": 80, "udp": 53} {
		for node, in := range c.in {
			seen := map[string]int{}
			for range 4 {
				seen[c.large(in, proto, netip.AddrPortFrom(vip, port))]++
			}
			for other, m := range c.in {
				want := fmt.Sprintf("%s sees %s", m.name, c.slot(node))
				if other == node {
					want = fmt.Sprintf("%s sees %s", m.name, c.rec.Nodes[node].HairpinAddress())
				}
				if seen[want] != 2 {
					t.Errorf("%s from %s: %v, want twice %q", proto, in.name, seen, want)
				}
			}
		}
	}
}

// TestHairpin_Process: a process of a host that is the only endpoint, on another port than that
// of the VIP.
func TestHairpin_Process(t *testing.T) {
	c := newMembers(t, "n2")
	must(t, c.rec.PutService(&mesh.Service{Name: "api", Networks: map[string]mesh.Membership{"back": {}},
		VIPPorts: map[mesh.PortKey]uint16{{Port: 80, Protocol: mesh.TCP}: 8080}, Endpoints: map[string]mesh.Endpoint{"n3": {Node: "n3"}}}))
	self, vip, n3 := c.rec.Nodes["n3"], c.rec.Services["api"].VIP, c.nodes["n3"]
	n3.reach(compile.Compile(c.rec, "n3", runningKernel(t), compile.Conditions{}), 2)
	n3.answers("tcp", ":8080")
	for range 2 {
		if said, want := c.large(n3, "tcp", netip.AddrPortFrom(vip, 80)), "n3 sees "+self.HairpinAddress().String(); said != want {
			t.Errorf("%s, want %s", said, want)
		}
	}
}

// TestHairpin_Table: whatever is broken in it is seen, and repaired; it is as nft shows it, and
// goes with the last network.
func TestHairpin_Table(t *testing.T) {
	c := newMembers(t, "n2", "n3")
	node, slot := c.nodes["n2"], c.slot("n2")
	process := c.in["n2"].process()
	now := compile.Conditions{Containers: map[netip.Addr]state.Process{slot: process}}
	want := compile.Compile(c.rec, "n2", runningKernel(t), now)
	node.reach(want, 2)
	const table = "ip routingmesh"
	for name, breaks := range map[string]string{
		"the table is gone":         "nft delete table " + table,
		"it has lost its member":    fmt.Sprintf("nft delete element %s members { %s . %[2]s }", table, slot),
		"it has another member":     "nft add element " + table + " members { 10.255.9.9 . 10.255.9.9 }",
		"it has a pair of others":   "nft add element " + table + " members { 10.255.9.9 . 10.255.9.8 }",
		"a chain is empty":          "nft flush chain " + table + " out",
		"a chain has one rule more": "nft add rule " + table + " back counter",
		"a chain has another rule":  "nft 'flush chain " + table + " back; add rule " + table + " back ip daddr 10.255.1.7 ip daddr set 10.255.1.9'",
		"another source":            "nft 'flush chain " + table + " out; add rule " + table + " out ip saddr . ip daddr @members ip saddr set 10.255.1.9'",
		"there is a chain more":     "nft add chain " + table + " another",
		"there is a set more":       "nft 'add set " + table + " another { type ipv4_addr; }'",
		"it is at another priority": "nft delete chain " + table + " back; nft 'add chain " + table + " back { type filter hook prerouting priority 0; }; add rule " + table + " back ip daddr 10.255.1.7 ip daddr set ip saddr'",
		"nothing but a set is left": "nft delete table " + table + "; nft 'add table " + table + "; add set " + table + " members { type ipv4_addr . ipv4_addr; }'",
	} {
		node.mesh(breaks)
		ops := node.plan(want)
		if len(ops) != 1 || ops[0].Object().Key().Kind != state.KindHairpin {
			t.Errorf("%s: to do is\n%s", name, text(ops))
		}
		node.reach(want, 1)
	}
	shown := node.mesh("nft list table " + table)
	for _, line := range []string{
		"type ipv4_addr . ipv4_addr", fmt.Sprintf("elements = { %s . %[1]s }", slot),
		"type filter hook postrouting priority 150; policy accept;", "ip saddr . ip daddr @members ip saddr set 10.255.1.7",
		"priority -350; policy accept;", "ip daddr 10.255.1.7 ip daddr set ip saddr",
	} {
		if !strings.Contains(shown, line) {
			t.Errorf("nft does not show %q:\n%s", line, shown)
		}
	}
	must(t, c.rec.RemoveService("web"))
	must(t, c.rec.RemoveNetwork("back"))
	node.reach(compile.Compile(c.rec, "n2", runningKernel(t), compile.Conditions{}), 2)
	if left := node.mesh("nft list tables"); strings.Contains(left, table+"\n") {
		t.Errorf("without networks there is still:\n%s", left)
	}
}
