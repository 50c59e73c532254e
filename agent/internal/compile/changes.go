package compile

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// ChangedPorts lists the published ports that ask for something else of the node
// with one record than with the other, sorted, perhaps some more; known is false
// where something else has changed as well, so that it may be anything.
func ChangedPorts(was, is *mesh.Record, node string) (ports []mesh.PortKey, known bool) {
	if was == nil || is == nil || was.Nodes[node] == nil || is.Nodes[node] == nil || was.Cluster != is.Cluster || !maps.EqualFunc(was.Nodes, is.Nodes, sameNode) {
		return nil, false
	}
	if was == is {
		return nil, true
	}
	if was.PairsInUse() != is.PairsInUse() || !sameRanges(was, is) || !sameNetworks(was, is, node) {
		return nil, false
	}
	services := map[string]bool{}
	for name, s := range is.Services {
		if !sameService(was.Services[name], s) {
			services[name] = true
		}
	}
	for key, p := range is.Ports {
		if old := was.Ports[key]; old != p && (old == nil || *old != *p) || services[p.Service] {
			ports = append(ports, key)
		}
	}
	for key := range was.Ports {
		if is.Ports[key] == nil {
			ports = append(ports, key)
		}
	}
	slices.SortFunc(ports, mesh.PortKey.Compare)
	return ports, true
}

// portsOf is ChangedPorts of two records the second of which the change has made of the
// first, at the cost of the change.
func portsOf(c *mesh.Change, was, is *mesh.Record, node string) (ports []mesh.PortKey, known bool) {
	if was == nil || was.Nodes[node] == nil || is.Nodes[node] == nil || was.Cluster != is.Cluster || !samePairs(c, was, is) || changesRange(c, was) || changesNetworks(c, was, is, node) {
		return nil, false
	}
	for name := range c.Nodes {
		if a, b := was.Nodes[name], is.Nodes[name]; a == nil || b == nil || !sameNode(a, b) {
			return nil, false
		}
	}
	services := map[string]bool{}
	for name := range c.Services {
		// The ports of a service that is new are new themselves.
		if a, b := was.Services[name], is.Services[name]; a != nil && b != nil && !sameService(a, b) {
			services[name] = true
		}
	}
	ports = slices.Collect(maps.Keys(c.Ports))
	if len(services) > 0 {
		for key, p := range is.Ports {
			if services[p.Service] {
				ports = append(ports, key)
			}
		}
	}
	slices.SortFunc(ports, mesh.PortKey.Compare)
	return slices.Compact(ports), true
}

// sameNode says that nothing has changed that is compiled.
func sameNode(a, b *mesh.Node) bool {
	return a == b || a.Name == b.Name && a.Address == b.Address && a.Block == b.Block &&
		a.UnderlayMTU == b.UnderlayMTU && a.Availability == b.Availability
}

func sameService(a, b *mesh.Service) bool {
	if a == b {
		return true
	}
	return a != nil && b != nil && a.Scheduler == b.Scheduler && same(a.Affinity, b.Affinity) && same(a.HealthCheck, b.HealthCheck) &&
		maps.EqualFunc(a.Endpoints, b.Endpoints, sameEndpoint) && a.VIP == b.VIP && maps.Equal(a.VIPPorts, b.VIPPorts) && inSameNetworks(a, b)
}

// inSameNetworks leaves out aliases, which are the resolver's.
func inSameNetworks(a, b *mesh.Service) bool {
	return maps.EqualFunc(a.Networks, b.Networks, func(_, _ mesh.Membership) bool { return true })
}

func sameEndpoint(a, b mesh.Endpoint) bool {
	return a.Node == b.Node && a.Port == b.Port && same(a.Weight, b.Weight) && (a.Container == nil) == (b.Container == nil) && slices.Equal(a.Slots, b.Slots)
}

func same[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// changed are ChangedPorts, and the units for which the conditions have changed.
func (d *Desired) changed(rec *mesh.Record, node string, v state.KernelVersion, now Conditions) ([]Frontend, bool) {
	if d.node != node || d.version != v || d.now.Forwarding != now.Forwarding || !maps.Equal(d.now.Containers, now.Containers) || !maps.Equal(d.now.Leaving, now.Leaving) {
		return nil, false
	}
	ports, known := d.ChangedPorts(rec, node)
	if !known {
		return nil, false
	}
	units := make([]Frontend, 0, len(ports))
	for _, key := range ports {
		units = append(units, Published(key))
	}
	services := slotsChanged(rec, d.now.Absent, now.Absent)
	for _, checks := range [][2]map[Check]bool{{d.now.Unhealthy, now.Unhealthy}, {now.Unhealthy, d.now.Unhealthy}} {
		for check, fails := range checks[0] {
			if checks[1][check] != fails {
				services[check.Service] = true
			}
		}
	}
	if len(services) > 0 {
		for key, p := range rec.Ports {
			if services[p.Service] {
				units = append(units, Published(key))
			}
		}
		for name := range services {
			if s := rec.Services[name]; s != nil && len(s.Networks) > 0 {
				units = append(units, Frontend{VIP: name})
			}
		}
	}
	for _, draining := range [][2]map[Frontend][]netip.AddrPort{{d.now.Draining, now.Draining}, {now.Draining, d.now.Draining}} {
		for f, addrs := range draining[0] {
			if !slices.Equal(addrs, draining[1][f]) {
				units = append(units, f.unit())
			}
		}
	}
	slices.SortFunc(units, Frontend.Compare)
	return slices.Compact(units), true
}

// sameNetworks says that networks, their addressing, services in networks and the node's
// slots are the same; also that there are no networks.
func sameNetworks(was, is *mesh.Record, node string) bool {
	if !was.HasNetworks() && !is.HasNetworks() {
		return true
	}
	if !maps.EqualFunc(was.Networks, is.Networks, sameNetwork) || !sameAddressing(was.Addressing, is.Addressing) {
		return false
	}
	for name, s := range is.Services {
		if changesMembers(was.Services[name], s, node) {
			return false
		}
	}
	for name, s := range was.Services {
		if is.Services[name] == nil && changesMembers(s, nil, node) {
			return false
		}
	}
	return true
}

// changesNetworks is the reverse of sameNetworks for a change.
func changesNetworks(c *mesh.Change, was, is *mesh.Record, node string) bool {
	if !was.HasNetworks() && !is.HasNetworks() {
		return false
	}
	if len(c.Networks) > 0 || c.Addressing != nil && !sameAddressing(was.Addressing, is.Addressing) {
		return true
	}
	for name := range c.Services {
		if changesMembers(was.Services[name], is.Services[name], node) {
			return true
		}
	}
	return false
}

// changesMembers says that a service in networks, which may be new or gone, has changed, or
// that one in no network has other slots on the node.
func changesMembers(was, is *mesh.Service, node string) bool {
	if was != nil && len(was.Networks) > 0 || is != nil && len(is.Networks) > 0 {
		return !sameService(was, is)
	}
	return was != is && !slices.Equal(slotsOn(was, node), slotsOn(is, node))
}

// slotsOn are the slots of the service on the node, sorted.
func slotsOn(service *mesh.Service, node string) (slots []uint16) {
	if service == nil {
		return nil
	}
	for _, e := range service.Endpoints {
		if e.Node == node && e.Container != nil {
			slots = append(slots, e.Slots...)
		}
	}
	slices.Sort(slots)
	return slots
}

func sameNetwork(a, b *mesh.Network) bool { return a == b || slices.Equal(a.Hosts, b.Hosts) }

func sameAddressing(a, b *mesh.NetworkAddressing) bool {
	return a == b || a != nil && b != nil && maps.Equal(a.Identities, b.Identities) && slices.Equal(a.VIPBlocks, b.VIPBlocks)
}
