package compile

import (
	"net/netip"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// EndpointNames maps the addresses at which IPVS on the node has the endpoints of a
// frontend to their names in its service; the first, where several are
// behind one address. Those are among them that drain from before client_address was changed.
func EndpointNames(rec *mesh.Record, node string, f Frontend) map[netip.AddrPort]string {
	port, self := f.port(rec), rec.Nodes[node]
	if port == nil || self == nil || rec.Services[port.Service] == nil {
		return nil
	}
	service := rec.Services[port.Service]
	names := make(map[netip.AddrPort]string, len(service.Endpoints))
	for _, name := range rec.LiveEndpoints(service) {
		e := service.Endpoints[name]
		host, target := rec.Nodes[e.Node], port.DestinationPort(e)
		var addresses []netip.AddrPort
		for address := range e.Addresses(host) {
			addresses = append(addresses, netip.AddrPortFrom(address, target))
		}
		if preserves(port) && e.Container == nil {
			addresses = append(addresses, netip.AddrPortFrom(host.EntryAddress(self), target))
		}
		for _, address := range addresses {
			if _, taken := names[address]; !taken {
				names[address] = name
			}
		}
	}
	return names
}
