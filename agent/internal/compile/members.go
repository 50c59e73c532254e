package compile

import (
	"math"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// memberPorts are what the members of its networks reach of a service, as published ports: the
// frontends of its VIP, or, where its name leads to the containers themselves, all of their
// ports at once. None of a service in no network.
func memberPorts(rec *mesh.Record, service *mesh.Service) (ports []*mesh.PublishedPort) {
	if len(service.Networks) > 0 && service.EndpointMode == mesh.EndpointDNSRR {
		return []*mesh.PublishedPort{{Service: service.Name, Last: math.MaxUint16, Mode: mesh.Ingress}}
	}
	for _, f := range vipFrontends(service) {
		ports = append(ports, f.port(rec))
	}
	return ports
}

// waysTo are the published ports of a service, and what members of its networks reach of it.
func waysTo(rec *mesh.Record, service string) []*mesh.PublishedPort {
	ports := rec.ServicePorts(service)
	if s := rec.Services[service]; s != nil {
		ports = append(ports, memberPorts(rec, s)...)
	}
	return ports
}
