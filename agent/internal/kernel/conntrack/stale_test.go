package conntrack

import (
	"net/netip"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Each rule of stale.go, with what differs from an entry that stays.
func TestStale_Rules(t *testing.T) {
	t.Parallel()
	ap, addr := netip.MustParseAddrPort, netip.MustParseAddr
	s := NewStale()
	s.Virtual(state.VirtualServer{Proto: "udp", Addr: ap("10.255.1.1:53")})
	s.Virtual(state.VirtualServer{Proto: "udp", Addr: ap("10.255.1.1:54"), OnePacket: true})
	s.Virtual(state.VirtualServer{Proto: "tcp", Addr: ap("10.255.1.1:80")})
	s.Destination(state.RealServer{Proto: "udp", Server: ap("10.255.1.1:53"), Addr: ap("10.255.2.2:530")})
	s.Virtual(state.VirtualServer{Proto: "udp", Addr: ap("10.255.1.5:55")})
	s.Destination(state.RealServer{Proto: "udp", Server: ap("10.255.1.5:55"), Addr: ap("243.224.63.1:53")})
	s.Mesh[addr("10.255.1.5")], s.Open[55] = true, true
	s.Open[53], s.Local[addr("192.0.2.1")], s.Self = true, true, addr("10.255.1.2")
	s.Mesh[addr("10.255.1.1")], s.Mesh[addr("10.255.9.1")], s.Gone[addr("10.255.9.1")] = true, true, true
	s.Virtual(state.VirtualServer{Proto: "udp", Addr: ap("10.255.1.1:56")})
	s.Listen("udp", ap("10.255.1.1:56"), netip.MustParsePrefix("192.0.2.1/32"))
	s.Listen("tcp", ap("10.255.1.8:443"), netip.MustParsePrefix("192.0.2.0/31"))
	for _, further := range []string{"10.255.1.8", "10.255.1.10"} {
		s.Mesh[addr(further)], s.Further[addr(further)] = true, true
	}
	s.Virtual(state.VirtualServer{Proto: "udp", Addr: ap("10.255.1.8:53")})
	s.Destination(state.RealServer{Proto: "udp", Server: ap("10.255.1.8:53"), Addr: ap("10.255.2.2:530")})
	for _, proto := range []string{"tcp", "udp"} {
		at := map[string]netip.AddrPort{"tcp": ap("244.0.39.16:10000"), "udp": ap("244.1.39.16:10000")}[proto]
		s.Virtual(state.VirtualServer{Proto: proto, Addr: at})
		s.Destination(state.RealServer{Proto: proto, Server: at, Addr: ap("10.255.2.2:0")})
	}
	s.Rules = map[netip.Addr]state.RangeRule{
		addr("244.0.39.16"): {First: 10000, Last: 10999, Target: 20000}, addr("244.1.39.16"): {First: 10000, Last: 10999, Target: 20000},
	}
	s.Virtual(state.VirtualServer{Proto: "tcp", Addr: ap("244.0.156.64:40000")})
	s.Virtual(state.VirtualServer{Proto: "udp", Addr: ap("244.1.156.64:40000")})
	const client, hosts = "198.51.100.7:4000", "192.0.2.1:4000"
	for _, tt := range []struct {
		name                               string
		from, to, answeredFrom, answeredTo string
		tcp, host, mesh                    bool
	}{
		{"in the mesh: to a destination", client, "10.255.1.1:53", "10.255.2.2:530", "10.255.1.1:4000", false, false, false},
		{"in the mesh: to a destination that is gone", client, "10.255.1.1:53", "10.255.3.2:530", "10.255.1.1:4000", false, false, true},
		{"in the mesh: of a service that is gone", client, "10.255.1.1:99", "10.255.2.2:530", "10.255.1.1:4000", false, false, true},
		{"in the mesh: not answered to the VIP", client, "10.255.1.1:53", "10.255.2.2:530", client, false, false, true},
		{"in the mesh: each packet by itself", client, "10.255.1.1:54", "10.255.1.1:54", "10.255.1.1:4000", false, false, false},
		{"in the mesh: the client's address is preserved", client, "10.255.1.5:55", "243.224.63.1:53", client, false, false, false},
		{"in the mesh: preserved, of a client on a node", "10.255.1.2:4000", "10.255.1.5:55", "243.224.63.1:53", "10.255.1.1:4000", false, false, false},
		{"in the mesh: preserved, and answered elsewhere", client, "10.255.1.5:55", "243.224.63.1:53", "203.0.113.1:4000", false, false, true},
		{"in the mesh: preserved, to a destination that is gone", client, "10.255.1.5:55", "243.224.95.1:53", client, false, false, true},
		{"on the host: the client's address is preserved", client, "192.0.2.1:55", "10.255.1.5:55", client, false, false, false},
		{"on the host: of a port that was preserved", client, "192.0.2.1:53", "10.255.1.5:53", client, false, true, false},
		{"on the host: to an endpoint, preserved", client, "243.224.63.1:53", "192.0.2.1:53", client, false, false, false},
		{"on the host: to an endpoint, begun without its translation", client, "243.224.63.1:53", "243.224.63.1:53", client, false, true, false},
		{"on the host: of another's", client, "203.0.113.1:53", "203.0.113.1:53", client, false, false, false},
		{"on the host: translated", client, "192.0.2.1:53", "10.255.1.1:53", client, false, false, false},
		{"on the host: begun before the port was open", client, "192.0.2.1:53", "192.0.2.1:53", client, false, true, false},
		{"on the host: of a port that is closed", client, "192.0.2.1:99", "10.255.1.1:99", client, false, true, false},
		{"on the host: its own, with the host address", hosts, "192.0.2.1:53", "10.255.1.1:53", "10.255.1.2:4000", false, false, false},
		{"on the host: its own, without it", hosts, "192.0.2.1:53", "10.255.1.1:53", hosts, false, true, false},
		{"on the host: to a VIP that is gone", client, "192.0.2.1:80", "10.255.9.1:80", client, true, true, false},
		{"in the mesh: to a further VIP, answered to the first", client, "10.255.1.8:53", "10.255.2.2:530", "10.255.1.1:4000", false, false, false},
		{"on the host: to an address of the port", client, "192.0.2.1:56", "10.255.1.1:56", client, false, false, false},
		{"on the host: to an address that is no more the port's", client, "192.0.2.2:56", "10.255.1.1:56", client, false, true, false},
		{"on the host: begun before the port was open there", client, "192.0.2.1:56", "192.0.2.1:56", client, false, true, false},
		{"on the host: begun where the port is not open", client, "192.0.2.2:56", "192.0.2.2:56", client, false, false, false},
		{"on the host: of a further VIP without ports", client, "192.0.2.1:53", "10.255.1.10:53", client, false, true, false},
		{"on the host: tcp to an address of the port", client, "192.0.2.1:443", "10.255.1.8:443", client, true, false, false},
		{"on the host: tcp to an address that is no more the port's", client, "192.0.2.2:443", "10.255.1.8:443", client, true, true, false},
		{"in the mesh: of a range", client, "244.1.39.16:20005", "10.255.2.2:20005", "10.255.1.1:4000", false, false, false},
		{"in the mesh: of a range, to a destination that is gone", client, "244.1.39.16:20005", "10.255.3.2:20005", "10.255.1.1:4000", false, false, true},
		{"in the mesh: of a range that is gone", client, "244.1.0.80:80", "10.255.2.2:80", "10.255.1.1:4000", false, false, true},
		{"on the host: of a range", client, "192.0.2.1:10005", "244.1.39.16:20005", client, false, false, false},
		{"on the host: of a range, tcp", client, "192.0.2.1:10005", "244.0.39.16:20005", client, true, false, false},
		{"on the host: of a port that a range has lost", client, "192.0.2.1:11005", "244.1.39.16:21005", client, false, true, false},
		{"on the host: of a port that a range has lost, tcp", client, "192.0.2.1:11005", "244.0.39.16:21005", client, true, true, false},
		{"on the host: to the target that a range had", client, "192.0.2.1:10005", "244.1.39.16:30005", client, false, true, false},
		{"on the host: to the target that a range had, tcp", client, "192.0.2.1:10005", "244.0.39.16:30005", client, true, false, false},
		{"on the host: of a range that drains", client, "192.0.2.1:40005", "244.1.156.64:40005", client, false, true, false},
		{"on the host: of a range that drains, tcp", client, "192.0.2.1:40005", "244.0.156.64:40005", client, true, false, false},
		{"on the host: of a range that is gone", client, "192.0.2.1:80", "244.1.0.80:80", client, false, true, false},
		{"on the host: its own, of a range, without the host address", hosts, "192.0.2.1:10005", "244.1.39.16:20005", hosts, false, true, false},
		{"on the host: tcp to one that is there", client, "192.0.2.1:99", "10.255.1.1:99", client, true, false, false},
	} {
		e := entry{tcp: tt.tcp, from: ap(tt.from), to: ap(tt.to), answeredFrom: ap(tt.answeredFrom), answeredTo: ap(tt.answeredTo)}
		if host, mesh := (inHost{s}).stale(e), (inMesh{s}).stale(e); host != tt.host || mesh != tt.mesh {
			t.Errorf("%s: stale on the host %t, want %t; in the mesh %t, want %t", tt.name, host, tt.host, mesh, tt.mesh)
		}
	}
}
