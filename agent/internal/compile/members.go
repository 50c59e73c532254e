package compile

import (
	"maps"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// memberPorts are what the members of its networks reach of a service, as published ports: one
// for each port of its VIP. A VIP that leads to every port, or a name that leads to the
// containers themselves, is one of all of them (0/udp): its endpoints go by all of their
// checks, and one that fails is left out. None of a service in no network.
func memberPorts(service *mesh.Service) (ports []*mesh.PublishedPort) {
	switch {
	case len(service.Networks) == 0:
		return nil
	case !service.VIPByPort():
		return []*mesh.PublishedPort{{Service: service.Name, Protocol: mesh.UDP, Mode: mesh.Ingress}}
	}
	for _, key := range slices.SortedFunc(maps.Keys(service.VIPPorts), mesh.PortKey.Compare) {
		ports = append(ports, &mesh.PublishedPort{
			Service: service.Name, Published: key.Port, Target: service.VIPPorts[key], Protocol: key.Protocol, Mode: mesh.Ingress,
		})
	}
	return ports
}

// waysTo are the published ports of a service, and what members of its networks reach of it.
func waysTo(rec *mesh.Record, service string) []*mesh.PublishedPort {
	ports := rec.ServicePorts(service)
	if s := rec.Services[service]; s != nil {
		ports = append(ports, memberPorts(s)...)
	}
	return ports
}
