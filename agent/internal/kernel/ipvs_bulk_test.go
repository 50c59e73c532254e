package kernel

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// requestOf is what goes to the kernel, without the header.
func requestOf(fill func(*ipvsBalancer)) []byte {
	b := &ipvsBalancer{conn: &nlmsg.Conn{}}
	fill(b)
	return b.conn.Bytes()[unix.SizeofNlMsghdr:]
}

// The bytes are those that moby/ipvs 1.1.0 sends, but that it names a whole service
// where its address is enough, and does not flag what is nested. On a machine with the
// other byte order they would be others.
func TestRequestsToIPVS(t *testing.T) {
	v := state.VirtualServer{Proto: "udp", Addr: netip.MustParseAddrPort("10.255.1.1:8080"), Scheduler: "sh", AffinitySeconds: 300, AffinityBits: 24, OnePacket: true}
	r := state.RealServer{Proto: "udp", Server: v.Addr, Addr: netip.MustParseAddrPort("10.255.2.2:80"), Weight: 7}
	const (
		name = "06000100" + "02000000" + "06000200" + "11000000" + "08000300" + "0aff0101" + "06000400" + "1f900000"
		rest = "07000600" + "73680000" + "0c000700" + "0d000000ffffffff" + "08000800" + "2c010000" + "08000900" + "ffffff00"
		dest = "08000100" + "0aff0202" + "06000200" + "00500000" + "08000300" + "00000000" + "08000400" + "07000000" + "08000500" + "00000000" + "08000600" + "00000000"
	)
	for want, fill := range map[string]func(*ipvsBalancer){
		"01010000" + "48000180" + name + rest:              func(b *ipvsBalancer) { b.putService(ipvsNewService, v) },
		"03010000" + "24000180" + name:                     func(b *ipvsBalancer) { b.putService(ipvsDelService, v) },
		"05010000" + "24000180" + name + "34000280" + dest: func(b *ipvsBalancer) { b.putDest(ipvsNewDest, r) },
		"07010000" + "24000180" + name + "34000280" + dest: func(b *ipvsBalancer) { b.putDest(ipvsDelDest, r) },
	} {
		if got := hex.EncodeToString(requestOf(fill)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// Putting requests together makes the values of moby/ipvs and nothing else beside the
// buffer that they are sent from.
func TestManyRequestsAreOneBuffer(t *testing.T) {
	b := &ipvsBalancer{conn: &nlmsg.Conn{}}
	r := state.RealServer{Proto: "tcp", Server: netip.MustParseAddrPort("10.255.1.1:8080"), Addr: netip.MustParseAddrPort("10.255.2.2:80"), Weight: 1}
	if allocs := testing.AllocsPerRun(10, func() {
		b.conn.Reset()
		for range nlmsg.MaxBatch {
			b.putDest(ipvsNewDest, r)
		}
	}); allocs > 5*nlmsg.MaxBatch {
		t.Errorf("%v allocations for %d requests", allocs, nlmsg.MaxBatch)
	}
}
