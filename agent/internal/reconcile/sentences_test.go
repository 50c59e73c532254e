package reconcile

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

var update = flag.Bool("update", false, "write the golden files")

func serverOf(rec *mesh.Record, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(rec.Nodes["n1"].MeshAddress(), port)
}

// Every kind of object we own, in every way in which it can be wrong: to be read
// aloud.
func TestSentences(t *testing.T) {
	r, _ := newReconciler(newFakeKernel())
	r.keepTo(record(t, 0), "n1")
	var lines []string
	for _, op := range everyDrift(t) {
		problems := r.problems(newPlan([]state.Op{op}))
		lines = append(lines, strings.TrimSuffix(texts(problems), "\n"))
	}
	got := strings.Join(lines, "\n") + "\n"
	path := filepath.Join("testdata", "sentences.golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, path, got, string(want))
}

func everyDrift(t *testing.T) (ops []state.Op) {
	t.Helper()
	a, p := netip.MustParseAddr, netip.MustParseAddrPort
	missing := func(o state.Object) { ops = append(ops, state.Op{Action: state.Add, New: o}) }
	extra := func(o state.Object) { ops = append(ops, state.Op{Action: state.Remove, Old: o}) }
	changed := func(was, is state.Object) { ops = append(ops, state.Op{Action: state.Change, Old: was, New: is}) }

	missing(state.NetNS{})
	changed(state.NetNS{Fault: "its loopback link is down"}, state.NetNS{})
	missing(state.Veth{MTU: 1450})
	changed(state.Veth{MTU: 1450, Fault: "down"}, state.Veth{MTU: 1450})
	changed(state.Veth{MTU: 1400}, state.Veth{MTU: 1450})
	vx := state.VXLAN{VNI: 7, Port: 4789, Local: a("192.0.2.1"), MAC: "02:52:0a:ff:00:01", MTU: 1450}
	other := vx
	other.VNI = 8
	faulty := vx
	faulty.Fault = "learning is on"
	missing(vx)
	changed(other, vx)
	changed(faulty, vx)
	address := state.Addr{NS: state.Mesh, Link: "lo", Prefix: netip.MustParsePrefix("10.255.0.1/32")}
	missing(address)
	extra(address)
	route := state.Route{NS: state.Mesh, Table: 254, Dst: netip.MustParsePrefix("10.255.1.0/24"), Via: a("10.255.1.1"), Dev: "vx0", Src: a("10.255.0.1"), OnLink: true}
	elsewhere := route
	elsewhere.Via = a("10.255.9.1")
	missing(route)
	changed(elsewhere, route)
	extra(state.Route{Table: 254, Dst: netip.MustParsePrefix("203.0.113.0/24"), Dev: "rmesh0"})
	rule := state.Rule{From: netip.MustParsePrefix("10.255.0.2/32"), Table: 10255, Priority: 10255}
	missing(rule)
	changed(state.Rule{From: netip.MustParsePrefix("10.255.0.2/32"), Table: 7, Priority: 10255}, rule)
	extra(rule)
	neighbour := state.Neigh{Addr: a("10.255.1.1"), MAC: "02:52:0a:ff:01:01"}
	missing(neighbour)
	changed(state.Neigh{Addr: a("10.255.1.1"), MAC: "02:00:00:00:00:01"}, neighbour)
	extra(neighbour)
	fdb := state.FDB{MAC: "02:52:0a:ff:01:01", Dst: a("192.0.2.2")}
	missing(fdb)
	changed(state.FDB{MAC: fdb.MAC, Dst: a("192.0.2.9")}, fdb)
	extra(fdb)
	forward := state.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"}
	missing(forward)
	changed(state.Sysctl{Name: forward.Name, Value: "0"}, forward)
	extra(forward)
	set := state.Set{Name: "routingmesh-tcp", Type: state.BitmapPort}
	missing(set)
	changed(state.Set{Name: set.Name, Type: set.Type, Fault: "only for ports 8000-9000"}, set)
	changed(state.Set{Name: set.Name, Type: state.HashIP}, set)
	extra(state.Set{Name: "routingmesh-old", Type: state.HashIP})
	missing(state.SetMember{Set: "routingmesh-tcp", Port: 8080})
	ports := state.SetMember{Set: "routingmesh-tcp", Port: 10000, Last: 10999}
	holes := ports
	holes.Lacks = "10003, 10100-10119"
	missing(ports)
	changed(holes, ports)
	extra(state.SetMember{Set: "routingmesh-tcp", Port: 11000, Last: 11999})
	missing(state.SetMember{Set: "routingmesh-peers", Addr: a("192.0.2.2")})
	missing(state.SetMember{Set: "routingmesh-listen-0", Addr: a("192.0.2.0"), Bits: 24, Port: 443, Proto: "tcp"})
	extra(state.SetMember{Set: "routingmesh-listen-host-1", Addr: a("192.0.2.7"), Bits: 32, Port: 443, Proto: "tcp"})
	missing(state.SetMember{Set: "routingmesh-allow-1", Addr: a("192.0.2.0"), Bits: 24, Port: 53, Proto: "udp"})
	extra(state.SetMember{Set: "routingmesh-udp", Port: 1000})
	extra(state.SetMember{Set: "routingmesh-peers", Addr: a("192.0.2.9")})
	chain := state.Chain{Table: "nat", Name: "ROUTINGMESH", Hooks: "PREROUTING,OUTPUT", JumpMatch: "-m addrtype --dst-type LOCAL", Rules: "-i rmesh0 -j RETURN\n-p tcp -j DNAT"}
	missing(chain)
	extra(state.Chain{Table: "mangle", Name: "ROUTINGMESH-OLD"})
	extra(state.Chain{NS: state.Mesh, Table: "filter", Name: "FORWARD", Rules: "-j DROP"})
	for _, edit := range []func(*state.Chain){
		func(c *state.Chain) { c.Rules = "" },
		func(c *state.Chain) { c.Rules = "-p tcp -j DNAT" },
		func(c *state.Chain) { c.Rules = "-j DROP\n" + c.Rules },
		func(c *state.Chain) { c.Rules = "-p tcp -j DNAT\n-i rmesh0 -j RETURN" },
		func(c *state.Chain) { c.Hooks = "OUTPUT" },
		func(c *state.Chain) { c.Hooks, c.JumpMatch = "", "" },
		func(c *state.Chain) { c.Hooks = "PREROUTING,INPUT,OUTPUT" },
		func(c *state.Chain) { c.Hooks = "PREROUTING,OUTPUT,OUTPUT" },
		func(c *state.Chain) { c.JumpMatch = "-p tcp" },
	} {
		was := chain
		edit(&was)
		changed(was, chain)
	}
	server := state.VirtualServer{Proto: "tcp", Addr: p("10.255.0.1:8080"), Scheduler: "rr"}
	missing(server)
	changed(state.VirtualServer{Proto: "tcp", Addr: server.Addr, Scheduler: "wlc"}, server)
	changed(state.VirtualServer{Proto: "tcp", Addr: server.Addr, Scheduler: "rr", AffinitySeconds: 300, AffinityBits: 32}, server)
	changed(state.VirtualServer{Proto: "tcp", Addr: server.Addr, Scheduler: "rr", Fault: "its destinations are in another order than on the other nodes"}, server)
	changed(state.Timeouts{TCPSeconds: 900, UDPSeconds: 300}, state.Timeouts{TCPSeconds: 7800, UDPSeconds: 300})
	missing(state.Timeouts{TCPSeconds: 7800, UDPSeconds: 300})
	extra(server)
	destination := state.RealServer{Proto: "tcp", Server: server.Addr, Addr: p("10.255.1.2:80"), Weight: 1}
	missing(destination)
	changed(state.RealServer{Proto: "tcp", Server: server.Addr, Addr: destination.Addr, Weight: 5}, destination)
	changed(state.RealServer{Proto: "tcp", Server: server.Addr, Addr: destination.Addr, Weight: 1, Fault: "not masquerading"}, destination)
	extra(destination)
	for _, lost := range []state.OwnFile{
		{What: "systemd unit", Path: "/etc/systemd/system/routingmesh-agent.service", Fault: "is not enabled, so that the agent would not start at the next boot"},
		{What: "program", Path: "/usr/local/lib/routingmesh/0123456789ab/routingmesh-agent", Fault: "is missing, so that the agent would not start again"},
		{What: "link", Path: "/usr/local/bin/routingmesh-agent", Fault: "leads to /bin/true, so that the agent would not start again"},
		{What: "record", Path: "/var/lib/routingmesh/record.json", Fault: "is missing, so that the node would have no ports after its next boot"},
	} {
		changed(lost, state.OwnFile{What: lost.What, Path: lost.Path})
	}
	return ops
}
