package compile

import (
	"net/netip"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// LeadsTo lists the addresses that get new connections to the port on the node,
// under the conditions of the moment.
func LeadsTo(rec *mesh.Record, node string, p *mesh.PublishedPort, now Conditions) []netip.AddrPort {
	if !Opens(rec, node, p) || rec.Services[p.Service] == nil {
		return nil
	}
	var to []netip.AddrPort
	for _, d := range destinations(rec, rec.Nodes[node], p, now) {
		if d.weight > 0 && !d.out {
			to = append(to, d.addr)
		}
	}
	return to
}
