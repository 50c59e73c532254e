package state

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestPlanOrder(t *testing.T) {
	pool, S := netip.MustParsePrefix("10.255.0.0/16"), netip.MustParsePrefix("10.255.1.1/32")
	server := netip.MustParseAddrPort("10.255.1.1:8080")
	oldServer := netip.MustParseAddrPort("10.255.1.1:7070")
	destination := func(to string) RealServer {
		return RealServer{Proto: "tcp", Server: server, Addr: netip.MustParseAddrPort(to), Weight: 1}
	}
	desired, observed := State{}, State{}
	desired.Put(
		SetMember{Set: "routingmesh-tcp", Port: 8080},
		VirtualServer{Proto: "tcp", Addr: server, Scheduler: "rr"},
		destination("10.255.3.2:80"),
		Route{Table: MainTable, Dst: pool, Via: S.Addr(), Dev: HostLink},
		Route{Table: MainTable, Dst: S, Dev: HostLink},
		Veth{MTU: 1450},
		NetNS{},
	)
	observed.Put(
		NetNS{},
		Veth{MTU: 1450, Fault: "down"},
		VirtualServer{Proto: "tcp", Addr: server, Scheduler: "rr"},
		destination("10.255.2.2:80"),
		VirtualServer{Proto: "tcp", Addr: oldServer, Scheduler: "rr"},
		SetMember{Set: "routingmesh-tcp", Port: 7070},
	)
	var got []string
	for _, op := range Plan(desired, observed) {
		got = append(got, op.String())
	}
	want := []string{
		"remove port 7070 in ipset routingmesh-tcp", // closed first
		"change link rmesh0 (veth, mtu 1450)",
		"add route 10.255.1.1/32 dev rmesh0 (host)", // before what goes through it
		"add route 10.255.0.0/16 via 10.255.1.1 dev rmesh0 (host)",
		"add IPVS 10.255.1.1:8080/tcp destination 10.255.3.2:80 weight 1", // before the old one goes
		"add port 8080 in ipset routingmesh-tcp",
		"remove IPVS 10.255.1.1:8080/tcp destination 10.255.2.2:80 weight 1",
		"remove IPVS 10.255.1.1:7070/tcp rr",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

// TestPlanRaisesWeightsBeforeItLowersThem: nobody is refused between the two.
func TestPlanRaisesWeightsBeforeItLowersThem(t *testing.T) {
	server := netip.MustParseAddrPort("10.255.1.1:8080")
	desired, observed := State{}, State{}
	for to, weights := range map[string][2]int{"10.255.1.2:80": {1, 0}, "10.255.2.2:80": {0, 1}, "10.255.3.2:80": {-1, 1}, "10.255.4.2:80": {5, 2}} {
		d := RealServer{Proto: "tcp", Server: server, Addr: netip.MustParseAddrPort(to), Weight: weights[1]}
		desired.Put(d)
		if d.Weight = weights[0]; d.Weight >= 0 {
			observed.Put(d)
		}
	}
	var got []string
	for _, op := range Plan(desired, observed) {
		got = append(got, op.String())
	}
	want := []string{
		"change IPVS 10.255.1.1:8080/tcp destination 10.255.2.2:80 weight 1",
		"add IPVS 10.255.1.1:8080/tcp destination 10.255.3.2:80 weight 1",
		"change IPVS 10.255.1.1:8080/tcp destination 10.255.4.2:80 weight 2",
		"change IPVS 10.255.1.1:8080/tcp destination 10.255.1.2:80 weight 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

// TestPlanKeepsPortsOpen: one that gets another VIP, or other addresses, is open all the time.
func TestPlanKeepsPortsOpen(t *testing.T) {
	network := func(text string) SetMember {
		n := netip.MustParsePrefix(text)
		return SetMember{Set: ListenSet(0, false), Addr: n.Addr(), Bits: uint8(n.Bits()), Port: 443, Proto: "tcp"}
	}
	desired, observed := State{}, State{}
	desired.Put(SetMember{Set: "routingmesh-keep-tcp", Port: 8080}, network("192.0.2.0/24"))
	observed.Put(SetMember{Set: "routingmesh-tcp", Port: 8080}, SetMember{Set: "routingmesh-tcp", Port: 8081}, network("192.0.2.7/32"))
	var got []string
	for _, op := range Plan(desired, observed) {
		got = append(got, op.String())
	}
	want := []string{
		"remove port 8081 in ipset routingmesh-tcp",
		"add port 8080 in ipset routingmesh-keep-tcp",
		"add 192.0.2.0/24 to tcp port 443 in ipset routingmesh-listen-0",
		"remove 192.0.2.7/32 to tcp port 443 in ipset routingmesh-listen-0",
		"remove port 8080 in ipset routingmesh-tcp",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestSettingsFitTheKernel(t *testing.T) {
	for release, reuseMode := range map[string]bool{
		"4.18.0-553.el8_10.x86_64": true, "5.4.0-200-generic": true, "5.9.0": false, "5.10.0-33-amd64": false, "6.1.0-56-amd64": false, "7": false, "odd": false,
	} {
		has := slices.ContainsFunc(ManagedSysctls(ParseKernelVersion(release)), func(m ManagedSysctl) bool {
			return m.Name == "net.ipv4.vs.conn_reuse_mode"
		})
		if has != reuseMode {
			t.Errorf("%s: conn_reuse_mode is %t, want %t", release, has, reuseMode)
		}
	}
	for _, m := range ManagedSysctls(KernelVersion{6, 1}) {
		if global := m.NS == Host && m.Name == "net.ipv4.ip_forward"; m.Global() != global {
			t.Errorf("%s is global: %t", m.Sysctl, m.Global())
		}
	}
}

// The chains of networks refuse what they do not know: so it is known before them, and until
// after them. A VIP's mark leads packets to IPVS: it comes last, and goes first.
func TestPlan_NetworksKnowBeforeTheyRefuse(t *testing.T) {
	a := netip.MustParseAddr("10.255.1.2")
	vip := netip.MustParseAddr("10.255.255.2")
	s := State{}
	s.Put(Chain{NS: Mesh, Table: "filter", Name: "FORWARD", Rules: "-j REJECT"}, VirtualServer{Addr: netip.AddrPortFrom(vip, 0), Scheduler: "rr"},
		Set{NS: Mesh, Name: PeerSet, Type: HashIPMark}, SetMember{NS: Mesh, Set: PeerSet, Addr: a}, SetMember{NS: Mesh, Set: VIPSet, Addr: vip, Mark: 1})
	var made, gone []string
	for _, op := range Plan(s, State{}) {
		made = append(made, op.Object().String())
	}
	for _, op := range Plan(State{}, s) {
		gone = append(gone, op.Object().String())
	}
	want := []string{
		"ipset routingmesh-peer (hash:ip,mark) (mesh)", "address 10.255.1.2 mark 0x0 in ipset routingmesh-peer", "chain filter FORWARD (mesh)", "IPVS 10.255.255.2 rr",
		"address 10.255.255.2 mark 0x1 in ipset routingmesh-vip",
	}
	if !slices.Equal(made, want) {
		t.Errorf("made in the order\n%s", strings.Join(made, "\n"))
	}
	slices.Reverse(want)
	if !slices.Equal(gone, want) {
		t.Errorf("removed in the order\n%s", strings.Join(gone, "\n"))
	}
}
