package conntrack

import (
	"net/netip"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// A udp client that keeps its source port keeps its conntrack entry, and with it
// the way that its first packet took: nat looks at no other one. So after a write
// that changes that way, entries are deleted that lead where nothing is asked for
// (any more); the next packet makes its own. Which ones is read from the kernel
// after the write, so what one cleaning has missed the next one finds.
//
// A tcp client that keeps its source port makes a new entry with its next
// connection, unless the end of the last one never came by, as that of those that
// were open when the mesh was taken away: such an entry lasts for five days. When
// the VIPs have changed, or are gone, what leads to the old ones is deleted.

// Stale is what the deletion of stale entries needs to know: what there is after the
// write.
type Stale struct {
	Servers map[netip.AddrPort]state.VirtualServer // of udp
	Reals   map[state.Key]bool                     // of udp
	Open    map[uint16]bool                        // published udp ports
	Local   map[netip.Addr]bool                    // addresses of the host, but for its host address
	Self    netip.Addr                             // the host address
	Mesh    map[netip.Addr]bool                    // the VIPs, those from before the write too
	Gone    map[netip.Addr]bool                    // those of them that there are no more
	Further map[netip.Addr]bool                    // those that only lead to ports of Listens
	Listens map[Entrance][]netip.Prefix            // where ports are open that are not open everywhere
	Ranges  map[netip.AddrPort]bool                // the servers of ranges, of tcp too
	// Rules are those of ranges by their VIPs, where the write was of them; else nil.
	Rules map[netip.Addr]state.RangeRule
}

// Entrance is a published port by its IPVS service.
type Entrance struct {
	TCP    bool // else it is udp
	Server netip.AddrPort
}

// NewStale returns one that knows of nothing.
func NewStale() *Stale {
	return &Stale{
		Servers: map[netip.AddrPort]state.VirtualServer{}, Reals: map[state.Key]bool{},
		Open: map[uint16]bool{}, Local: map[netip.Addr]bool{}, Mesh: map[netip.Addr]bool{}, Gone: map[netip.Addr]bool{},
		Further: map[netip.Addr]bool{}, Listens: map[Entrance][]netip.Prefix{}, Ranges: map[netip.AddrPort]bool{},
	}
}

// Listen says that a port is open in a network of the host's addresses.
func (s *Stale) Listen(protocol string, server netip.AddrPort, at netip.Prefix) {
	e := Entrance{protocol == "tcp", server}
	s.Listens[e] = append(s.Listens[e], at)
}

// listensTCP says that a tcp port may be open at some addresses and not at others.
func (s *Stale) listensTCP() bool {
	for e := range s.Listens {
		if e.TCP {
			return true
		}
	}
	return false
}

// Virtual and Destination take the servers that there are, those of udp and of ranges.
func (s *Stale) Virtual(v state.VirtualServer) {
	if mesh.RangeVIPs.Contains(v.Addr.Addr()) {
		s.Ranges[v.Addr] = true
	}
	if v.Proto == "udp" {
		s.Servers[v.Addr] = v
	}
}

// Destination is described with Virtual.
func (s *Stale) Destination(r state.RealServer) {
	if r.Proto == "udp" {
		s.Reals[r.Key()] = true
	}
}

// DeleteInHost deletes the stale entries of the host's namespace, DeleteInMesh those
// of the mesh's.
func (s *Stale) DeleteInHost(ns netns.Handle) error {
	return deleteEntries(ns, len(s.Gone) > 0 || s.listensTCP() || s.Rules != nil, inHost{s}.stale)
}

// DeleteInMesh is described with DeleteInHost.
func (s *Stale) DeleteInMesh(ns netns.Handle) error {
	return deleteEntries(ns, false, inMesh{s}.stale)
}

// inMesh are the stale ones of the mesh's namespace.
type inMesh struct{ *Stale }

// stale is what came for a VIP and is not answered by a destination there is, to a
// VIP. A server that schedules each packet by itself gets no answers: conntrack knows
// nothing of its destinations.
func (m inMesh) stale(e entry) bool {
	isRange := mesh.RangeVIPs.Contains(e.to.Addr())
	if !m.Mesh[e.to.Addr()] && !isRange {
		return false
	}
	v, ok := m.Servers[mesh.RangeServer(e.to)]
	if !ok {
		return true
	}
	answered := m.Mesh[e.answeredTo.Addr()]
	if mesh.EntryAddresses.Contains(e.answeredFrom.Addr()) {
		// The client's address is preserved, but that of one on a node, which is S here.
		answered = answered || e.answeredTo.Addr() == e.from.Addr()
	}
	if !answered {
		return true
	}
	if v.OnePacket {
		return e.answeredFrom != e.to
	}
	from := e.answeredFrom
	if isRange {
		from = netip.AddrPortFrom(from.Addr(), 0)
	}
	return !m.Reals[state.RealServer{Proto: v.Proto, Server: v.Addr, Addr: from}.Key()]
}

// inHost are the stale ones of the host's namespace.
type inHost struct{ *Stale }

// stale is what leads to an address that the mesh had here; of udp also what was
// begun for a published port, or an entry address, past our DNAT, or has it and is for a
// port that is closed, or lacks the source that a client on this host needs, the host
// address. And of both what has it for an address at which the port is closed.
func (h inHost) stale(e entry) bool {
	switch {
	case mesh.RangeVIPs.Contains(e.answeredFrom.Addr()):
		return e.to != e.answeredFrom && h.staleRange(e)
	case h.Gone[e.answeredFrom.Addr()]:
		return e.to != e.answeredFrom // what nobody has translated is not ours
	case e.tcp:
		return e.to != e.answeredFrom && e.answeredFrom.Port() == e.to.Port() && h.closedAt(e)
	case e.to == e.answeredFrom:
		return mesh.EntryAddresses.Contains(e.to.Addr()) || h.isLocal(e.to.Addr()) && (h.Open[e.to.Port()] || h.listensAt(e.to))
	case h.Mesh[e.answeredFrom.Addr()] && e.answeredFrom.Port() == e.to.Port():
		// Or the port has changed its client_address, and so its VIP.
		_, served := h.Servers[e.answeredFrom]
		return !served || h.closed(e) || h.isLocal(e.from.Addr()) && e.answeredTo.Addr() != h.Self
	}
	return false
}

// staleRange says that there is no range any more that the entry leads to, or that its port is
// not one of it any more; of udp also that the port has another target by now, where an open
// tcp connection goes on.
func (h inHost) staleRange(e entry) bool {
	if !h.Ranges[mesh.RangeServer(e.answeredFrom)] {
		return true
	}
	switch rule, known := h.Rules[e.answeredFrom.Addr()]; {
	case h.Rules == nil:
	case !known:
		return !e.tcp // its destinations drain, from before client_address was changed
	case !rule.Has(e.to.Port()) || !e.tcp && !rule.Leads(e.to.Port(), e.answeredFrom.Port()):
		return true
	}
	return !e.tcp && h.isLocal(e.from.Addr()) && e.answeredTo.Addr() != h.Self
}

// closedAt says that the entry's port is open at some addresses, of which its own is none.
func (h inHost) closedAt(e entry) bool {
	open, some := h.Listens[Entrance{e.tcp, e.answeredFrom}]
	return some && !contain(open, e.to.Addr())
}

// closed says that the udp port is, at the address.
func (h inHost) closed(e entry) bool {
	if _, some := h.Listens[Entrance{false, e.answeredFrom}]; some {
		return h.closedAt(e)
	}
	return h.Further[e.answeredFrom.Addr()] || !h.Open[e.to.Port()]
}

// listensAt says that some udp port of the number is open at the address.
func (h inHost) listensAt(to netip.AddrPort) bool {
	for e, open := range h.Listens {
		if !e.TCP && e.Server.Port() == to.Port() && contain(open, to.Addr()) {
			return true
		}
	}
	return false
}

func contain(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a) })
}

// isLocal says whether it is an address of the host, but for the host address.
func (h inHost) isLocal(a netip.Addr) bool { return a.IsLoopback() || h.Local[a] }
