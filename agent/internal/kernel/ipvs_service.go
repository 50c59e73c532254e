package kernel

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Of include/uapi/linux/ip_vs.h.
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

func serviceOf(v state.VirtualServer) service {
	s := service{proto: v.Proto, addr: v.Addr, scheduler: v.Scheduler, netmask: netmask(32)}
	if v.AffinitySeconds > 0 {
		s.flags |= servicePersistent
		s.timeout, s.netmask = uint32(v.AffinitySeconds), netmask(v.AffinityBits)
	}
	if v.OnePacket {
		s.flags |= serviceOnePacket
	}
	if hashes(v.Scheduler) {
		s.flags |= serviceFallback
	}
	return s
}

func virtualOf(s service) state.VirtualServer {
	v := state.VirtualServer{
		Proto: s.proto, Addr: s.addr, Scheduler: s.scheduler, OnePacket: s.flags&serviceOnePacket != 0, Fault: serviceFault(s),
	}
	if s.flags&servicePersistent != 0 {
		v.AffinitySeconds, v.AffinityBits = int(s.timeout), bits.OnesCount32(s.netmask)
	}
	return v
}

// serviceFault is what a state.VirtualServer has no words for.
func serviceFault(s service) string {
	var faults []string
	known := uint32(servicePersistent | serviceHashed | serviceOnePacket)
	if hashes(s.scheduler) {
		known |= serviceFallback
		if s.flags&serviceFallback == 0 {
			faults = append(faults, "the clients of a destination of weight 0 are refused instead of getting another one")
		}
	}
	if other := s.flags &^ known; other != 0 {
		faults = append(faults, fmt.Sprintf("flags %#x", other))
	}
	if n := bits.OnesCount32(s.netmask); s.netmask != netmask(n) {
		faults = append(faults, fmt.Sprintf("netmask %#08x", s.netmask))
	}
	return strings.Join(faults, ", ")
}

// netmask has the bytes of the mask of a prefix in the order in which they go
// over the wire.
func netmask(prefixLength int) uint32 {
	var wire [4]byte
	binary.BigEndian.PutUint32(wire[:], ^uint32(0)<<(32-prefixLength))
	return native.Uint32(wire[:])
}
