package state

import (
	"fmt"
	"net/netip"
)

// RealServer is a destination of an IPVS service (masquerading).
type RealServer struct {
	Proto  string
	Server netip.AddrPort
	Addr   netip.AddrPort
	Weight int // 0–65535
	Fault  string
}

// Key implements Object.
func (r RealServer) Key() Key {
	return Key{Kind: KindRealServer, NS: Mesh, Name: r.Proto, A: r.Server, B: r.Addr}
}
func (r RealServer) String() string {
	return faulty(fmt.Sprintf("IPVS %s destination %s weight %d", serverName(r.Proto, r.Server), r.Addr, r.Weight), r.Fault)
}

// Parent implements Object.
func (r RealServer) Parent() Key { return VirtualServer{Proto: r.Proto, Addr: r.Server}.Key() }

// Missing implements Object.
func (r RealServer) Missing() string {
	return fmt.Sprintf("IPVS %s has no destination %s.", serverName(r.Proto, r.Server), r.Addr)
}

// Extra implements Object.
func (r RealServer) Extra() string {
	return fmt.Sprintf("IPVS %s has a destination %s that the record does not ask for.", serverName(r.Proto, r.Server), r.Addr)
}

// Differs implements Object.
func (r RealServer) Differs(have Object) string {
	was, ok := have.(RealServer)
	switch {
	case !ok:
		return differs(r, have)
	case was.Weight != r.Weight:
		return fmt.Sprintf("IPVS %s has the destination %s with weight %d; it should be %d.", serverName(r.Proto, r.Server), r.Addr, was.Weight, r.Weight)
	}
	return fmt.Sprintf("IPVS %s has the destination %s, but it is not as it should be: %s.", serverName(r.Proto, r.Server), r.Addr, was.Fault)
}
