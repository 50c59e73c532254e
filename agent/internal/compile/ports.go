package compile

import (
	"net/netip"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// scheduler of every IPVS service: round robin, as Swarm's.
const scheduler = "rr"

// destination is a live endpoint as IPVS needs it: where, and the port that
// overrides the published port's target, 0 for none.
type destination struct {
	endpoint mesh.Endpoint
	host     netip.Addr // H of the endpoint's node
	local    bool       // on the node we compile for
}

// ports adds an IPVS service, its destinations and a set member for every port
// that is open on this node, and a member of routingmesh-ep-* for each port on
// which an endpoint of this node answers.
//
// An ingress port whose service has no live endpoint stays open: IPVS without
// a destination answers "port unreachable", which the client sees as
// connection refused, also through a firewall that drops what no rule accepts.
// And a UDP client that keeps sending meanwhile leaves no conntrack entry past
// the DNAT that would hold it off once an endpoint is back.
func ports(s state.State, rec *mesh.Record, self *mesh.Node) {
	byService := destinations(rec, self)
	for key, p := range rec.Ports {
		dests := byService[p.Service]
		address, set := self.MeshAddress(), ingressSet(key.Protocol)
		if p.Mode == mesh.Host {
			if dests = localOnly(dests); len(dests) == 0 {
				continue
			}
			// A UDP server that is bound to 0.0.0.0 answers a client outside the
			// mesh from the underlay address, past IPVS: it must see S instead.
			if key.Protocol == mesh.TCP {
				address, set = self.HostModeAddress(), hostModeSet
				answersReturn(s, self)
			}
		}
		server := netip.AddrPortFrom(address, key.Port)
		s.Put(
			state.VirtualServer{Proto: string(key.Protocol), Addr: server, Scheduler: scheduler},
			state.SetMember{Set: set, Port: key.Port},
		)
		for _, d := range dests {
			target := p.TargetFor(d.endpoint)
			s.Put(state.RealServer{Proto: string(key.Protocol), Server: server, Addr: netip.AddrPortFrom(d.host, target), Weight: 1})
			if d.local {
				s.Put(state.SetMember{Set: endpointSet(key.Protocol), Port: target})
			}
		}
	}
}

// answersReturn leads what an endpoint answers to a client outside the mesh back
// through IPVS. It is there only while a host-mode tcp port is open: any policy
// rule of one's own takes every packet of the host off the kernel's short way
// through the routing tables (fib_has_custom_rules).
func answersReturn(s state.State, self *mesh.Node) {
	s.Put(
		state.Route{NS: state.Host, Table: state.Table, Dst: everywhere(), Via: self.MeshAddress(), Dev: state.HostLink},
		state.Rule{From: self.HostAddress(), Table: state.Table, Priority: state.RulePriority},
	)
}

// destinations lists the live endpoints of each service that publishes a port.
func destinations(rec *mesh.Record, self *mesh.Node) map[string][]destination {
	byService := make(map[string][]destination, len(rec.Services))
	for name, service := range rec.Services {
		dests := make([]destination, 0, len(service.Endpoints))
		for _, e := range service.Endpoints {
			if n := rec.Nodes[e.Node]; n != nil { // else it has left: passed over
				dests = append(dests, destination{endpoint: e, host: n.HostAddress(), local: n.Name == self.Name})
			}
		}
		byService[name] = dests
	}
	return byService
}

func localOnly(all []destination) []destination {
	var local []destination
	for _, d := range all {
		if d.local {
			local = append(local, d)
		}
	}
	return local
}

// Opens reports whether the port is open on the node: everywhere in ingress
// mode, where an endpoint is in host mode.
func Opens(rec *mesh.Record, node string, p *mesh.PublishedPort) bool {
	if rec == nil || rec.Nodes[node] == nil {
		return false
	}
	return p.Mode == mesh.Ingress || len(localTargets(rec, node, p)) > 0
}

// AnswersItself reports whether an endpoint of the port's own service on the
// node listens on the published port itself: then a listener there is no
// conflict, the mesh brings it its traffic.
func AnswersItself(rec *mesh.Record, node string, p *mesh.PublishedPort) bool {
	return slices.Contains(localTargets(rec, node, p), p.Published)
}

func localTargets(rec *mesh.Record, node string, p *mesh.PublishedPort) []uint16 {
	service := rec.Services[p.Service]
	if service == nil {
		return nil
	}
	var targets []uint16
	for _, e := range service.Endpoints {
		if e.Node == node {
			targets = append(targets, p.TargetFor(e))
		}
	}
	return targets
}
