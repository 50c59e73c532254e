package trace

import (
	"strings"

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

func (f *Facts) concerns(o mesh.Object, key mesh.PortKey) bool {
	kind, name, _ := strings.Cut(string(o), "/")
	if f.Record == nil || f.Record.Ports[key] == nil {
		return kind != "port" && kind != "service"
	}
	service := f.Record.Services[f.Record.Ports[key].Service]
	switch kind {
	case "port":
		return o == mesh.PortObject(key)
	case "service":
		return name == service.Name
	case "node":
		if name == f.Node {
			return true
		}
		for _, e := range service.Endpoints {
			if e.Node == name {
				return true
			}
		}
		return false
	}
	return true
}
