//go:build kernel

package kernel_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// networked is a mesh of three nodes with the networks front and back, whose services web and
// db have a container each on n2 and n3. Processes of n1 are members of front. Containers are
// named after their service and node: web2.
type networked struct {
	*preserving
	in  map[string]*machine
	now compile.Conditions
}

func newNetworked(t *testing.T) *networked {
	t.Helper()
	n := &networked{preserving: newPreserving(t), in: map[string]*machine{}, now: compile.Conditions{Containers: map[netip.Addr]state.Process{}}}
	for key := range n.rec.Ports {
		n.rec.RemovePort(key)
	}
	must(t, n.rec.RemoveService("web"))
	must(t, n.rec.PutNetwork(&mesh.Network{Name: "front", Hosts: []string{"n1"}}))
	must(t, n.rec.PutNetwork(&mesh.Network{Name: "back"}))
	n.service("web", "front")
	n.service("db", "back")
	n.settle()
	return n
}

// service has containers on n2 and n3, which answer on 80/tcp and 53/udp.
func (n *networked) service(name string, networks ...string) {
	n.t.Helper()
	s := &mesh.Service{Name: name, Endpoints: map[string]mesh.Endpoint{}, Networks: map[string]mesh.Membership{}}
	for _, network := range networks {
		s.Networks[network] = mesh.Membership{}
	}
	for _, node := range []string{"n2", "n3"} {
		s.Endpoints[node] = mesh.Endpoint{Node: node, Container: &mesh.Container{Name: name}, Slots: make([]uint16, 1)}
	}
	must(n.t, n.rec.PutService(s))
	for _, node := range []string{"n2", "n3"} {
		in := newMachine(n.t, name+node[1:])
		in.answers("tcp", ":80")
		in.answers("udp", ":53")
		n.in[in.name] = in
		n.now.Containers[n.slot(in.name)] = in.process()
	}
}

// slot is the address of a container by its name.
func (n *networked) slot(name string) netip.Addr {
	n.t.Helper()
	service, node := name[:len(name)-1], "n"+name[len(name)-1:]
	for slot := range n.rec.Services[service].Endpoints[node].SlotAddresses(n.rec.Nodes[node]) {
		return slot
	}
	n.t.Fatalf("there is no slot of %s", name)
	return netip.Addr{}
}

// settle has every node be as the record asks. A flag of the overlay takes a second round.
func (n *networked) settle() {
	n.t.Helper()
	for name, m := range n.nodes {
		m.reach(compile.Compile(n.rec, name, runningKernel(n.t), n.now), 3)
	}
}

// refused wants an answer at once that says no.
func (n *networked) refused(from *machine, proto string, to netip.AddrPort) {
	n.t.Helper()
	began := time.Now()
	got := from.greeting(proto, to.String())
	if took := time.Since(began); got != "refused" && !strings.Contains(got, unix.EHOSTUNREACH.Error()) || took > 5*time.Second {
		n.t.Errorf("%s from %s to %s: %q after %s, want it refused at once", proto, from.name, to, got, took)
	}
}

// sees wants to be answered by one of these, which sees the client's own address.
func (n *networked) sees(from *machine, proto string, to netip.AddrPort, client netip.Addr, names ...string) string {
	n.t.Helper()
	got := from.greeting(proto, to.String())
	name, as, _ := strings.Cut(got, " sees ")
	if as != client.String() || !slices.Contains(names, name) {
		n.t.Errorf("%s from %s to %s: %q, want one of %v that sees %s", proto, from.name, to, got, names, client)
	}
	return name
}

// vip is a port of the service's VIP.
func (n *networked) vip(service string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(n.rec.Services[service].VIP, port)
}

func servicePort(proto string) uint16 {
	if proto == "udp" {
		return 53
	}
	return 80
}

// untracked wants nothing of containers in the mesh's conntrack tables.
func (n *networked) untracked() {
	n.t.Helper()
	for name, m := range n.nodes {
		for line := range strings.SplitSeq(m.mesh("cat /proc/net/nf_conntrack"), "\n") {
			for _, in := range n.in {
				if strings.Contains(line, n.slot(in.name).String()+" ") && !strings.Contains(line, n.rec.Nodes[name].HostAddress().String()+" ") {
					n.t.Errorf("%s tracks %s", name, line)
				}
			}
		}
	}
}

// Members of a network reach each other, by slot and by VIP, on their own node and others,
// and see the client's own address. Others are refused at once. Nothing of it is tracked.
func TestNetworks_Isolation(t *testing.T) {
	n := newNetworked(t)
	H := func(node string) netip.Addr { return n.rec.Nodes[node].HostAddress() }
	type client struct {
		*machine
		at       netip.Addr
		networks string
	}
	clients := []client{
		{n.in["web2"], n.slot("web2"), "web"}, {n.in["web3"], n.slot("web3"), "web"},
		{n.in["db2"], n.slot("db2"), "db"}, {n.in["db3"], n.slot("db3"), "db"},
		{n.nodes["n1"], H("n1"), "web"}, {n.nodes["n2"], H("n2"), ""}, {n.nodes["n3"], H("n3"), ""},
	}
	for _, c := range clients {
		for _, proto := range both {
			for _, service := range []string{"web", "db"} {
				if c.networks != service {
					n.refused(c.machine, proto, n.vip(service, servicePort(proto)))
				}
				for _, to := range []string{service + "2", service + "3"} {
					at := netip.AddrPortFrom(n.slot(to), servicePort(proto))
					switch {
					case c.name == to:
					case c.networks == service:
						n.sees(c.machine, proto, at, c.at, to)
					default:
						n.refused(c.machine, proto, at)
					}
				}
			}
		}
	}
	n.untracked()
}

// A VIP leads to every port, over all endpoints in turn, with the client's own address; the
// client may be a container of any node, or a process of a host that is a member.
func TestNetworks_VIP(t *testing.T) {
	n := newNetworked(t)
	n.service("job", "front", "back")
	for _, name := range []string{"web2", "web3", "db2", "db3"} {
		n.in[name].answers("tcp", ":4000")
	}
	n.settle()
	for _, proto := range both {
		ports := []uint16{servicePort(proto)}
		if proto == "tcp" {
			ports = append(ports, 4000)
		}
		for _, port := range ports {
			for _, c := range []string{"job2", "job3"} {
				for service, names := range map[string][]string{"web": {"web2", "web3"}, "db": {"db2", "db3"}} {
					asked := map[string]bool{}
					for range 4 {
						asked[n.sees(n.in[c], proto, n.vip(service, port), n.slot(c), names...)] = true
					}
					if len(asked) != 2 {
						t.Errorf("%s %d of %s from %s: in turn are asked %v", proto, port, service, c, asked)
					}
				}
			}
			asked := map[string]bool{}
			for range 4 {
				asked[n.sees(n.nodes["n1"], proto, n.vip("web", port), n.rec.Nodes["n1"].HostAddress(), "web2", "web3")] = true
			}
			if len(asked) != 2 {
				t.Errorf("%s %d from n1 itself: in turn are asked %v", proto, port, asked)
			}
		}
		n.refused(n.in["job2"], proto, n.vip("web", 4444)) // nobody serves it
		n.refused(n.nodes["n1"], proto, n.vip("web", 4444))
	}
	if got := n.in["job2"].ask("tcp", n.vip("db", 80).String()); !strings.Contains(got, " sees ") {
		t.Errorf("a large message: %q", got)
	}
	n.untracked()
}

// Endpoints that are gone are no destinations, and a VIP without any is refused: each time at
// once, also many times in a row.
func TestNetworks_VIPWithoutEndpoints(t *testing.T) {
	n := newNetworked(t)
	n.service("job", "front")
	n.now.Absent = map[netip.Addr]bool{n.slot("web2"): true}
	n.settle()
	for range 4 {
		n.sees(n.in["job2"], "tcp", n.vip("web", 80), n.slot("job2"), "web3")
	}
	n.now.Absent[n.slot("web3")] = true
	n.settle()
	for _, proto := range both {
		for range 40 {
			n.refused(n.in["job2"], proto, n.vip("web", servicePort(proto))) // by its own node
			n.refused(n.in["job2"], proto, netip.AddrPortFrom(n.slot("db3"), servicePort(proto)))
		}
		n.refused(n.nodes["n1"], proto, n.vip("web", servicePort(proto)))
	}
}

// A VIP with declared ports leads to the ports that processes and containers listen on, and to
// nothing else.
func TestNetworks_VIPPorts(t *testing.T) {
	n := newNetworked(t)
	n.service("job", "back")
	must(t, n.rec.PutService(&mesh.Service{
		Name: "api", Networks: map[string]mesh.Membership{"back": {}},
		VIPPorts:  map[mesh.PortKey]uint16{{Port: 80, Protocol: mesh.TCP}: 8080, {Port: 53, Protocol: mesh.UDP}: 5300},
		Endpoints: map[string]mesh.Endpoint{"n1": {Node: "n1"}, "n3": {Node: "n3"}},
	}))
	must(t, n.rec.PutNetwork(&mesh.Network{Name: "back", Hosts: []string{"n2"}}))
	for _, node := range []string{"n1", "n3"} {
		n.nodes[node].answers("tcp", ":8080")
		n.nodes[node].answers("udp", ":5300")
		n.nodes[node].answers("tcp", ":9999")
	}
	n.settle()
	for _, proto := range both {
		for _, c := range []string{"job2", "job3"} {
			asked := map[string]bool{}
			for range 4 {
				asked[n.sees(n.in[c], proto, n.vip("api", servicePort(proto)), n.slot(c), "n1", "n3")] = true
			}
			if len(asked) != 2 {
				t.Errorf("%s from %s: in turn are asked %v", proto, c, asked)
			}
			n.refused(n.in[c], "tcp", n.vip("api", 8080))
		}
		for range 2 {
			n.sees(n.nodes["n2"], proto, n.vip("api", servicePort(proto)), n.rec.Nodes["n2"].HostAddress(), "n1", "n3")
		}
		n.refused(n.in["web2"], proto, n.vip("api", servicePort(proto)))
	}
	db := *n.rec.Services["db"]
	db.VIPPorts = map[mesh.PortKey]uint16{{Port: 8000, Protocol: mesh.TCP}: 80}
	must(t, n.rec.PutService(&db))
	n.settle()
	for range 2 {
		n.sees(n.in["job2"], "tcp", n.vip("db", 8000), n.slot("job2"), "db2", "db3")
	}
	n.refused(n.in["job2"], "tcp", n.vip("db", 80))
}

// What is published, and checks, reach containers in networks as before, whatever the client's
// networks are; nodes reach nothing else of them.
func TestNetworks_Published(t *testing.T) {
	n := newNetworked(t)
	for _, p := range []mesh.PublishedPort{
		{Published: tcpPort, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress},
		{Published: udpPort, Target: 53, Protocol: mesh.UDP, Mode: mesh.Ingress},
		{Published: hostModePort, Target: 80, Protocol: mesh.TCP, Mode: mesh.Host},
	} {
		p.Service = "db"
		must(t, n.rec.PutPort(&p))
	}
	db := *n.rec.Services["db"]
	db.HealthCheck = &mesh.HealthCheck{Type: mesh.CheckTCP, Port: 7000, IntervalMillis: 5000, TimeoutMillis: 2000, Rise: 2, Fall: 3, OnUnhealthy: mesh.KeepConnections}
	must(t, n.rec.PutService(&db))
	for _, name := range []string{"db2", "db3"} {
		n.in[name].answers("tcp", ":7000")
		n.in[name].answers("tcp", ":9999")
	}
	n.settle()
	loopback := netip.MustParseAddr("127.0.0.1")
	for entry, m := range n.nodes {
		S := n.rec.Nodes[entry].MeshAddress()
		for proto, port := range map[string]uint16{"tcp": tcpPort, "udp": udpPort} {
			for range 2 {
				n.sees(n.client, proto, n.at(entry, port), S, "db2", "db3")
				n.sees(m, proto, n.at(entry, port), S, "db2", "db3")
				n.sees(m, proto, netip.AddrPortFrom(loopback, port), S, "db2", "db3")
			}
		}
		for _, name := range []string{"db2", "db3"} {
			checked := netip.AddrPortFrom(n.slot(name), 7000)
			if got := n.fromMesh(m, checked); got != name+" sees "+S.String() {
				t.Errorf("a check of %s from %s: %q", name, entry, got)
			}
			if entry != "n1" { // whose processes are members of another network
				n.sees(m, "tcp", checked, n.rec.Nodes[entry].HostAddress(), name)
			}
			n.refused(m, "tcp", netip.AddrPortFrom(n.slot(name), 9999))
		}
	}
	for node, name := range map[string]string{"n2": "db2", "n3": "db3"} {
		n.sees(n.client, "tcp", n.at(node, hostModePort), netip.MustParseAddr("192.168.77.100"), name)
	}
}

// fromMesh asks from the mesh's own namespace, as checks do.
func (n *networked) fromMesh(m *machine, to netip.AddrPort) (got string) {
	n.t.Helper()
	err := m.InMesh(func() (err error) {
		got, err = exchange("tcp", to.String(), func(net.Conn, io.Reader) error { return nil })
		return err
	})
	if err != nil {
		return err.Error()
	}
	return got
}

// A range of ports opens the containers to nodes, not to others.
func TestNetworks_PublishedRange(t *testing.T) {
	n := newNetworked(t)
	must(t, n.rec.PutPort(&mesh.PublishedPort{Service: "db", Published: 10000, Last: 10099, Target: 20000, Protocol: mesh.TCP, Mode: mesh.Ingress}))
	for _, name := range []string{"db2", "db3"} {
		n.in[name].answers("tcp", ":20005")
	}
	n.settle()
	for entry, m := range n.nodes {
		for range 2 {
			n.sees(n.client, "tcp", n.at(entry, 10005), n.rec.Nodes[entry].MeshAddress(), "db2", "db3")
			n.sees(m, "tcp", n.at(entry, 10005), n.rec.Nodes[entry].MeshAddress(), "db2", "db3")
		}
	}
	n.refused(n.in["web2"], "tcp", netip.AddrPortFrom(n.slot("db3"), 20005))
	n.refused(n.in["web2"], "tcp", netip.AddrPortFrom(n.slot("db2"), 20005))
}

// A container sends with its own address, or nothing of it arrives, whatever it may do in its
// own namespace.
func TestNetworks_ForgedSources(t *testing.T) {
	n := newNetworked(t)
	n.service("job", "front")
	n.settle()
	in, n2, n3 := n.in["web2"], n.rec.Nodes["n2"], n.rec.Nodes["n3"]
	own := n.slot("web2")
	for to, friend := range map[string]string{"web3": "web2", "job2": "web2", "db2": "db3", "db3": "db2"} {
		box := n.in[to].collects(9999)
		at := netip.AddrPortFrom(n.slot(to), 9999)
		for what, from := range map[string]netip.Addr{
			"another slot of its node": n.slot("job2"), "another network's slot of its node": n.slot("db2"), "S": n2.MeshAddress(), "H": n2.HostAddress(),
			"a VIP": n.vip("web", 0).Addr(), "another node's slot": n.slot("db3"), "another node's S": n3.MeshAddress(), "another node's H": n3.HostAddress(),
			"an address outside": netip.MustParseAddr("8.8.8.8"),
		} {
			if from != at.Addr() {
				in.sendsRaw(from, at, what)
			}
		}
		in.sendsRaw(own, at, "itself")
		n.in[friend].sendsRaw(n.slot(friend), at, "a friend")
		for deadline := time.Now().Add(20 * time.Second); !strings.Contains(fmt.Sprint(box.all()), "a friend") && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		}
		want := []string{"a friend from " + n.slot(friend).String()}
		if friend == "web2" {
			want = append([]string{"itself from " + own.String()}, want...)
		}
		if got := box.all(); !slices.Equal(got, want) {
			t.Errorf("%s hears %q, want %q", to, got, want)
		}
	}
}

// sendsRaw sends a datagram with any source, as a process with NET_RAW does.
func (m *machine) sendsRaw(from netip.Addr, to netip.AddrPort, text string) {
	m.t.Helper()
	const ipHeader, udpHeader = 20, 8
	packet := make([]byte, ipHeader+udpHeader, ipHeader+udpHeader+len(text))
	source, target := from.As4(), to.Addr().As4()
	packet[0], packet[8], packet[9] = 4<<4|ipHeader/4, 64, unix.IPPROTO_UDP // the kernel adds length and checksum
	copy(packet[12:], source[:])
	copy(packet[16:], target[:])
	binary.BigEndian.PutUint16(packet[ipHeader:], 9998)
	binary.BigEndian.PutUint16(packet[ipHeader+2:], to.Port())
	binary.BigEndian.PutUint16(packet[ipHeader+4:], uint16(udpHeader+len(text)))
	packet = append(packet, text...)
	m.in(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, packet, 0, &unix.SockaddrInet4{Addr: target})
	})
}

// The overlay changes its flag with the first network of a cluster and with the last one: it is
// made again, what is published works before and after, and connections go on.
func TestNetworks_FirstAndLast(t *testing.T) {
	p := newPreserving(t, "n3")
	p.publish("")
	p.serveAll("n3")
	S := p.rec.Nodes["n1"].MeshAddress().String()
	stays, err := connectFrom(p.client, "tcp", netip.AddrPort{}, p.at("n1", tcpPort))
	must(t, err)
	defer stays.Close()
	p.line(stays)
	works := func(when string, flag bool) {
		t.Helper()
		for name, m := range p.nodes {
			m.reach(compile.Compile(p.rec, name, runningKernel(t), compile.Conditions{}), 3)
			if got := strings.Contains(m.mesh("ip -d link show vx0"), " gbp "); got != flag {
				t.Errorf("%s: the flag gbp of %s: %t", when, name, got)
			}
		}
		for _, proto := range both {
			port := map[string]uint16{"tcp": tcpPort, "udp": udpPort}[proto]
			if got := p.client.greeting(proto, p.at("n1", port).String()); got != "n3 sees "+S {
				t.Errorf("%s: %s: %q", when, proto, got)
			}
		}
		if _, err := fmt.Fprintln(stays, when); err != nil {
			t.Fatal(err)
		}
		if got := p.line(stays); got != when {
			t.Errorf("%s: an open connection says %q", when, got)
		}
	}
	works("without networks", false)
	before := p.nodes["n1"].observe()
	must(t, p.rec.PutNetwork(&mesh.Network{Name: "front", Hosts: []string{"n1"}}))
	works("with the first network", true)
	must(t, p.rec.RemoveNetwork("front"))
	works("after the last network", false)
	if ops := state.Plan(before, p.nodes["n1"].observe()); len(ops) > 0 {
		t.Errorf("the last network leaves:\n%s", text(ops))
	}
}

// Whatever another program breaks of it is seen, and repaired.
func TestNetworks_Faults(t *testing.T) {
	n := newNetworked(t)
	node := n.nodes["n2"]
	want := compile.Compile(n.rec, "n2", runningKernel(t), n.now)
	w := node.watch(t)
	slot := n.slot("web2").String()
	for name, breaks := range map[string]string{
		"a chain is flushed":               "iptables -t mangle -F PREROUTING",
		"a rule is gone":                   "iptables -D FORWARD 1",
		"an identity is gone":              "ipset del routingmesh-id " + slot,
		"a peer is gone":                   "ipset flush routingmesh-peer",
		"a VIP is gone":                    "ipset flush routingmesh-vip",
		"an address is open":               "ipset add routingmesh-open " + slot + ",tcp:1234",
		"a VIP has another scheduler":      "true",
		"an identity is another":           fmt.Sprintf("ipset add routingmesh-id %s skbmark 0x77 -exist", slot),
		"a setting is another":             "sysctl -qw net.ipv4.fwmark_reflect=0",
		"the VIPs are nobody's":            "ip route del local 10.255.255.0/24 dev lo table local",
		"the overlay is another":           "ip link del vx0",
		"a set of another program is ours": "ipset create routingmesh-else hash:ip",
	} {
		w.Cover(kernel.Full)
		if name == "a VIP has another scheduler" {
			b := want[state.VirtualServer{Addr: n.vip("web", 0)}.Key()].(state.VirtualServer)
			b.Scheduler = "wrr"
			node.apply([]state.Op{{Action: state.Change, Old: b, New: b}})
		} else {
			node.mesh(breaks)
		}
		if len(node.plan(want)) == 0 {
			t.Errorf("%s: nothing is to be done", name)
		}
		if strings.Contains(name, " gone") || strings.Contains(name, "flushed") || strings.Contains(name, "open") {
			until(t, repairedWithin, name+": the watch wakes", w.Pending)
		}
		node.reach(want, 3)
	}
	n.sees(n.in["web3"], "tcp", netip.AddrPortFrom(n.slot("web2"), 80), n.slot("web3"), "web2")
	n.refused(n.in["db3"], "tcp", netip.AddrPortFrom(n.slot("web2"), 80))
	if ops, err := node.Differences(t.Context(), kernel.Full, want); err != nil || len(ops) > 0 {
		t.Errorf("%v:\n%s", err, text(ops))
	}
	part := state.State{}
	for key, o := range want {
		if kernel.InPart(key) {
			part[key] = o
		}
	}
	there, err := node.ObservePart(t.Context(), part)
	must(t, err)
	if ops := state.Plan(part, there); len(ops) > 0 {
		t.Errorf("a part is observed as other:\n%s", text(ops))
	}
	node.reach(state.State{}, 1)
}

// A slot that has left the record goes on with what it has, and only nodes and its former
// networks reach it.
func TestNetworks_Leaving(t *testing.T) {
	n := newNetworked(t)
	n.service("job", "front")
	n.settle()
	leaves := n.slot("web2")
	conn, err := connectFrom(n.in["web2"], "tcp", netip.AddrPort{}, netip.AddrPortFrom(n.slot("job3"), 80))
	must(t, err)
	defer conn.Close()
	n.line(conn)
	web := *n.rec.Services["web"]
	web.Endpoints = map[string]mesh.Endpoint{"n3": web.Endpoints["n3"]}
	must(t, n.rec.PutService(&web))
	n.now.Leaving = map[netip.Addr]mesh.NetworkSet{leaves: "front"}
	n.settle()
	if _, err := fmt.Fprintln(conn, "still there"); err != nil {
		t.Fatal(err)
	}
	if got := n.line(conn); got != "still there" {
		t.Errorf("an open connection says %q", got)
	}
	n.sees(n.in["job2"], "tcp", netip.AddrPortFrom(leaves, 80), n.slot("job2"), "web2")
	n.sees(n.nodes["n3"], "tcp", netip.AddrPortFrom(leaves, 80), n.rec.Nodes["n3"].HostAddress(), "web2")
	n.refused(n.in["db3"], "tcp", netip.AddrPortFrom(leaves, 80))
}

// The rules are the same where iptables is the legacy one.
func TestNetworks_LegacyTables(t *testing.T) {
	useLegacy(t)
	n := newNetworked(t)
	for _, m := range n.nodes { // its firewall is of nf_tables
		m.run("iptables -P INPUT ACCEPT; iptables -P FORWARD ACCEPT")
	}
	n.service("job", "front")
	n.settle()
	n.sees(n.in["job2"], "tcp", n.vip("web", 80), n.slot("job2"), "web2", "web3")
	n.sees(n.nodes["n1"], "udp", n.vip("web", 53), n.rec.Nodes["n1"].HostAddress(), "web2", "web3")
	n.refused(n.in["job2"], "tcp", n.vip("db", 80))
	n.refused(n.in["job2"], "udp", netip.AddrPortFrom(n.slot("db3"), 53))
	w := n.nodes["n2"].watch(t)
	w.Cover(kernel.Full)
	n.nodes["n2"].mesh("/usr/sbin/iptables-legacy -F FORWARD")
	until(t, repairedWithin, "a flush wakes", w.Pending)
}
