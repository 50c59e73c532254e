package kernel

import (
	"net/netip"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// flow is an entry of conntrack: who began it, to where, from where it is answered,
// and to where the answer goes.
type flow struct {
	tcp                                bool // else it is udp
	from, to, answeredFrom, answeredTo netip.AddrPort
}

// meshFlows are the stale ones of the mesh's namespace.
type meshFlows struct{ *flows }

// stale is what came for S and is not answered by a destination there is, to S. A
// server that schedules each packet by itself gets no answers: conntrack knows
// nothing of its destinations.
func (m meshFlows) stale(f flow) bool {
	if !m.mesh[f.to.Addr()] {
		return false
	}
	v, ok := m.servers[f.to]
	if !ok || f.answeredTo.Addr() != f.to.Addr() {
		return true
	}
	if v.OnePacket {
		return f.answeredFrom != f.to
	}
	return !m.reals[state.RealServer{Proto: v.Proto, Server: v.Addr, Addr: f.answeredFrom}.Key()]
}

// hostFlows are the stale ones of the host's namespace.
type hostFlows struct{ *flows }

// stale is what leads to an address that the mesh had here; of udp also what was
// begun for a published port past our DNAT, or has it and is for a port that is
// closed, or lacks the source H that a client on this host needs.
func (h hostFlows) stale(f flow) bool {
	switch {
	case h.gone[f.answeredFrom.Addr()]:
		return f.to != f.answeredFrom // what nobody has translated is not ours
	case f.tcp:
		return false
	case f.to == f.answeredFrom:
		return h.isLocal(f.to.Addr()) && h.open[f.to.Port()]
	case h.mesh[f.answeredFrom.Addr()] && f.answeredFrom.Port() == f.to.Port():
		return !h.open[f.to.Port()] || h.isLocal(f.from.Addr()) && f.answeredTo.Addr() != h.self
	}
	return false
}

// isLocal says whether it is an address of the host, but for H.
func (h hostFlows) isLocal(a netip.Addr) bool { return a.IsLoopback() || h.local[a] }
