//go:build kernel

package kernel_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// node is one node of the mesh of the tests: block 10.255.N.0/24, underlay
// address 192.168.77.N.
type node int

func (n node) S() netip.Addr           { return addr("10.255.%d.1", n) }
func (n node) H() netip.Addr           { return addr("10.255.%d.2", n) }
func (n node) P() netip.Addr           { return addr("10.255.%d.3", n) }
func (n node) T() netip.Addr           { return addr("10.255.%d.4", n) }
func (n node) underlay() netip.Addr    { return addr("192.168.77.%d", n) }
func (n node) block() netip.Prefix     { return netip.MustParsePrefix(fmt.Sprintf("10.255.%d.0/24", n)) }
func (n node) mac() string             { return fmt.Sprintf("02:52:0a:ff:%02x:01", int(n)) }
func addr(f string, n node) netip.Addr { return netip.MustParseAddr(fmt.Sprintf(f, int(n))) }
func one(a netip.Addr) netip.Prefix    { return netip.PrefixFrom(a, 32) }

const mtu = 1450

// desired is docs/design/data-path.md, written out for one node.
func desired(t *testing.T, self node, others ...node) state.State {
	t.Helper()
	s := state.State{}
	s.Put(
		state.NetNS{},
		state.Veth{MTU: mtu},
		state.Neigh{Link: "rmesh0", Addr: self.S(), MAC: "02:52:00:00:00:01"},
		state.Neigh{Link: "host0", Addr: self.H(), MAC: "02:52:00:00:00:02"},
		state.VXLAN{VNI: 2100, Port: 4789, Local: self.underlay(), MAC: self.mac(), MTU: mtu},
		state.Addr{NS: state.Host, Link: "rmesh0", Prefix: one(self.H())},
		state.Addr{NS: state.Mesh, Link: "lo", Prefix: one(self.S())},
		state.Addr{NS: state.Mesh, Link: "lo", Prefix: one(self.P())},
		state.Route{NS: state.Host, Table: 254, Dst: one(self.S()), Dev: "rmesh0", Src: self.H()},
		state.Route{NS: state.Host, Table: 254, Dst: netip.MustParsePrefix("10.255.0.0/16"), Via: self.S(), Dev: "rmesh0", Src: self.H()},
		state.Route{NS: state.Host, Table: 10255, Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: self.S(), Dev: "rmesh0"},
		state.Rule{From: one(self.H()), Table: 10255, Priority: 10255},
		state.Route{NS: state.Mesh, Table: 254, Dst: one(self.H()), Dev: "host0", Src: self.S()},
		state.Route{NS: state.Mesh, Table: 254, Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: self.H(), Dev: "host0", OnLink: true},
		state.Route{NS: state.Mesh, Table: 254, Dst: one(self.T()), Via: self.H(), Dev: "host0", OnLink: true},
		state.Route{NS: state.Mesh, Table: 254, Dst: netip.MustParsePrefix("10.255.0.0/16"), Unreachable: true},
	)
	for _, name := range []string{"tcp", "udp", "host-tcp", "keep-tcp", "keep-udp", "ep-tcp", "ep-udp", "limit-tcp", "limit-udp"} {
		s.Put(state.Set{Name: "routingmesh-" + name, Type: state.BitmapPort})
	}
	s.Put(state.Set{Name: "routingmesh-peers", Type: state.HashIP})
	s.Put(state.Set{Name: "routingmesh-allow-tcp", Type: state.HashNetPort}, state.Set{Name: "routingmesh-allow-udp", Type: state.HashNetPort})
	for _, o := range others {
		s.Put(
			state.Neigh{Addr: o.S(), MAC: o.mac()},
			state.FDB{MAC: o.mac(), Dst: o.underlay()},
			state.Route{NS: state.Mesh, Table: 254, Dst: o.block(), Via: o.S(), Dev: "vx0", Src: self.S(), OnLink: true},
			state.SetMember{Set: "routingmesh-peers", Addr: o.underlay()},
		)
	}
	chains(s, self)
	s.Put(state.Idle(2*time.Hour, 5*time.Minute)...)
	for _, m := range state.ManagedSysctls(runningKernel(t)) {
		s.Put(m.Sysctl)
	}
	return s
}

// ofVNI2100 is tcpdump's notation, too: ldxb 4*([0]&0xf); ld [x + 12]; and #0xffffff00; jeq #2100<<8; ret.
const ofVNI2100 = "6,177 0 0 0,64 0 0 12,84 0 0 4294967040,21 0 1 537600,6 0 0 1,6 0 0 0"

func chains(s state.State, self node) {
	fill := strings.NewReplacer("$S", self.S().String(), "$H", self.H().String(), "$P", self.P().String(), "$T", self.T().String(), "$VNI", ofVNI2100)
	rules := func(lines string) string {
		return strings.ReplaceAll(strings.TrimSpace(fill.Replace(lines)), "\n\t\t", "\n")
	}
	s.Put(
		state.Chain{Table: "nat", Name: "ROUTINGMESH", Hooks: "PREROUTING,OUTPUT", JumpMatch: "-m addrtype --dst-type LOCAL", Rules: rules(`
		-i rmesh0 -j RETURN
		-p tcp -m set --match-set routingmesh-tcp dst -j DNAT --to-destination $S
		-p udp -m set --match-set routingmesh-udp dst -j DNAT --to-destination $S
		-p tcp -m set --match-set routingmesh-host-tcp dst -j DNAT --to-destination $P`)},
		state.Chain{Table: "nat", Name: "ROUTINGMESH-POST", Hooks: "POSTROUTING", Rules: rules(`
		! -s $H/32 -o rmesh0 -m addrtype --src-type LOCAL -j SNAT --to-source $H`)},
		state.Chain{Table: "filter", Name: "ROUTINGMESH-IN", Hooks: "INPUT", Rules: rules(`
		-p udp -m udp --dport 4789 -m set --match-set routingmesh-peers src -j ACCEPT
		-p udp -m udp --dport 4789 -m bpf --bytecode "$VNI" -j DROP
		! -d $H/32 -p tcp -m conntrack --ctstate INVALID -m set --match-set routingmesh-tcp dst -j DROP
		! -d $H/32 -p tcp -m conntrack --ctstate INVALID -m set --match-set routingmesh-host-tcp dst -j DROP
		! -i rmesh0 -j RETURN
		-d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP
		-p tcp -m set --match-set routingmesh-ep-tcp dst -j ACCEPT
		-p udp -m set --match-set routingmesh-ep-udp dst -j ACCEPT
		! -p icmp -m conntrack --ctstate INVALID,NEW -j DROP`)},
		state.Chain{Table: "filter", Name: "ROUTINGMESH-FWD", Hooks: "FORWARD", Rules: rules(`
		-p udp -m udp --dport 4789 -m bpf --bytecode "$VNI" -m set --match-set routingmesh-peers dst -j DROP
		! -s $T/32 -o rmesh0 -j ROUTINGMESH-USER
		-o rmesh0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
		-o rmesh0 -p tcp -m set --match-set routingmesh-limit-tcp dst -m set ! --match-set routingmesh-allow-tcp src,dst -j REJECT --reject-with tcp-reset
		-o rmesh0 -p udp -m set --match-set routingmesh-limit-udp dst -m set ! --match-set routingmesh-allow-udp src,dst -j REJECT --reject-with icmp-port-unreachable
		-o rmesh0 -m conntrack --ctstate DNAT -j ACCEPT
		-o rmesh0 -j DROP
		-i rmesh0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
		-i rmesh0 -m conntrack ! --ctstate DNAT -j DROP`)},
		state.Chain{NS: state.Mesh, Table: "nat", Name: "POSTROUTING", Rules: rules(`
		-m conntrack --ctorigdst $S -j SNAT --to-source $S
		-s $H/32 -m conntrack --ctorigdst $P -j SNAT --to-source $S`)},
		state.Chain{NS: state.Mesh, Table: "raw", Name: "PREROUTING", Rules: rules(`
		-s 10.255.0.0/16 -d $H/32 -j CT --notrack
		-d $H/32 -j ACCEPT
		-d $S/32 -j ACCEPT
		-d $P/32 -j ACCEPT
		-s $H/32 -d 10.255.0.0/16 -j CT --notrack
		-s $H/32 -j ACCEPT
		-j DROP`)},
	)
}

// publish opens a port in ingress mode.
func publish(s state.State, self node, proto string, port, target uint16, on ...node) {
	server := netip.AddrPortFrom(self.S(), port)
	s.Put(
		state.VirtualServer{Proto: proto, Addr: server, Scheduler: "rr"},
		state.SetMember{Set: "routingmesh-" + proto, Port: port},
	)
	for _, n := range on {
		s.Put(state.RealServer{Proto: proto, Server: server, Addr: netip.AddrPortFrom(n.H(), target), Weight: 1})
		if n == self {
			s.Put(state.SetMember{Set: "routingmesh-ep-" + proto, Port: target})
		}
	}
}

// publishHost opens a tcp port in host mode, on a node that has an endpoint.
func publishHost(s state.State, self node, port, target uint16) {
	const proto = "tcp"
	server := netip.AddrPortFrom(self.P(), port)
	s.Put(
		state.VirtualServer{Proto: proto, Addr: server, Scheduler: "rr"},
		state.RealServer{Proto: proto, Server: server, Addr: netip.AddrPortFrom(self.H(), target), Weight: 1},
		state.SetMember{Set: "routingmesh-host-" + proto, Port: port},
		state.SetMember{Set: "routingmesh-ep-" + proto, Port: target},
	)
}

// full is a state with every kind of object in it, several times.
func full(t *testing.T) state.State {
	s := desired(t, 1, 2, 3)
	publish(s, 1, "tcp", 8080, 80, 1, 2, 3)
	publish(s, 1, "udp", 5353, 53, 2)
	publish(s, 1, "tcp", 8081, 81)
	publishHost(s, 1, 9090, 90)
	return s
}

func runningKernel(t *testing.T) state.KernelVersion {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	return state.ParseKernelVersion(unix.ByteSliceToString(u.Release[:]))
}
