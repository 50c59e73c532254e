//go:build kernel

package kernel_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/selftest"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// newRanging is three nodes and a client, without ports. Endpoints of the service web are on
// n2 and n3, of the service three on n3.
func newRanging(t *testing.T) *preserving {
	t.Helper()
	p := newPreserving(t, "n2", "n3")
	must(t, p.rec.PutService(&mesh.Service{Name: "three", Endpoints: map[string]mesh.Endpoint{"one": {Node: "n3"}}}))
	p.rec.RemovePort(mesh.PortKey{Port: tcpPort, Protocol: mesh.TCP})
	p.rec.RemovePort(mesh.PortKey{Port: udpPort, Protocol: mesh.UDP})
	return p
}

// ranges publishes a range by tcp and udp.
func (p *preserving) ranges(port mesh.PublishedPort) {
	p.t.Helper()
	for _, proto := range []mesh.Protocol{mesh.TCP, mesh.UDP} {
		port.Protocol = proto
		if port.Mode == "" {
			port.Mode = mesh.Ingress
		}
		copied := port
		must(p.t, p.rec.PutPort(&copied))
	}
}

// listens has processes on the node that answer on the ports, with their node and port.
func (p *preserving) listens(name string, ports ...int) {
	for _, port := range ports {
		serves(p.nodes[name], fmt.Sprintf("%s:%d", name, port))
	}
}

// answered asks and wants the target of the port, of one of the nodes, which sees the address.
func (p *preserving) answered(from *machine, proto string, to netip.AddrPort, target int, sees string, nodes ...string) {
	p.t.Helper()
	got := from.greeting(proto, to.String())
	for _, name := range nodes {
		if got == fmt.Sprintf("%s:%d sees %s", name, target, sees) {
			return
		}
	}
	p.t.Errorf("%s from %s to %s: %q, want port %d of one of %v, which sees %s", proto, from.name, to, got, target, nodes, sees)
}

// Each port of a range leads to its target, through every node and from every node, by tcp and
// udp; targets of two ranges may be the same, of different services. Behind the hosts' own
// firewalls, and routing rules by any mark.
func TestRanges_Packets(t *testing.T) {
	p := newRanging(t)
	p.ranges(mesh.PublishedPort{Service: "web", Published: 10000, Last: 10999, Target: 20000})
	p.ranges(mesh.PublishedPort{Service: "three", Published: 11000, Last: 11999, Target: 20000})
	p.ranges(mesh.PublishedPort{Service: "web", Published: 30000, Last: 30009, Target: 30000})
	p.ranges(mesh.PublishedPort{Service: "web", Published: 20001, Target: 30001})
	for _, m := range p.nodes {
		m.run("ip rule add fwmark 0x52000000/0xff000000 unreachable") // of what would leave with a range's mark
	}
	for _, name := range []string{"n2", "n3"} {
		p.listens(name, 20000, 20500, 20999, 30000, 30001, 30009)
	}
	p.reach(compile.Conditions{})
	loopback := netip.MustParseAddr("127.0.0.1")
	for _, proto := range both {
		for entry, m := range p.nodes {
			sees := p.rec.Nodes[entry].MeshAddress().String()
			for published, target := range map[uint16]int{10000: 20000, 10500: 20500, 10999: 20999, 30000: 30000, 30009: 30009, 20001: 30001} {
				for range 2 { // both endpoints
					p.answered(p.client, proto, p.at(entry, published), target, sees, "n2", "n3")
				}
				p.answered(m, proto, netip.AddrPortFrom(loopback, published), target, sees, "n2", "n3")
				p.answered(m, proto, p.at(entry, published), target, sees, "n2", "n3")
			}
			for published, target := range map[uint16]int{11000: 20000, 11500: 20500, 11999: 20999} {
				p.answered(p.client, proto, p.at(entry, published), target, sees, "n3")
			}
		}
	}
	if got := p.client.ask("tcp", p.at("n1", 10500).String()); !strings.Contains(got, ":20500 sees") { // a large message both ways
		t.Errorf("a large message: %q", got)
	}
	for _, port := range []uint16{9999, 12000, 20000, 30010} {
		if got := p.client.greeting("tcp", p.at("n1", port).String()); strings.Contains(got, "sees") {
			t.Errorf("port %d, which is in no range, answers %q", port, got)
		}
	}
	for _, m := range p.nodes {
		m.reach(state.State{}, 1)
	}
}

// Host mode and preserved addresses show the client's own; who may connect is asked.
func TestRanges_ClientAddresses(t *testing.T) {
	p := newRanging(t)
	p.ranges(mesh.PublishedPort{Service: "web", Published: 12000, Last: 12009, Target: 13000, Mode: mesh.Host})
	p.ranges(mesh.PublishedPort{Service: "web", Published: 14000, Last: 14009, Target: 15000, ClientAddress: mesh.Preserve})
	p.ranges(mesh.PublishedPort{Service: "web", Published: 16000, Last: 16009, Target: 13000, AllowedCIDRs: "192.168.77.2/32"})
	for _, name := range []string{"n2", "n3"} {
		p.listens(name, 13005, 15005)
	}
	p.reach(compile.Conditions{})
	const client = "192.168.77.100"
	for _, entry := range []string{"n2", "n3"} {
		own := p.rec.Nodes[entry].MeshAddress().String()
		p.answered(p.client, "tcp", p.at(entry, 12005), 13005, client, entry)
		p.answered(p.nodes[entry], "tcp", p.at(entry, 12005), 13005, own, entry)
		p.answered(p.client, "udp", p.at(entry, 12005), 13005, own, entry)
	}
	for _, proto := range both {
		for entry := range p.nodes {
			own := p.rec.Nodes[entry].MeshAddress().String()
			p.answered(p.client, proto, p.at(entry, 14005), 15005, client, "n2", "n3")
			p.answered(p.nodes["n1"], proto, p.at(entry, 14005), 15005, own, "n2", "n3")
			if got := p.client.greeting(proto, p.at(entry, 16005).String()); got != "refused" {
				t.Errorf("%s to a limited range: %q", proto, got)
			}
		}
		p.answered(p.nodes["n2"], proto, p.at("n1", 16005), 13005, "10.255.0.1", "n2", "n3")
		p.answered(p.nodes["n1"], proto, p.at("n1", 16005), 13005, "10.255.0.1", "n2", "n3")
	}
}

// A range grows, shrinks and gets other targets in place: nothing is lost of what stays, and
// a port that leaves is closed with its connections.
func TestRanges_Changes(t *testing.T) {
	p := newRanging(t)
	must(t, p.rec.PutService(&mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"one": {Node: "n2"}}}))
	p.listens("n2", 10005, 10505, 20005, 20505, 20605)
	put := func(last, target uint16) {
		t.Helper()
		p.ranges(mesh.PublishedPort{Service: "web", Published: 10000, Last: last, Target: target})
		p.reach(compile.Conditions{})
	}
	s := &sides{t: t, a: p.nodes["n1"], c: p.client}
	put(10599, 20000)
	to := func(port uint16) string { return p.at("n1", port).String() }
	stays, leaves := s.keep(to(10005)), s.keep(to(10505))
	udpStays, udpLeaves := talk(t, p.client, to(10005)), talk(t, p.client, to(10505))
	const sees = " sees 10.255.0.1\n"
	udpStays.isAnswered("the beginning", "n2:20005"+sees)
	udpLeaves.isAnswered("the beginning", "n2:20505"+sees)
	asker := p.client.keepAsking(to(10005), "n2:20005 sees 10.255.0.1")
	p.isCounted("n1", netip.MustParseAddrPort("244.0.39.16:10000"), netip.MustParseAddrPort("10.255.1.2:0"))
	put(29999, 20000)
	asker.next(t)
	stays.goesOn("it has grown")
	leaves.goesOn("it has grown")
	p.answered(p.client, "tcp", p.at("n1", 10605), 20605, "10.255.0.1", "n2")
	put(10499, 20000)
	asker.next(t)
	stays.goesOn("it has shrunk")
	udpStays.isAnswered("it has shrunk", "n2:20005"+sees)
	leavesNothing(t, leaves, p.client, to(10505))
	udpLeaves.isSilent("its port has left the range")
	put(10599, 20000)
	asker.next(t)
	udpLeaves.isAnswered("its port is back", "n2:20505"+sees)
	asker.end(t)
	put(10599, 10000)
	stays.goesOn("new connections get other targets")
	p.answered(p.client, "tcp", p.at("n1", 10505), 10505, "10.255.0.1", "n2")
	udpStays.isAnswered("the range has other targets", "n2:10005"+sees)
	p.rec.RemovePort(mesh.PortKey{Port: 10000, Protocol: mesh.TCP})
	p.rec.RemovePort(mesh.PortKey{Port: 10000, Protocol: mesh.UDP})
	p.reach(compile.Conditions{})
	if err := stays.says(); err == nil {
		t.Error("the range is gone, and a connection goes on")
	}
	udpStays.isSilent("the range is gone")
	for key := range p.nodes["n1"].observe() {
		if strings.HasPrefix(key.A.String(), "244.") || key.Name == "mangle/INPUT" {
			t.Errorf("%v is left of the ranges", key)
		}
	}
}

// isCounted wants open connections of the range at its destination, of all ports together.
func (p *preserving) isCounted(name string, server, destination netip.AddrPort) {
	p.t.Helper()
	loads, err := p.nodes[name].Loads(context.Background())
	must(p.t, err)
	if load := loads[state.RealServer{Proto: "tcp", Server: server, Addr: destination}.Key()]; load.Active < 2 {
		p.t.Errorf("%d connections are open at %s, want 2 at least: %v", load.Active, destination, loads)
	}
	servers, err := p.nodes[name].Servers(context.Background())
	must(p.t, err)
	if !slices.ContainsFunc(servers, func(s kernel.Server) bool {
		return s.Proto == mesh.TCP && s.Addr == server && len(s.Destinations) == 1 && s.Destinations[0].Addr == destination
	}) {
		p.t.Errorf("no counters of %s: %+v", server, servers)
	}
}

// leavesNothing wants neither a connection that goes on, nor a new one. The hosts drop what
// nothing accepts, so no reset is sent.
func leavesNothing(t *testing.T, open *openConnection, from *machine, to string) {
	t.Helper()
	if err := open.says(); err == nil {
		t.Error("the connection to a port that has left the range goes on")
	}
	if got := from.greeting("tcp", to); strings.Contains(got, "sees") {
		t.Errorf("a port that has left the range answers %q", got)
	}
}

// 20,000 ports are applied, read and repaired as one.
func TestRanges_TwentyThousandPorts(t *testing.T) {
	m := newMachine(t, "a")
	rec := crashRecord(t)
	m.reach(compile.Compile(rec, "n1", runningKernel(t), compile.Conditions{}), 1)
	for _, proto := range []mesh.Protocol{mesh.TCP, mesh.UDP} {
		must(t, rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 10000, Last: 29999, Target: 30000, Protocol: proto, Mode: mesh.Ingress}))
	}
	want := compile.Compile(rec, "n1", runningKernel(t), compile.Conditions{})
	ops := m.plan(want)
	if len(ops) > 20 {
		t.Errorf("40,000 ports are %d ops", len(ops))
	}
	if took := timed(t, fmt.Sprintf("apply 20,000 ports of tcp and of udp (%d ops)", len(ops)), func() { m.apply(ops) }); took > 10*time.Second {
		t.Errorf("20,000 ports took %s", took)
	}
	timed(t, "observe everything", func() { m.observe() })
	timed(t, "plan nothing", func() {
		if ops := m.plan(want); len(ops) > 0 {
			t.Errorf("%d ops left: %s", len(ops), text(ops))
		}
	})
	if size := m.run("ipset list -t routingmesh-tcp | sed -n 's/Number of entries: //p'"); strings.TrimSpace(size) != "20001" {
		t.Errorf("the set has %s members", size)
	}
	m.run("ipset del routingmesh-tcp 10003; ipset del routingmesh-udp 20000-20009; ipset add routingmesh-tcp 9000-9099")
	ops = m.plan(want)
	const wanted = "The ipset routingmesh-tcp has ports 9000-9099, which the record does not ask for.\n" +
		"The ipset routingmesh-tcp lacks 10003 of the ports 10000-29999, so that no traffic gets in there.\n" +
		"The ipset routingmesh-udp lacks 20000-20009 of the ports 10000-29999, so that no traffic gets in there."
	var sentences []string
	for _, op := range ops {
		sentences = append(sentences, op.Sentence())
	}
	if got := strings.Join(sentences, "\n"); got != wanted {
		t.Errorf("holes are\n%s\nwant\n%s", got, wanted)
	}
	m.apply(ops)
	m.reach(want, 1)
	m.mesh("ipvsadm -D -f $((0x52002710)) || true; iptables -t mangle -F INPUT")
	m.reach(want, 1)
	m.reach(state.State{}, 1)
}

// An agent that is killed while it makes, changes or removes a range is followed by one that
// ends it, and no request of another port is lost.
func TestKilled_AtAnyWriteOfARange(t *testing.T) {
	k := newCrashMesh(t, true)
	put := func(last, target uint16) func(*mesh.Record) error {
		return func(r *mesh.Record) error {
			return r.PutPort(&mesh.PublishedPort{Service: "web", Published: 10000, Last: last, Target: target, Protocol: mesh.TCP, Mode: mesh.Ingress})
		}
	}
	k.oneAfterTheOther(put(10999, 20000))
	k.oneAfterTheOther(put(10499, 30000))
	k.oneAfterTheOther(func(r *mesh.Record) error {
		r.RemovePort(mesh.PortKey{Port: 10000, Protocol: mesh.TCP})
		return nil
	})
}

// The self-test goes by the first port of a range, and knows the endpoint that drops it.
func TestRanges_SelfTest(t *testing.T) {
	s := newSides(t, true)
	serves(s.b, "priv:20000")
	must(t, s.rec.PutPort(&mesh.PublishedPort{Service: "priv", Published: 10000, Last: 10999, Target: 20000, Protocol: mesh.TCP, Mode: mesh.Ingress}))
	s.reach()
	passed := func(tester *selftest.Tester, want mesh.PathTest) func() bool {
		return func() bool { got := tester.Summary(); return got != nil && got.Path == want }
	}
	tester, end := s.testsItself(privateA)
	until(t, time.Minute, "the path of the range passes", passed(tester, mesh.PathPasses))
	end()
	s.b.run("iptables -I INPUT -p tcp --dport 20000 -j DROP")
	tester, _ = s.testsItself(privateA)
	until(t, time.Minute, "an endpoint that drops it fails", passed(tester, mesh.PathFails))
	if w := tester.Warnings(); len(w) != 1 || !strings.Contains(w[0].Text, "endpoint one (10.255.1.2)") {
		t.Errorf("it warns %v", w)
	}
}

// A client stays at its endpoint for all ports of a range, by affinity on a node, and by its
// address on all of them.
func TestRanges_Affinity(t *testing.T) {
	p := newRanging(t)
	on := map[string]mesh.Endpoint{"two": {Node: "n2"}, "three": {Node: "n3"}}
	for _, name := range []string{"n2", "n3"} {
		p.listens(name, 20000, 20500, 20999)
	}
	for name, s := range map[string]*mesh.Service{
		"affinity": {Name: "web", Endpoints: on, Affinity: &mesh.Affinity{TimeoutSeconds: 300, PrefixLength: 32}},
		"mh":       {Name: "web", Endpoints: on, Scheduler: "mh"},
	} {
		must(t, p.rec.PutService(s))
		p.ranges(mesh.PublishedPort{Service: "web", Published: 10000, Last: 10999, Target: 20000})
		p.reach(compile.Conditions{})
		for _, proto := range both {
			seen := map[string]bool{}
			for _, entry := range []string{"n1", "n2", "n3"} {
				for _, port := range []uint16{10000, 10500, 10999} {
					by, _, _ := strings.Cut(p.client.greeting(proto, p.at(entry, port).String()), ":")
					if name == "affinity" {
						by += " by " + entry
					}
					seen[by] = true
				}
			}
			if want := map[string]int{"affinity": 3, "mh": 1}[name]; len(seen) != want {
				t.Errorf("%s by %s: a client is led to %v, want %d", name, proto, seen, want)
			}
		}
	}
}
