package containers

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/engine"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// placesOf lists the slots of the node, of reachable services, in an order that does not depend on anything but the record.
func placesOf(rec *mesh.Record, node string) (places []place) {
	if rec == nil || rec.Nodes[node] == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(rec.ReachableServices())) {
		service := rec.Services[name]
		for _, key := range slices.Sorted(maps.Keys(service.Endpoints)) {
			e := service.Endpoints[key]
			if e.Container == nil || e.Node != node {
				continue
			}
			for slot := range e.SlotAddresses(rec.Nodes[node]) {
				places = append(places, place{endpointKey{name, key}, slot, e.Container})
			}
		}
	}
	return places
}

// assign gives each slot a container that fits, at most one of each endpoint's slots to one
// container. Who has a slot keeps it, also over a restart of the container; else the one that
// was made first takes the first free one.
func assign(places []place, was map[netip.Addr]tenant, running []engine.Container) map[netip.Addr]tenant {
	filled, placed := map[netip.Addr]tenant{}, map[endpointKey]map[string]bool{}
	put := func(p place, c engine.Container) {
		filled[p.address] = tenant{c.Engine, c.ID, c.Name, state.Process{PID: c.Process.PID, Start: c.Process.Start}}
		if placed[p.endpointKey] == nil {
			placed[p.endpointKey] = map[string]bool{}
		}
		placed[p.endpointKey][c.ID] = true
	}
	usable := slices.DeleteFunc(slices.Clone(running), func(c engine.Container) bool { return c.HostNetwork })
	for _, p := range places {
		old, had := was[p.address]
		if !had {
			continue
		}
		for _, c := range usable {
			same := old.id == c.ID || old.id == "" && old.process == state.Process{PID: c.Process.PID, Start: c.Process.Start}
			if same && p.fits.Fits(c.Name, c.Labels) && !placed[p.endpointKey][c.ID] {
				put(p, c)
				break
			}
		}
	}
	for _, p := range places {
		if _, taken := filled[p.address]; taken {
			continue
		}
		for _, c := range usable {
			if p.fits.Fits(c.Name, c.Labels) && !placed[p.endpointKey][c.ID] {
				put(p, c)
				break
			}
		}
	}
	return filled
}

func sortAddresses(all []netip.Addr) { slices.SortFunc(all, netip.Addr.Compare) }
