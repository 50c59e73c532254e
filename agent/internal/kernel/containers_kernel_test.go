//go:build kernel

package kernel_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

const hostModePort = 8081

// contained is a mesh of three nodes, of a service with a container on n2 and on n3.
type contained struct {
	*preserving
	in map[string]*machine // by node
}

func newContained(t *testing.T) *contained {
	t.Helper()
	c := &contained{newPreserving(t), map[string]*machine{"n2": newMachine(t, "c2"), "n3": newMachine(t, "c3")}}
	for key := range c.rec.Ports {
		c.rec.RemovePort(key)
	}
	s := &mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{}}
	for name := range c.in {
		s.Endpoints["on-"+name] = mesh.Endpoint{Node: name, Container: &mesh.Container{Name: "web"}, Slots: make([]uint16, 1)}
	}
	must(t, c.rec.PutService(s))
	for _, p := range []mesh.PublishedPort{
		{Published: tcpPort, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress},
		{Published: udpPort, Target: 53, Protocol: mesh.UDP, Mode: mesh.Ingress},
		{Published: hostModePort, Target: 80, Protocol: mesh.TCP, Mode: mesh.Host},
	} {
		p.Service = "web"
		must(t, c.rec.PutPort(&p))
	}
	now := compile.Conditions{Containers: map[netip.Addr]state.Process{}}
	for name, m := range c.in {
		m.run("ip link set lo up")
		m.answers("tcp", ":80")
		m.answers("udp", ":53")
		now.Containers[c.slot(name)] = m.process()
	}
	c.reach(now)
	return c
}

// slot is the address of the container on the node.
func (c *contained) slot(node string) netip.Addr {
	for slot := range c.rec.Services["web"].Endpoints["on-"+node].SlotAddresses(c.rec.Nodes[node]) {
		return slot
	}
	return netip.Addr{}
}

// process starts one in the machine's namespace, which stands for a container's.
func (m *machine) process() state.Process {
	m.t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(m.run("setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!")))
	must(m.t, err)
	m.t.Cleanup(func() { m.run(fmt.Sprintf("kill %d 2>/dev/null || true", pid)) })
	start, there := netns.Start(pid)
	if !there {
		m.t.Fatalf("process %d has ended", pid)
	}
	return state.Process{PID: pid, Start: start}
}

// TestContainers_Packets: every node leads to the containers, wherever they are, and from
// everywhere; in host mode they see the client.
func TestContainers_Packets(t *testing.T) {
	c := newContained(t)
	for proto, port := range map[string]uint16{"tcp": tcpPort, "udp": udpPort} {
		seen := map[string]bool{}
		for entry := range c.nodes {
			S := c.rec.Nodes[entry].MeshAddress()
			for i := range 6 {
				said := c.ask(c.client, proto, netip.AddrPortFrom(caller(300+i), 0), c.at(entry, port))
				name, as, _ := strings.Cut(said, " sees ")
				if as != S.String() {
					t.Errorf("%s through %s: %s, want %s", proto, entry, said, S)
				}
				seen[entry+" to "+name] = true
			}
			for _, to := range []netip.AddrPort{c.at(entry, port), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)} {
				if said := c.ask(c.nodes[entry], proto, netip.AddrPort{}, to); !strings.HasSuffix(said, " sees "+S.String()) {
					t.Errorf("%s from %s to %s: %s, want %s", proto, entry, to, said, S)
				}
			}
		}
		if len(seen) != 6 {
			t.Errorf("%s: not every container was asked through every node: %v", proto, seen)
		}
	}
	for node, in := range c.in {
		if said, want := c.ask(c.client, "tcp", netip.AddrPortFrom(caller(9), 0), c.at(node, hostModePort)), in.name+" sees "+caller(9).String(); said != want {
			t.Errorf("in host mode on %s: %s, want %s", node, said, want)
		}
		if said := c.ask(c.nodes[node], "tcp", netip.AddrPort{}, c.at(node, hostModePort)); !strings.HasPrefix(said, in.name) {
			t.Errorf("in host mode on %s, from itself: %s", node, said)
		}
	}
}

// TestContainers_LargerThanTheMTU: both ways, with every ICMP message lost.
func TestContainers_LargerThanTheMTU(t *testing.T) {
	c := newContained(t)
	c.client.run("iptables -A INPUT -p icmp -j DROP")
	const size = 1 << 20
	for i, entry := range []string{"n1", "n2", "n3"} {
		conn, err := connectFrom(c.client, "tcp", netip.AddrPort{}, c.at(entry, tcpPort))
		must(t, err)
		c.line(conn)
		must(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
		go func() { _, _ = conn.Write(make([]byte, size)) }()
		if n, err := io.CopyN(io.Discard, conn, size); err != nil {
			t.Errorf("%d: through %s: %d bytes came back: %v", i, entry, n, err)
		}
		conn.Close()
	}
}

// TestContainers_OnlyAnswer: a container opens no connection into the overlay, with whatever
// source, and keeps its own routes.
func TestContainers_OnlyAnswer(t *testing.T) {
	c := newContained(t)
	in, n2, n3 := c.in["n2"], c.rec.Nodes["n2"], c.rec.Nodes["n3"]
	c.nodes["n3"].answers("tcp", ":9999")
	c.in["n3"].answers("tcp", ":9999")
	c.nodes["n2"].answers("tcp", ":9999")
	for what, to := range map[string]netip.Addr{"another container": c.slot("n3"), "another host": n3.HostAddress(), "its own host": n2.HostAddress()} {
		in.in(func() error {
			conn, err := net.DialTimeout("tcp4", netip.AddrPortFrom(to, 9999).String(), 2*time.Second)
			if err == nil {
				t.Errorf("a container reaches %s", what)
				conn.Close()
			}
			return nil
		})
	}
	box, port := c.in["n3"].collects(9999), netip.AddrPortFrom(c.slot("n3"), 9999)
	send := func(from netip.Addr, text string) {
		in.in(func() error {
			conn, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), net.UDPAddrFromAddrPort(port))
			if err == nil {
				_, err = conn.Write([]byte(text))
				conn.Close()
			}
			return err
		})
	}
	for _, forged := range []netip.Addr{n2.MeshAddress(), n2.HostAddress(), n3.MeshAddress(), c.rec.Nodes["n1"].MeshAddress()} {
		in.run(fmt.Sprintf("ip addr add %s/32 dev %s", forged, state.SlotLink(c.slot("n2"))))
		send(forged, "forged")
	}
	send(c.slot("n2"), "own")
	c.nodes["n1"].in(func() error { // what a node sends arrives, after all of that
		conn, err := net.Dial("udp4", port.String())
		if err == nil {
			_, err = conn.Write([]byte("a node"))
			conn.Close()
		}
		return err
	})
	for deadline := time.Now().Add(20 * time.Second); len(box.all()) == 0 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
	}
	if got := box.all(); len(got) != 1 || !strings.HasPrefix(got[0], "a node from ") {
		t.Errorf("a container hears %q", got)
	}
	if got := in.run("ip -o route show default; ip -o addr show scope global"); strings.Contains(got, "default") {
		t.Errorf("the container has been given a default route:\n%s", got)
	}
}

// TestContainers_Faults: whatever is broken at either end is seen, and repaired.
func TestContainers_Faults(t *testing.T) {
	c := newContained(t)
	in, node, slot := c.in["n2"], c.nodes["n2"], c.slot("n2")
	link := state.SlotLink(slot)
	process := in.process()
	want := compile.Compile(c.rec, "n2", runningKernel(t), compile.Conditions{Containers: map[netip.Addr]state.Process{slot: process}})
	node.reach(want, 1)
	for name, breaks := range map[string]func(){
		"its link is removed inside":   func() { in.run("ip link del " + link) },
		"its link is down inside":      func() { in.run("ip link set down dev " + link) },
		"it has lost the address":      func() { in.run("ip addr flush dev " + link) },
		"it has another address too":   func() { in.run("ip addr add 10.255.9.9/32 dev " + link) },
		"it has lost the route":        func() { in.run("ip route del 10.255.0.0/16") },
		"it has lost the way back":     func() { in.run("ip rule del from " + slot.String()) },
		"the mesh's end is down":       func() { node.mesh("ip link set down dev " + link) },
		"the mesh's end has no alias":  func() { node.mesh("ip link set dev " + link + ` alias ""`) },
		"the mesh has lost the route":  func() { node.mesh("ip route del " + slot.String()) },
		"the mesh has another mtu":     func() { node.mesh("ip link set mtu 1300 dev " + link) },
		"the mesh has lost the MAC":    func() { node.mesh("ip neigh del " + slot.String() + " dev " + link) },
		"a link of a slot that is not": func() { node.mesh("ip link add rm9-9 type dummy") },
	} {
		breaks()
		if len(node.plan(want)) == 0 {
			t.Errorf("%s: nothing is to be done", name)
		}
		node.reach(want, 3)
		if said := c.ask(c.client, "tcp", netip.AddrPort{}, c.at("n2", hostModePort)); !strings.HasPrefix(said, "c2 ") {
			t.Errorf("%s: %q after the repair", name, said)
		}
	}
}

// TestContainers_Replaced: another process in the slot, as after a restart of the container,
// and one that has ended.
func TestContainers_Replaced(t *testing.T) {
	c := newContained(t)
	node, slot, other := c.nodes["n2"], c.slot("n2"), newMachine(t, "other")
	other.run("ip link set lo up")
	other.answers("tcp", ":80")
	next := other.process()
	compiled := func(p state.Process) state.State {
		return compile.Compile(c.rec, "n2", runningKernel(t), compile.Conditions{Containers: map[netip.Addr]state.Process{slot: p}})
	}
	node.reach(compiled(next), 1)
	if said := c.ask(c.client, "tcp", netip.AddrPort{}, c.at("n2", hostModePort)); !strings.HasPrefix(said, "other ") {
		t.Errorf("the new container is not asked: %s", said)
	}
	if got := c.in["n2"].run("ip -o link; ip rule"); strings.Contains(got, "rm") || strings.Contains(got, slot.String()) {
		t.Errorf("the former container still has:\n%s", got)
	}
	attached, err := node.Attached()
	must(t, err)
	if attached[slot] != next || len(attached) != 1 {
		t.Errorf("attached are %v, want %v", attached, next)
	}
	other.run(fmt.Sprintf("kill -9 %d; while [ -d /proc/%[1]d ] && ! grep -q ') Z' /proc/%[1]d/stat; do :; done", next.PID))
	if failed := node.Apply(t.Context(), node.plan(compiled(state.Process{PID: next.PID, Start: next.Start + 1}))); len(failed) == 0 {
		t.Error("a container that has ended was attached")
	}
}

// TestContainers_Leave: what is removed leaves nothing in a container.
func TestContainers_Leave(t *testing.T) {
	c := newContained(t)
	before := c.in["n3"].run("ip -o addr; ip rule; ip route show table all")
	c.nodes["n3"].reach(state.State{}, 1)
	after := c.in["n3"].run("ip -o link; ip -o addr; ip rule; ip route show table all")
	if strings.Contains(after, "rm") || strings.Contains(after, "10.255.") {
		t.Errorf("left in the container:\n%s\n(before: %s)", after, before)
	}
}
