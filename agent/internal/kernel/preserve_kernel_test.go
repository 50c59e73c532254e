//go:build kernel

package kernel_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// preserving is three nodes with one record, and a client, on one wire. The client has
// 10.77.0.0/16, to be many.
type preserving struct {
	t      *testing.T
	rec    *mesh.Record
	nodes  map[string]*machine
	client *machine
}

const (
	tcpPort = 8080
	udpPort = 5353
)

// newPreserving publishes 8080/tcp and 5353/udp, of a service with these endpoints.
func newPreserving(t *testing.T, endpoints ...string) *preserving {
	t.Helper()
	w := newWire(t)
	p := &preserving{t: t, nodes: map[string]*machine{}, client: newMachine(t, "client")}
	w.plug(p.client, netip.MustParseAddr("192.168.77.100"))
	p.client.run("ip route add local 10.77.0.0/16 dev lo")
	rec, err := mesh.NewRecord("uid", mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("demo"), PublishedPortRange: mesh.DefaultPortRange,
	})
	must(t, err)
	p.rec = rec
	for i, name := range []string{"n1", "n2", "n3"} {
		m := newMachine(t, name)
		p.nodes[name] = m
		must(t, rec.PutNode(&mesh.Node{Name: name, Address: node(i + 1).underlay(), UnderlayMTU: 1500}))
		w.plug(m, node(i+1).underlay())
		m.run("ip route add default via 192.168.77.100; sysctl -qw net.ipv4.conf.all.rp_filter=1")
		m.strict()
	}
	p.endpoints(endpoints...)
	p.publish(mesh.Preserve)
	return p
}

func (p *preserving) endpoints(on ...string) {
	p.t.Helper()
	s := &mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{}}
	for _, name := range on {
		s.Endpoints["on-"+name] = mesh.Endpoint{Node: name}
	}
	must(p.t, p.rec.PutService(s))
}

// publish publishes both ports, and has every node be as the record asks.
func (p *preserving) publish(c mesh.ClientAddress) {
	p.t.Helper()
	must(p.t, p.rec.PutPort(&mesh.PublishedPort{Service: "web", Published: tcpPort, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress, ClientAddress: c}))
	must(p.t, p.rec.PutPort(&mesh.PublishedPort{Service: "web", Published: udpPort, Target: 53, Protocol: mesh.UDP, Mode: mesh.Ingress, ClientAddress: c}))
	p.reach(compile.Conditions{})
}

func (p *preserving) reach(now compile.Conditions) {
	p.t.Helper()
	for name, m := range p.nodes {
		m.reach(compile.Compile(p.rec, name, runningKernel(p.t), now), 1)
	}
}

func (p *preserving) at(name string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(p.rec.Nodes[name].Address, port)
}

// ask connects from a machine and returns what the endpoint says.
func (p *preserving) ask(from *machine, proto string, local, to netip.AddrPort) string {
	p.t.Helper()
	c, err := connectFrom(from, proto, local, to)
	if err != nil {
		p.t.Fatalf("%s from %s (%s) to %s: %v", proto, from.name, local, to, err)
	}
	defer c.Close()
	return p.said(c)
}

func (p *preserving) said(c net.Conn) string {
	p.t.Helper()
	if c.LocalAddr().Network() == "udp" {
		if _, err := fmt.Fprintln(c, "who?"); err != nil {
			p.t.Fatal(err)
		}
	}
	return p.line(c)
}

func (p *preserving) line(c net.Conn) string {
	p.t.Helper()
	must(p.t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		p.t.Fatalf("%s → %s: %v", c.LocalAddr(), c.RemoteAddr(), err)
	}
	return strings.TrimSpace(line)
}

// connectFrom binds to the local address, if there is one, though another connection may
// have it as well.
func connectFrom(m *machine, proto string, local, to netip.AddrPort) (c net.Conn, err error) {
	d := net.Dialer{Timeout: 10 * time.Second, Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
	}}
	switch {
	case local.IsValid() && proto == "tcp":
		d.LocalAddr = net.TCPAddrFromAddrPort(local)
	case local.IsValid():
		d.LocalAddr = net.UDPAddrFromAddrPort(local)
	}
	err = within(m.ns, func() (err error) {
		c, err = d.DialContext(context.Background(), proto+"4", to.String())
		return err
	})
	return c, err
}

// serveAll has an endpoint answer on these nodes, tcp and udp.
func (p *preserving) serveAll(names ...string) {
	p.t.Helper()
	for _, name := range names {
		p.nodes[name].answers("tcp", ":80")
		p.nodes[name].answers("udp", ":53")
	}
}

// TestPreserve_EndpointSeesClient: through every node, to endpoints there and elsewhere.
func TestPreserve_EndpointSeesClient(t *testing.T) {
	p := newPreserving(t, "n2", "n3")
	p.serveAll("n2", "n3")
	for proto, port := range map[string]uint16{"tcp": tcpPort, "udp": udpPort} {
		seen := map[string]bool{}
		for entry := range p.nodes {
			for i := range 6 {
				said := p.ask(p.client, proto, netip.AddrPortFrom(caller(300+i), 0), p.at(entry, port))
				name, as, _ := strings.Cut(said, " sees ")
				if as != caller(300+i).String() {
					t.Errorf("%s through %s: %s, want %s", proto, entry, said, caller(300+i))
				}
				seen[entry+" to "+name] = true
			}
		}
		if len(seen) != 6 {
			t.Errorf("%s: not every endpoint was asked through every node: %v", proto, seen)
		}
	}
}

// TestPreserve_OneClientPortThroughAllNodes: connections of one address and port to all
// nodes at once stay apart, to one and the same endpoint.
func TestPreserve_OneClientPortThroughAllNodes(t *testing.T) {
	p := newPreserving(t, "n2")
	p.serveAll("n2")
	for proto, port := range map[string]uint16{"tcp": tcpPort, "udp": udpPort} {
		for round := range 5 {
			from := netip.AddrPortFrom(caller(7), uint16(40000+round))
			var open []net.Conn
			for _, entry := range []string{"n1", "n2", "n3"} {
				c, err := connectFrom(p.client, proto, from, p.at(entry, port))
				if err != nil {
					t.Fatalf("%s %s through %s: %v", proto, from, entry, err)
				}
				defer c.Close()
				open = append(open, c)
				if said, want := p.said(c), "n2 sees "+caller(7).String(); said != want {
					t.Errorf("%s %s through %s: %s, want %s", proto, from, entry, said, want)
				}
			}
			for i, c := range open { // all are still there, and each is answered its own
				if proto == "udp" {
					p.said(c)
					continue
				}
				mine := fmt.Sprintf("round %d, connection %d", round, i)
				if _, err := fmt.Fprintln(c, mine); err != nil {
					t.Fatal(err)
				}
				if said := p.line(c); said != mine {
					t.Errorf("%s: %q came back", mine, said)
				}
			}
		}
	}
}

// TestPreserve_ClientsOnNodes: what is asked from a node, at any address, is answered, and
// the endpoint sees the entry node.
func TestPreserve_ClientsOnNodes(t *testing.T) {
	p := newPreserving(t, "n2")
	p.serveAll("n2")
	for proto, port := range map[string]uint16{"tcp": tcpPort, "udp": udpPort} {
		for from, m := range p.nodes {
			for entry := range p.nodes {
				want := "n2 sees " + p.rec.Nodes[entry].MeshAddress().String()
				if said := p.ask(m, proto, netip.AddrPort{}, p.at(entry, port)); said != want {
					t.Errorf("%s from %s through %s: %s, want %s", proto, from, entry, said, want)
				}
			}
			want := "n2 sees " + p.rec.Nodes[from].MeshAddress().String()
			if said := p.ask(m, proto, netip.AddrPort{}, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)); said != want {
				t.Errorf("%s from %s to 127.0.0.1: %s, want %s", proto, from, said, want)
			}
		}
	}
}

// TestPreserve_LargerThanTheMTU: both ways, with every ICMP message lost.
func TestPreserve_LargerThanTheMTU(t *testing.T) {
	p := newPreserving(t, "n2")
	p.serveAll("n2")
	p.client.run("iptables -A INPUT -p icmp -j DROP")
	const size = 1 << 20
	for _, entry := range []string{"n1", "n2"} {
		c, err := connectFrom(p.client, "tcp", netip.AddrPort{}, p.at(entry, tcpPort))
		must(t, err)
		p.line(c)
		must(t, c.SetDeadline(time.Now().Add(30*time.Second)))
		go func() { _, _ = c.Write(make([]byte, size)) }()
		if n, err := io.CopyN(io.Discard, c, size); err != nil {
			t.Errorf("through %s: %d bytes came back: %v", entry, n, err)
		}
		c.Close()
		u, err := connectFrom(p.client, "udp", netip.AddrPortFrom(caller(9), 0), p.at(entry, udpPort))
		must(t, err)
		if _, err := u.Write(make([]byte, 4000)); err != nil {
			t.Fatal(err)
		}
		if said, want := p.line(u), "n2 sees "+caller(9).String(); said != want {
			t.Errorf("4,000 bytes through %s: %s, want %s", entry, said, want)
		}
		u.Close()
	}
}

// TestPreserve_Container: an endpoint may be a container whose port another program
// publishes on the node, by DNAT to an address behind a link of its own.
func TestPreserve_Container(t *testing.T) {
	p := newPreserving(t, "n2")
	host, container := p.nodes["n2"], newMachine(t, "container")
	host.link("docker9", container)
	host.run(`ip addr add 172.31.0.1/24 dev docker9; ip link set docker9 up
iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -p tcp --dport 80 -j DNAT --to-destination 172.31.0.2:8000
iptables -A FORWARD -o docker9 -m conntrack --ctstate DNAT -j ACCEPT
iptables -A FORWARD -i docker9 -m conntrack --ctstate ESTABLISHED -j ACCEPT`)
	container.run("ip addr add 172.31.0.2/24 dev eth0; ip link set eth0 up; ip route add default via 172.31.0.1")
	container.answers("tcp", ":8000")
	for _, entry := range []string{"n1", "n2"} {
		want := "container sees " + caller(4).String()
		if said := p.ask(p.client, "tcp", netip.AddrPortFrom(caller(4), 0), p.at(entry, tcpPort)); said != want {
			t.Errorf("through %s: %s, want %s", entry, said, want)
		}
	}
}

// TestPreserve_ChangedInPlace: new connections take the new way, and those that are open go
// on while they drain.
func TestPreserve_ChangedInPlace(t *testing.T) {
	p := newPreserving(t, "n2", "n3")
	p.serveAll("n2", "n3")
	seenAs := map[mesh.ClientAddress]string{mesh.Preserve: caller(5).String(), mesh.EntryNode: p.rec.Nodes["n1"].MeshAddress().String()}
	key := mesh.PortKey{Port: tcpPort, Protocol: mesh.TCP}
	for _, next := range []mesh.ClientAddress{mesh.EntryNode, mesh.Preserve} {
		was := p.rec.Ports[key].ClientAddress
		var open []net.Conn
		for range 4 {
			c, err := connectFrom(p.client, "tcp", netip.AddrPortFrom(caller(5), 0), p.at("n1", tcpPort))
			must(t, err)
			defer c.Close()
			if said := p.line(c); !strings.HasSuffix(said, " sees "+seenAs[was]) {
				t.Errorf("before the change to %q: %s", next, said)
			}
			open = append(open, c)
		}
		before := map[string][]netip.AddrPort{}
		for name := range p.nodes {
			before[name] = compile.Destinations(p.rec, name, compile.Published(key))
		}
		must(t, p.rec.PutPort(&mesh.PublishedPort{Service: "web", Published: tcpPort, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress, ClientAddress: next}))
		for name, m := range p.nodes {
			m.reach(compile.Compile(p.rec, name, runningKernel(t), compile.Conditions{Draining: map[compile.Frontend][]netip.AddrPort{compile.Published(key): before[name]}}), 1)
		}
		for i, c := range open {
			if _, err := fmt.Fprintln(c, "still there?"); err != nil {
				t.Fatal(err)
			}
			if said := p.line(c); said != "still there?" {
				t.Errorf("connection %d after the change to %q: %q", i, next, said)
			}
		}
		if said := p.ask(p.client, "tcp", netip.AddrPortFrom(caller(5), 0), p.at("n1", tcpPort)); !strings.HasSuffix(said, " sees "+seenAs[next]) {
			t.Errorf("a new connection after the change to %q: %s, want %s", next, said, seenAs[next])
		}
		p.reach(compile.Conditions{})
	}
}

// TestPreserve_UDPClientThatKeepsItsPort: a change of client_address, and an endpoint that
// moves, reach a client that sends from one socket all the time.
func TestPreserve_UDPClientThatKeepsItsPort(t *testing.T) {
	p := newPreserving(t, "n2")
	p.serveAll("n2", "n3")
	c, err := connectFrom(p.client, "udp", netip.AddrPortFrom(caller(6), 0), p.at("n1", udpPort))
	must(t, err)
	defer c.Close()
	entry := p.rec.Nodes["n1"].MeshAddress().String()
	for _, step := range []struct {
		on   string
		as   mesh.ClientAddress
		want string
	}{
		{"n2", mesh.Preserve, "n2 sees " + caller(6).String()}, {"n2", mesh.EntryNode, "n2 sees " + entry}, {"n2", mesh.Preserve, "n2 sees " + caller(6).String()},
		{"n3", mesh.Preserve, "n3 sees " + caller(6).String()}, {"n1", mesh.EntryNode, "n1 sees " + entry},
	} {
		if step.on == "n1" {
			p.serveAll("n1")
		}
		p.endpoints(step.on)
		p.publish(step.as)
		if said := p.said(c); said != step.want {
			t.Errorf("on %s, %q: %s, want %s", step.on, step.as, said, step.want)
		}
	}
}

// TestPreserve_OthersAreLeftAlone: a direct connection to the endpoint's process, and what
// the host has marked otherwise, go their own way.
func TestPreserve_OthersAreLeftAlone(t *testing.T) {
	p := newPreserving(t, "n2")
	p.serveAll("n2")
	host := p.nodes["n2"]
	host.run(`iptables -A INPUT -p tcp --dport 80 -j ACCEPT
iptables -A INPUT -p udp --dport 53 -j ACCEPT
iptables -t mangle -A PREROUTING -p tcp --dport 80 -j CONNMARK --set-xmark 0x2/0x2
iptables -t mangle -A OUTPUT -m connmark --mark 0x1002/0x1002 -j MARK --set-xmark 0x2/0x2`)
	from := netip.AddrPortFrom(caller(8), 41000)
	for proto, ports := range map[string][2]uint16{"tcp": {80, tcpPort}, "udp": {53, udpPort}} {
		for _, to := range []netip.AddrPort{p.at("n2", ports[0]), p.at("n1", ports[1]), p.at("n2", ports[0])} {
			if said, want := p.ask(p.client, proto, from, to), "n2 sees "+caller(8).String(); said != want {
				t.Errorf("%s to %s: %s, want %s", proto, to, said, want)
			}
		}
	}
}

// TestPreserve_RepairedAndRemoved: each object of its own that somebody removes is put back,
// and the mesh takes all of them with it.
func TestPreserve_RepairedAndRemoved(t *testing.T) {
	rec := record(t)
	m := newMachine(t, "n1")
	before := m.snapshot()
	m.reach(compile.Compile(rec, "n1", runningKernel(t), compile.Conditions{}), 1)
	must(t, rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 8081, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress, ClientAddress: mesh.Preserve}))
	without := m.observe()
	want := compile.Compile(rec, "n1", runningKernel(t), compile.Conditions{})
	m.reach(want, 1)
	removed := 0
	for key, o := range want {
		if without[key] != o {
			if _, there := without[key]; there {
				continue // a chain with more rules: TestWhatSomebodyBreaksIsSeenAndRepaired
			}
			m.apply([]state.Op{{Action: state.Remove, Old: o}})
			if ops := m.plan(want); !slices.ContainsFunc(ops, func(op state.Op) bool { return op.Object().Key() == key }) {
				t.Errorf("%s was removed, and the plan is %q", o, text(ops))
			}
			m.reach(want, 1)
			removed++
		}
	}
	if removed < 15 {
		t.Errorf("only %d objects are of such a port", removed)
	}
	m.reach(state.State{}, 1)
	if after := m.snapshot(); after != before {
		t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
	}
}
