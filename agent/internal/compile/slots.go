package compile

import (
	"fmt"
	"maps"
	"net/netip"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// What containers need. One that is in a slot has a link of its own into the mesh, and IPVS
// sends to the slot's address as it does to H. While no reachable service has containers
// (mesh.Record.ReachableServices) there is nothing of this.

// containers puts where the agents tell each other which slots of the service are filled.
func containers(put func(state.Object), self *mesh.Node, service *mesh.Service) {
	if service.HasContainers() {
		put(presenceAddress(self))
	}
}

// attachments adds the links to the containers of this node. A slot that the record does not
// have any more is among them while its container may still have connections.
func attachments(s state.State, rec *mesh.Record, self *mesh.Node, in map[netip.Addr]state.Process) {
	for slot, process := range in {
		if !self.SlotBlock().Contains(slot) {
			continue // of a block that the node had before
		}
		link := state.Attachment{Slot: slot, Container: process, Gateway: self.MeshAddress(), Pool: rec.Cluster.AddressPool, MTU: rec.MTU()}
		neigh, route := link.Leads()
		s.Put(link, neigh, route)
	}
}

func presenceAddress(self *mesh.Node) state.Addr {
	return state.Addr{NS: state.Mesh, Link: "lo", Prefix: only(self.PresenceAddress())}
}

// hasContainers says that a port in s, or a network, leads to containers, on whichever node.
func hasContainers(s state.State, self *mesh.Node) bool {
	_, asked := s[presenceAddress(self).Key()]
	return asked
}

// containersRaw is the part of the mesh's raw table. Containers are reached by the nodes, and
// answer: a node's S is whom an endpoint sees, or, in host mode, a client outside of the pool,
// whose connection IPVS here has tracked. They open no connections into the overlay, and do
// not see each other.
func containersRaw(rec *mesh.Record, self *mesh.Node) []string {
	pool, slots := rec.Cluster.AddressPool, self.SlotBlock()
	lines := []string{fmt.Sprintf("-d %s/32 -j ACCEPT", self.PresenceAddress())}
	switch {
	case !slots.IsValid():
		return lines
	case rec.HasNetworks():
		return append(lines, membersRaw(rec, self)...)
	}
	return append(lines,
		fmt.Sprintf("-s %s -d %s -j DROP", slots, slots),
		fmt.Sprintf("-s %s -d %s -j CT --notrack", pool, slots),
		fmt.Sprintf("-d %s -j ACCEPT", slots),
		fmt.Sprintf("-s %s ! -d %s -j ACCEPT", slots, pool),
		fmt.Sprintf("-s %s -d %s/32 -j ACCEPT", slots, self.SelfTestAddress()),
		fmt.Sprintf("-s %s -d %s -j CT --notrack", slots, everyMeshAddress(rec)),
		fmt.Sprintf("-s %s -d %s -j ACCEPT", slots, everyMeshAddress(rec)),
	)
}

// everyMeshAddress is S of every block of the pool, everyHost H.
func everyMeshAddress(rec *mesh.Record) string {
	return everyBlock(rec, func(n *mesh.Node) netip.Prefix { return only(n.MeshAddress()) })
}

func everyHost(rec *mesh.Record) string {
	return everyBlock(rec, func(n *mesh.Node) netip.Prefix { return only(n.HostAddress()) })
}

// everySlot is the slots of every block of the pool; "" where blocks are too small for slots.
func everySlot(rec *mesh.Record, self *mesh.Node) string {
	if !self.SlotBlock().IsValid() {
		return ""
	}
	return everyBlock(rec, (*mesh.Node).SlotBlock)
}

// everyBlock is a part of every block of the pool, as an address and a mask with a gap.
func everyBlock(rec *mesh.Record, part func(*mesh.Node) netip.Prefix) string {
	pool := rec.Cluster.AddressPool
	first := part(&mesh.Node{Block: netip.PrefixFrom(pool.Addr(), rec.Cluster.NodePrefixLength)})
	const all = 1<<32 - 1
	ofPool, ofBlock, ofPart := uint32(all<<(32-pool.Bits())), uint32(all<<(32-rec.Cluster.NodePrefixLength)), uint32(all<<(32-first.Bits()))
	mask := ofPool | ofPart&^ofBlock
	return fmt.Sprintf("%s/%s", first.Addr(), netip.AddrFrom4([4]byte{byte(mask >> 24), byte(mask >> 16), byte(mask >> 8), byte(mask)}))
}

// slotsChanged are the services with a slot that is empty by now, or no longer.
func slotsChanged(rec *mesh.Record, was, now map[netip.Addr]bool) map[string]bool {
	services := map[string]bool{}
	if maps.Equal(was, now) {
		return services
	}
	for name, service := range rec.Services {
		for _, e := range service.Endpoints {
			host := rec.Nodes[e.Node]
			if host == nil || e.Container == nil {
				continue
			}
			for slot := range e.SlotAddresses(host) {
				if !sameIn(was, now, slot) {
					services[name] = true
				}
			}
		}
	}
	return services
}

func sameIn(a, b map[netip.Addr]bool, key netip.Addr) bool {
	was, had := a[key]
	is, has := b[key]
	return was == is && had == has
}
