package compile

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// hairpin is for the addresses of this node to which a VIP may lead back what they have sent to
// it: endpoints of services that have one, and slots on their way out. False where there is
// none of them.
func hairpin(rec *mesh.Record, self *mesh.Node, leaving map[netip.Addr]mesh.NetworkSet) (state.Hairpin, bool) {
	if !rec.HasNetworks() {
		return state.Hairpin{}, false
	}
	members := map[netip.Addr]bool{}
	for _, service := range rec.Services {
		if !service.VIP.IsValid() {
			continue
		}
		for _, e := range service.Endpoints {
			if e.Node == self.Name {
				for address := range e.Addresses(self) {
					members[address] = true
				}
			}
		}
	}
	for address, networks := range leaving {
		if networks != "" {
			members[address] = true
		}
	}
	var texts []string
	for _, address := range slices.SortedFunc(maps.Keys(members), netip.Addr.Compare) {
		texts = append(texts, address.String())
	}
	return state.Hairpin{Source: self.HairpinAddress(), Members: strings.Join(texts, " ")}, len(texts) > 0
}
