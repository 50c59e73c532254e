package state

import (
	"fmt"
	"net/netip"
)

// VirtualServer is an IPVS service, in the mesh namespace.
type VirtualServer struct {
	Proto     string // tcp, udp
	Addr      netip.AddrPort
	Scheduler string
	// AffinitySeconds is for how long a client keeps its destination (persistence),
	// 0 for not at all; AffinityBits is how much of its address makes a client, 0
	// without affinity.
	AffinitySeconds, AffinityBits int
	// OnePacket schedules every packet of a udp server by itself.
	OnePacket bool
	Fault     string
}

// Key implements Object.
func (v VirtualServer) Key() Key {
	return Key{Kind: KindVirtualServer, NS: Mesh, Name: v.Proto, A: v.Addr}
}
func (v VirtualServer) String() string {
	text := fmt.Sprintf("IPVS %s/%s %s", v.Addr, v.Proto, v.Scheduler)
	if v.AffinitySeconds > 0 {
		text += fmt.Sprintf(" persistent %d s /%d", v.AffinitySeconds, v.AffinityBits)
	}
	if v.OnePacket {
		text += " one packet"
	}
	return faulty(text, v.Fault)
}

// Parent implements Object.
func (v VirtualServer) Parent() Key { return parentOf(Mesh, "") }

// Missing implements Object.
func (v VirtualServer) Missing() string {
	return fmt.Sprintf("IPVS has no service %s/%s.", v.Addr, v.Proto)
}

// Extra implements Object.
func (v VirtualServer) Extra() string {
	return fmt.Sprintf("IPVS has a service %s/%s that the record does not ask for.", v.Addr, v.Proto)
}

// Differs implements Object.
func (v VirtualServer) Differs(have Object) string {
	was, ok := have.(VirtualServer)
	switch {
	case !ok || was.Scheduler == v.Scheduler && was.Fault == "":
		return fmt.Sprintf("Instead of %s there is %s.", v, have)
	case was.Scheduler != v.Scheduler:
		return fmt.Sprintf("IPVS %s/%s has the scheduler %s; it should be %s.", v.Addr, v.Proto, was.Scheduler, v.Scheduler)
	}
	return fmt.Sprintf("IPVS %s/%s is not as it should be: %s.", v.Addr, v.Proto, was.Fault)
}
