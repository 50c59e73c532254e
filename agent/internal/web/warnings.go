package web

import (
	"cmp"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// A balancer must not lose all nodes at once to something that each of them sees
// alike. A warning of the overlay is of that kind: a fault on the network between the
// nodes, or of the probes themselves, is on all nodes at the same moment, while each
// still reaches its own endpoints. So the overlay turns nobody away who is served on
// the node itself. The other warnings are of this host alone.

// turnsAway is why a load balancer should turn away from the node, "" for no reason.
func (p *place) turnsAway(warnings []mesh.Warning, now compile.Conditions) string {
	for _, w := range warnings {
		if w.AllTraffic && (w.Code != mesh.WarnOverlay || !p.servesHere(now)) {
			return w.Text
		}
	}
	return ""
}

// servesHere says that a published service has an endpoint on this node which gets new
// connections.
func (p *place) servesHere(now compile.Conditions) bool {
	published := map[string]bool{} // a balancer sends nothing to the others
	for _, port := range p.rec.Ports {
		published[port.Service] = true
	}
	for name := range published {
		if _, local := compile.Serves(p.rec, p.node, name, now); local > 0 {
			return true
		}
	}
	return false
}

// turnsAwayFrom is why a load balancer should turn away from a service on this node:
// all of its traffic needs an overlay that is lost, or each of its ports has a path
// warning. (Where a port is not open, no endpoint gets connections, and that is said
// instead.)
func (p *place) turnsAwayFrom(service string, local int, warnings []mesh.Warning) string {
	lost := map[mesh.Ref]string{}
	for _, w := range warnings {
		switch {
		case w.Code == mesh.WarnOverlay && w.AllTraffic && local == 0, w.Code == mesh.WarnPath && w.Object == mesh.ServiceRef(service):
			return w.Text
		case w.Code == mesh.WarnPath:
			lost[w.Object] = w.Text
		}
	}
	why := ""
	for _, port := range p.rec.ServicePorts(service) {
		text, is := lost[mesh.PortRef(port.Key())]
		if !is {
			return ""
		}
		why = cmp.Or(why, text)
	}
	return why
}

// warned counts warnings by code, with 0 for codes that there are none of.
func warned(all []mesh.Warning) map[mesh.WarningCode]int {
	n := map[mesh.WarningCode]int{mesh.WarnPath: 0, mesh.WarnOverlay: 0, mesh.WarnFirewall: 0, mesh.WarnHost: 0, mesh.WarnContainers: 0, mesh.WarnNames: 0}
	for _, w := range all {
		n[w.Code]++
	}
	return n
}
