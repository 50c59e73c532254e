package reconcile

import (
	"maps"
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
	self      *mesh.Node  // in next
	wanted    state.State // of next, whatever the conditions, as far as it is asked
}

// drainsUnder is what drains once next is the record: what drains already and still
// may, and what is served now and next does not ask for.
func (r *Reconciler) drainsUnder(next *mesh.Record, node string, now time.Time) drains {
	after := drains{}
	if next.Nodes[node] == nil {
		return after
	}
	was := r.rec
	if r.node != node {
		was = nil
	}
	served := r.desired
	ports, known := r.compiled.ChangedPorts(next, node)
	if known = known && was != nil; known { // the others are served as before, and what drains of them is not asked for
		served = compile.Ports(was, node, ports, r.conditions)
	} else {
		ports = slices.Collect(maps.Keys(next.Ports))
	}
	s := succession{r.rec, next, next.Nodes[node], compile.Ports(next, node, ports, compile.Conditions{})}
	for key, d := range r.drains {
		if s.canDrain(d) {
			after[key] = d.resumed(now)
		}
	}
	if was == nil {
		return after
	}
	for key, o := range served {
		served, ok := o.(state.RealServer)
		if !ok || s.wanted[key] != nil || served.Proto != string(mesh.TCP) {
			continue
		}
		if d, ok := begin(was, served, now); ok && s.canDrain(d) {
			if _, already := after[d.key()]; !already {
				after[d.key()] = d
			}
		}
	}
	return after
}

// begin makes a drain of what is served, false where its service gives it no time:
// as its record says, which it was made under, not the next one.
func begin(rec *mesh.Record, served state.RealServer, now time.Time) (drain, bool) {
	key := mesh.PortKey{Port: served.Server.Port(), Protocol: mesh.TCP}
	port := rec.Ports[key]
	if port == nil {
		return drain{}, false
	}
	service := rec.Services[port.Service]
	name, ok := compile.EndpointNames(rec, key)[served.Addr]
	if !ok || service.DrainSeconds == 0 {
		return drain{}, false
	}
	return drain{
		Port: key, Service: port.Service, Endpoint: name, Node: service.Endpoints[name].Node, Address: served.Addr,
		Deadline: now.Add(service.Drain()), TimeoutSeconds: service.DrainSeconds,
	}, true
}

// canDrain says whether there is a way left for the connections of d, and no new ones
// are to take it.
func (s succession) canDrain(d drain) bool {
	port, host := s.next.Ports[d.Port], s.next.Nodes[d.Node]
	return port != nil && port.Service == d.Service && s.sameDoor(d.Port) &&
		host != nil && host.HostAddress() == d.Address.Addr() &&
		!slices.ContainsFunc(d.realServers(s.self), func(d state.RealServer) bool { return s.wanted[d.Key()] != nil })
}

// sameDoor says that the port stays where it is: one that changes its mode has
// another virtual address, and its connections end.
func (s succession) sameDoor(key mesh.PortKey) bool {
	if s.rec == nil {
		return true
	}
	was := s.rec.Ports[key]
	return was != nil && was.Mode == s.next.Ports[key].Mode
}

// realServers are what d may be in IPVS: its port is on S or on P.
func (d drain) realServers(self *mesh.Node) []state.RealServer {
	var all []state.RealServer
	for _, a := range []netip.Addr{self.MeshAddress(), self.HostModeAddress()} {
		all = append(all, state.RealServer{Proto: string(d.Port.Protocol), Server: netip.AddrPortFrom(a, d.Port.Port), Addr: d.Address})
	}
	return all
}
