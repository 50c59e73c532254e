package state

import (
	"fmt"
	"net/netip"
)

// VirtualServer is an IPVS service, in the mesh namespace. One of many ports takes packets by
// their mark (mesh.ServerMark): a range has the address of its VIP with its first port, a VIP
// that leads to every port has the port 0, and no protocol.
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

// serverName is "10.255.0.1:80/tcp", and the address alone of a VIP that leads to every port.
func serverName(proto string, addr netip.AddrPort) string {
	if addr.Port() == 0 {
		return addr.Addr().String()
	}
	return addr.String() + "/" + proto
}

// Key implements Object.
func (v VirtualServer) Key() Key {
	return Key{Kind: KindVirtualServer, NS: Mesh, Name: v.Proto, A: v.Addr}
}
func (v VirtualServer) String() string {
	text := fmt.Sprintf("IPVS %s %s", serverName(v.Proto, v.Addr), v.Scheduler)
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
	return fmt.Sprintf("IPVS has no service %s.", serverName(v.Proto, v.Addr))
}

// Extra implements Object.
func (v VirtualServer) Extra() string {
	return fmt.Sprintf("IPVS has a service %s that the record does not ask for.", serverName(v.Proto, v.Addr))
}

// Differs implements Object.
func (v VirtualServer) Differs(have Object) string {
	was, ok := have.(VirtualServer)
	switch {
	case !ok || was.Scheduler == v.Scheduler && was.Fault == "":
		return fmt.Sprintf("Instead of %s there is %s.", v, have)
	case was.Scheduler != v.Scheduler:
		return fmt.Sprintf("IPVS %s has the scheduler %s; it should be %s.", serverName(v.Proto, v.Addr), was.Scheduler, v.Scheduler)
	}
	return fmt.Sprintf("IPVS %s is not as it should be: %s.", serverName(v.Proto, v.Addr), was.Fault)
}
