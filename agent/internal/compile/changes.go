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
	if was.PairsInUse() != is.PairsInUse() || !sameRanges(was, is) || !sameMembers(was, is, node) {
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
	if was == nil || was.Nodes[node] == nil || is.Nodes[node] == nil || was.Cluster != is.Cluster || !samePairs(c, was, is) || changesRange(c, was) {
		return nil, false
	}
	if len(c.Services) > 0 && !sameMembers(was, is, node) {
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
		maps.EqualFunc(a.Endpoints, b.Endpoints, sameEndpoint)
}

func sameEndpoint(a, b mesh.Endpoint) bool {
	return a.Node == b.Node && a.Port == b.Port && same(a.Weight, b.Weight) && (a.Container == nil) == (b.Container == nil) && slices.Equal(a.Slots, b.Slots)
}

func same[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// changed is ChangedPorts, and those for which the conditions have changed.
func (d *Desired) changed(rec *mesh.Record, node string, v state.KernelVersion, now Conditions) ([]mesh.PortKey, bool) {
	if d.node != node || d.version != v || d.now.Forwarding != now.Forwarding || !maps.Equal(d.now.Containers, now.Containers) || !maps.Equal(d.now.Leaving, now.Leaving) {
		return nil, false
	}
	ports, known := d.ChangedPorts(rec, node)
	if !known {
		return nil, false
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
				ports = append(ports, key)
			}
		}
	}
	for _, draining := range [][2]map[mesh.PortKey][]netip.AddrPort{{d.now.Draining, now.Draining}, {now.Draining, d.now.Draining}} {
		for key, addrs := range draining[0] {
			if !slices.Equal(addrs, draining[1][key]) {
				ports = append(ports, key)
			}
		}
	}
	slices.SortFunc(ports, mesh.PortKey.Compare)
	return slices.Compact(ports), true
}
