package ipvs

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"strings"

	moby "github.com/moby/ipvs"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Flags of a service, of include/uapi/linux/ip_vs.h.
const (
	servicePersistent = 0x1
	serviceHashed     = 0x2 // the kernel's own: it is in its table
	serviceOnePacket  = 0x4
	// serviceFallback (IP_VS_SVC_F_SCHED_SH_FALLBACK, …_MH_FALLBACK) sends who would
	// get a destination of weight 0 to another one. Other schedulers have no use for
	// the bit.
	serviceFallback = 0x8
)

// hashes says that the scheduler picks by the client's address, and by the order
// of the destinations.
func hashes(scheduler string) bool { return scheduler == "sh" || scheduler == "mh" }

func serviceOf(v state.VirtualServer) *moby.Service {
	s := &moby.Service{AddressFamily: unix.AF_INET, SchedName: v.Scheduler, Netmask: netmask(32)}
	// Somebody else's service of one protocol and all ports of an address is by no mark.
	if mark, byMark := mesh.ServerMark(v.Addr); byMark && (v.Proto == "" || v.Addr.Port() != 0) {
		s.FWMark = mark
	} else {
		s.Protocol, s.Address, s.Port = protocolNumber(v.Proto), v.Addr.Addr().AsSlice(), v.Addr.Port()
	}
	if v.AffinitySeconds > 0 {
		s.Flags |= servicePersistent
		s.Timeout, s.Netmask = uint32(v.AffinitySeconds), netmask(v.AffinityBits)
	}
	if v.OnePacket {
		s.Flags |= serviceOnePacket
	}
	if hashes(v.Scheduler) {
		s.Flags |= serviceFallback
	}
	return s
}

func virtualOf(s *moby.Service) state.VirtualServer {
	v := state.VirtualServer{
		Proto:     "tcp",
		Scheduler: s.SchedName,
		OnePacket: s.Flags&serviceOnePacket != 0,
		Fault:     serviceFault(s),
	}
	if s.FWMark == 0 {
		v.Addr = netip.AddrPortFrom(nlmsg.ToAddr(s.Address), s.Port)
	}
	if s.Protocol == unix.IPPROTO_UDP {
		v.Proto = "udp"
	}
	if proto, at, ok := mesh.ServerOfMark(s.FWMark); ok {
		v.Proto, v.Addr = string(proto), at
	}
	if s.Flags&servicePersistent != 0 {
		v.AffinitySeconds, v.AffinityBits = int(s.Timeout), bits.OnesCount32(s.Netmask)
	}
	return v
}

// serviceFault is what a state.VirtualServer has no words for.
func serviceFault(s *moby.Service) string {
	var faults []string
	known := uint32(servicePersistent | serviceHashed | serviceOnePacket)
	if hashes(s.SchedName) {
		known |= serviceFallback
		if s.Flags&serviceFallback == 0 {
			faults = append(faults, "the clients of a destination of weight 0 are refused instead of getting another one")
		}
	}
	if other := s.Flags &^ known; other != 0 {
		faults = append(faults, fmt.Sprintf("flags %#x", other))
	}
	if n := bits.OnesCount32(s.Netmask); s.Netmask != netmask(n) {
		faults = append(faults, fmt.Sprintf("netmask %#08x", s.Netmask))
	}
	return strings.Join(faults, ", ")
}

// netmask has the bytes of the mask of a prefix in the order in which they go
// over the wire.
func netmask(prefixLength int) uint32 {
	return binary.NativeEndian.Uint32(net.CIDRMask(prefixLength, 32))
}

// isOurs is false of services of IPv6, and of those by a firewall mark that no range of ports
// and no VIP has: they are not ours to make, and somebody who puts one into our namespace keeps it.
func isOurs(s *moby.Service) bool {
	_, _, ok := mesh.ServerOfMark(s.FWMark)
	return s.AddressFamily == unix.AF_INET && (s.FWMark == 0 || ok)
}

func protocolNumber(proto string) uint16 {
	if proto == "udp" {
		return unix.IPPROTO_UDP
	}
	return unix.IPPROTO_TCP
}

func destinationOf(r state.RealServer) (*moby.Service, *moby.Destination) {
	s := serviceOf(state.VirtualServer{Proto: r.Proto, Addr: r.Server})
	return s, &moby.Destination{
		AddressFamily:   unix.AF_INET,
		Address:         r.Addr.Addr().AsSlice(),
		Port:            r.Addr.Port(),
		Weight:          r.Weight,
		ConnectionFlags: moby.ConnectionFlagMasq,
	}
}

const notMasquerading = "not masquerading"

func realOf(v state.VirtualServer, d *moby.Destination) state.RealServer {
	r := state.RealServer{Proto: v.Proto, Server: v.Addr, Addr: addressOf(d), Weight: d.Weight}
	if d.ConnectionFlags&moby.ConnectionFlagFwdMask != moby.ConnectionFlagMasq {
		r.Fault = notMasquerading
	}
	return r
}

func addressOf(d *moby.Destination) netip.AddrPort {
	return netip.AddrPortFrom(nlmsg.ToAddr(d.Address), d.Port)
}
