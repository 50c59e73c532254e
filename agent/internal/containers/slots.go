package containers

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/presence"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Slots lists all slots of the record with what this node knows of them, sorted by service,
// endpoint and address.
func (k *Keeper) Slots() []mesh.Slot {
	heard := k.Presence.Heard()
	k.mu.Lock()
	defer k.mu.Unlock()
	slots := []mesh.Slot{}
	if k.rec == nil {
		return slots
	}
	reachable := k.rec.ReachableServices()
	for _, name := range slices.Sorted(maps.Keys(k.rec.Services)) {
		s := k.rec.Services[name]
		for _, key := range k.rec.LiveEndpoints(s) {
			e := s.Endpoints[key]
			for address := range e.SlotAddresses(k.rec.Nodes[e.Node]) {
				slot := mesh.Slot{Service: name, Endpoint: key, Node: e.Node, Address: address, State: mesh.SlotUnpublished}
				switch {
				case !reachable[name]:
				case e.Node == k.node:
					k.own(&slot)
				default:
					slot.State = stateOf(heard[e.Node], address)
				}
				slots = append(slots, slot)
			}
		}
	}
	return slots
}

// own is a slot of this node.
func (k *Keeper) own(slot *mesh.Slot) {
	t, filled := k.filled[slot.Address]
	switch {
	case filled:
		slot.State, slot.Engine, slot.Container = mesh.SlotFilled, t.engine, t.name
	case k.ready:
		slot.State = mesh.SlotEmpty
	default:
		slot.State = mesh.SlotUnknown
	}
}

// stateOf is a slot of another node.
func stateOf(of presence.Heard, address netip.Addr) mesh.SlotState {
	switch {
	case of.Silent:
		return mesh.SlotSilent
	case !of.Known:
		return mesh.SlotUnknown
	case slices.Contains(of.Filled, address):
		return mesh.SlotFilled
	}
	return mesh.SlotEmpty
}
