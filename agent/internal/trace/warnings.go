package trace

import (
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// warningsOf are the agent's warnings that concern the port on this node: all but
// those of other ports and services, and of nodes on which the port's service has
// no endpoint.
func (f *Facts) warningsOf(key mesh.PortKey) []mesh.Warning {
	var found []mesh.Warning
	for _, w := range f.Warnings {
		if f.concerns(w.Object, key) {
			found = append(found, w)
		}
	}
	return found
}

func (f *Facts) concerns(o mesh.Ref, key mesh.PortKey) bool {
	if f.Record == nil || f.Record.Ports[key] == nil {
		return o.Kind != mesh.KindPort && o.Kind != mesh.KindService
	}
	service := f.Record.Services[f.Record.Ports[key].Service]
	switch o.Kind {
	case mesh.KindPort:
		return o == mesh.PortRef(key)
	case mesh.KindService:
		return o.Name == service.Name
	case mesh.KindNode:
		if o.Name == f.Node {
			return true
		}
		for _, e := range service.Endpoints {
			if e.Node == o.Name {
				return true
			}
		}
		return false
	}
	return true
}
