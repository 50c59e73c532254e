package reconcile

import (
	"net/netip"
	"slices"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// succession is one record that follows another, or none (nil), on a node.
type succession struct {
	rec, next *mesh.Record
	node      string
	asked     map[compile.Frontend][]netip.AddrPort // by next, as far as somebody wanted to know
}

func newSuccession(rec, next *mesh.Record, node string) succession {
	return succession{rec, next, node, map[compile.Frontend][]netip.AddrPort{}}
}

// drains are what drains once next is the record: what drains already and still may, and
// what is served now and next does not ask for. Of the served, those of ports that do not
// change may be left out.
func (s succession) drains(already drainSet, served []state.RealServer, now time.Time) drainSet {
	after := drainSet{}
	if s.next.Nodes[s.node] == nil {
		return after
	}
	for _, d := range already {
		if s.canDrain(d) {
			after.put(d.resumed(now))
		}
	}
	for _, destination := range served {
		d, ok := s.begin(destination, now)
		if _, already := after[d.key()]; ok && !already && s.canDrain(d) {
			after.put(d)
		}
	}
	return after
}

// begin makes a drain of what is served, false where its service gives it no time:
// as its record says, which it was made under, not the next one.
func (s succession) begin(served state.RealServer, now time.Time) (drain, bool) {
	f, ok := compile.FrontendAt(s.rec, s.node, served.Proto, served.Server)
	if !ok || f.Port.Protocol == mesh.UDP || s.asks(f, served.Addr) {
		return drain{}, false
	}
	service := f.Service(s.rec)
	name, ok := compile.EndpointNames(s.rec, s.node, f)[served.Addr]
	if !ok || service.DrainSeconds == 0 {
		return drain{}, false
	}
	return drain{
		Port: f.Port, VIP: f.VIP != "", Service: service.Name, Endpoint: name, Node: service.Endpoints[name].Node, Address: served.Addr,
		Deadline: now.Add(service.Drain()), TimeoutSeconds: service.DrainSeconds,
	}, true
}

// canDrain says whether there is a path left for the connections of d, and no new ones
// are to take it.
func (s succession) canDrain(d drain) bool {
	if d.VIP {
		return s.canDrainVIP(d)
	}
	port, host := s.next.Ports[d.Port], s.next.Nodes[d.Node]
	if port != nil && d.Address.Port() == 0 && !port.IsRange() {
		return false // a range that is none any more has lost its VIP
	}
	return port != nil && port.Service == d.Service && s.sameMode(d.Port) && port.Nodes.Has(s.node) &&
		host != nil && host.HasEndpointsAt(d.Address.Addr()) && !s.asks(d.frontend(), d.Address)
}

// canDrainVIP is canDrain for a VIP: it has to be the same one, and lead to the same ports.
func (s succession) canDrainVIP(d drain) bool {
	service, host := d.frontend().Service(s.next), s.next.Nodes[d.Node]
	if service == nil || host == nil || s.rec != nil && s.rec.Services[d.Service] != nil && s.rec.Services[d.Service].VIP != service.VIP {
		return false
	}
	return s.next.HasMemberOf(s.node, service.NetworkSet()) && host.HasEndpointsAt(d.Address.Addr()) && !s.asks(d.frontend(), d.Address)
}

// sameMode says that the port stays where it is: one that changes its mode has another
// virtual address, and its connections end.
func (s succession) sameMode(key mesh.PortKey) bool {
	if s.rec == nil {
		return true
	}
	was := s.rec.Ports[key]
	return was != nil && was.Mode == s.next.Ports[key].Mode
}

// asks says that the next record has the destination, whatever the conditions.
func (s succession) asks(f compile.Frontend, addr netip.AddrPort) bool {
	asked, known := s.asked[f]
	if !known {
		asked = compile.Destinations(s.next, s.node, f)
		s.asked[f] = asked
	}
	return slices.Contains(asked, addr)
}
