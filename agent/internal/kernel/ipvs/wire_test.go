package ipvs

import (
	"encoding/hex"
	"net/netip"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// requestOf is what goes to the kernel, without the header.
func requestOf(fill func(*wire)) []byte {
	w := &wire{Conn: &nlmsg.Conn{}}
	fill(w)
	return w.Bytes()[unix.SizeofNlMsghdr:]
}

// The bytes are those that moby/ipvs 1.1.0 sends, but that it names a whole service
// where its address is enough, and does not flag what is nested. On a machine with the
// other byte order they would be others.
func TestRequestsToIPVS(t *testing.T) {
	v := state.VirtualServer{Proto: "udp", Addr: netip.MustParseAddrPort("10.255.1.1:8080"), Scheduler: "sh", AffinitySeconds: 300, AffinityBits: 24, OnePacket: true}
	r := state.RealServer{Proto: "udp", Server: v.Addr, Addr: netip.MustParseAddrPort("10.255.2.2:80"), Weight: 7}
	s, d := destinationOf(r)
	const (
		name = "06000100" + "02000000" + "06000200" + "11000000" + "08000300" + "0aff0101" + "06000400" + "1f900000"
		rest = "07000600" + "73680000" + "0c000700" + "0d000000ffffffff" + "08000800" + "2c010000" + "08000900" + "ffffff00"
		dest = "08000100" + "0aff0202" + "06000200" + "00500000" + "08000300" + "00000000" + "08000400" + "07000000" + "08000500" + "00000000" + "08000600" + "00000000"
	)
	for want, fill := range map[string]func(*wire){
		"01010000" + "48000180" + name + rest:              func(w *wire) { w.service(newService, serviceOf(v)) },
		"03010000" + "24000180" + name:                     func(w *wire) { w.service(delService, serviceOf(v)) },
		"05010000" + "24000180" + name + "34000280" + dest: func(w *wire) { w.dest(newDest, s, d) },
		"07010000" + "24000180" + name + "34000280" + dest: func(w *wire) { w.dest(delDest, s, d) },
	} {
		if got := hex.EncodeToString(requestOf(fill)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// What is written is read back the same, and so is what the kernel counts.
func TestWire_ReadBack(t *testing.T) {
	v := state.VirtualServer{Proto: "udp", Addr: netip.MustParseAddrPort("10.255.1.1:8080"), Scheduler: "mh", AffinitySeconds: 300, AffinityBits: 24, OnePacket: true}
	service, _ := parseService(requestOf(func(w *wire) { w.service(newService, serviceOf(v)) }))
	if got := virtualOf(&service); got != v {
		t.Errorf("%+v is read back as %+v", v, got)
	}
	ranged := state.VirtualServer{Proto: "udp", Addr: netip.MustParseAddrPort("244.1.39.16:10000"), Scheduler: "rr"} // by its mark
	service, _ = parseService(requestOf(func(w *wire) { w.service(newService, serviceOf(ranged)) }))
	if got := virtualOf(&service); got != ranged || service.FWMark != 0x52012710 || service.Address != nil || !isOurs(&service) {
		t.Errorf("%+v is read back as %+v", ranged, got)
	}
	vip := state.VirtualServer{Addr: netip.MustParseAddrPort("10.255.255.5:0"), Scheduler: "rr"} // of every port, by its mark too
	service, _ = parseService(requestOf(func(w *wire) { w.service(newService, serviceOf(vip)) }))
	if got := virtualOf(&service); got != vip || service.FWMark != 0x0affff05 || !isOurs(&service) {
		t.Errorf("%+v is read back as %+v", vip, got)
	}
	r := state.RealServer{Proto: "udp", Server: v.Addr, Addr: netip.MustParseAddrPort("10.255.2.2:80"), Weight: 7}
	s, d := destinationOf(r)
	dest, _ := parseDest(requestOf(func(w *wire) { w.dest(newDest, s, d) }))
	if got := realOf(v, &dest); got != r {
		t.Errorf("%+v is read back as %+v", r, got)
	}
	counted := requestOf(func(w *wire) {
		w.Message(0, 0, newService, genlVersion, 0, 0)
		at := w.Nest(attrService | unix.NLA_F_NESTED)
		w.Attr16(serviceFamily, unix.AF_INET)
		w.Attr16(serviceProtocol, unix.IPPROTO_TCP)
		w.Attr(serviceAddr, append([]byte{10, 255, 1, 1}, make([]byte, 12)...)...) // as the kernel sends it
		w.AttrPort(servicePort, 80)
		stats := w.Nest(serviceStats64 | unix.NLA_F_NESTED)
		w.Attr(statsConnections, native.AppendUint64(nil, 5_000_000_000)...)
		w.Attr(statsBytesOut, native.AppendUint64(nil, 7)...)
		w.End(stats)
		w.End(at)
	})
	got, ok := parseServer(counted)
	if want := (Server{Proto: mesh.TCP, Addr: netip.MustParseAddrPort("10.255.1.1:80"), Traffic: mesh.Traffic{Connections: 5_000_000_000, BytesOut: 7}}); !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %t; want %+v", got, ok, want)
	}
	mark := requestOf(func(w *wire) {
		w.Message(0, 0, newService, genlVersion, 0, 0)
		at := w.Nest(attrService | unix.NLA_F_NESTED)
		w.Attr16(serviceFamily, unix.AF_INET)
		w.Attr32(serviceMark, 7)
		w.End(at)
	})
	if s, ok := parseServer(mark); ok {
		t.Errorf("a service by firewall mark is read as %+v", s)
	}
}

// Whatever the kernel sends, it is read or left.
func FuzzWire(f *testing.F) {
	f.Add(requestOf(func(w *wire) { w.service(newService, serviceOf(state.VirtualServer{Proto: "tcp", Scheduler: "rr"})) }))
	f.Add([]byte{1})
	f.Fuzz(func(_ *testing.T, message []byte) {
		_, _ = parseServer(message)
		_, _ = parseDestination(message)
	})
}

// Putting requests together makes the values of moby/ipvs and nothing else beside the
// buffer that they are sent from.
func TestManyRequestsAreOneBuffer(t *testing.T) {
	w := &wire{Conn: &nlmsg.Conn{}}
	r := state.RealServer{Proto: "tcp", Server: netip.MustParseAddrPort("10.255.1.1:8080"), Addr: netip.MustParseAddrPort("10.255.2.2:80"), Weight: 1}
	if allocs := testing.AllocsPerRun(10, func() {
		w.Reset()
		for range nlmsg.MaxBatch {
			s, d := destinationOf(r)
			w.dest(newDest, s, d)
		}
	}); allocs > 5*nlmsg.MaxBatch {
		t.Errorf("%v allocations for %d requests", allocs, nlmsg.MaxBatch)
	}
}
