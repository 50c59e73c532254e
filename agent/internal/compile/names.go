package compile

import (
	"net/netip"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// EndpointNames maps the addresses at which IPVS has the endpoints of a
// published port to their names in its service; the first, where several are
// behind one address.
func EndpointNames(rec *mesh.Record, key mesh.PortKey) map[netip.AddrPort]string {
	port := rec.Ports[key]
	if port == nil || rec.Services[port.Service] == nil {
		return nil
	}
	service := rec.Services[port.Service]
	names := make(map[netip.AddrPort]string, len(service.Endpoints))
	for _, name := range rec.LiveEndpoints(service) {
		e := service.Endpoints[name]
		address := port.AddressFor(e, rec.Nodes[e.Node])
		if _, taken := names[address]; !taken {
			names[address] = name
		}
	}
	return names
}
