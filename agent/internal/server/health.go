package server

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/health"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// verdict is what a check has come to, in the API's words.
type verdict struct {
	endpoint string
	health   mesh.Health
	reason   string
}

// verdictsOf are those about endpoints that the record still has.
func verdictsOf(stored Stored, results map[compile.Check]health.Result, now compile.Conditions) map[compile.Check]verdict {
	verdicts := map[compile.Check]verdict{}
	if stored.Record == nil {
		return verdicts
	}
	for check, result := range results {
		if stored.Record.Services[check.Service] == nil {
			continue
		}
		v := verdict{endpoint: result.Endpoint, health: mesh.Healthy}
		if result.Failing {
			v.health, v.reason = mesh.Unhealthy, result.Reason
			if compile.Kept(stored.Record, stored.Node, check, now) {
				v.health = mesh.UnhealthyKept
			}
		}
		verdicts[check] = v
	}
	return verdicts
}

// unhealthy lists who fails, sorted.
func unhealthy(stored Stored, results map[compile.Check]health.Result, now compile.Conditions) []mesh.EndpointHealth {
	var list []mesh.EndpointHealth
	for check, v := range verdictsOf(stored, results, now) {
		if v.health != mesh.Healthy {
			list = append(list, mesh.EndpointHealth{
				Service: check.Service, Endpoint: v.endpoint, Address: check.Addr, Health: v.health, Reason: v.reason,
			})
		}
	}
	slices.SortFunc(list, func(a, b mesh.EndpointHealth) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Endpoint, b.Endpoint), a.Address.Compare(b.Address))
	})
	return list
}

// nameUnhealthy adds to each endpoint what its checks have come to; of several, by
// which a udp port goes, the worst.
func nameUnhealthy(c *mesh.Counters, rec *mesh.Record, verdicts map[compile.Check]verdict) {
	type endpoint struct{ service, name string }
	checks := map[endpoint][]compile.Check{}
	for _, check := range slices.SortedFunc(maps.Keys(verdicts), func(a, b compile.Check) int { return a.Addr.Compare(b.Addr) }) {
		key := endpoint{check.Service, verdicts[check].endpoint}
		checks[key] = append(checks[key], check)
	}
	for i := range c.Ports {
		port := rec.Ports[c.Ports[i].Port]
		if port == nil {
			continue
		}
		for j := range c.Ports[i].Endpoints {
			e := &c.Ports[i].Endpoints[j]
			for _, check := range checks[endpoint{port.Service, e.Endpoint}] {
				if v := verdicts[check]; !e.Draining && decides(rec, port, check, e.Address) && (e.Health == "" || e.Health == mesh.Healthy) {
					e.Health, e.Reason = v.health, v.reason
				}
			}
		}
	}
}

// decides says that the port's destination goes by the check.
func decides(rec *mesh.Record, port *mesh.PublishedPort, check compile.Check, destination netip.AddrPort) bool {
	h := rec.Services[port.Service].HealthCheck
	return h != nil && (h.Port != 0 || port.Protocol == mesh.UDP || check.Addr == destination)
}

// nameDraining marks what is on its way out, and gives it the name that it had.
func nameDraining(c *mesh.Counters, draining []mesh.Drain) {
	type destination struct {
		port    mesh.PortKey
		address netip.AddrPort
	}
	names := map[destination]string{}
	for _, d := range draining {
		names[destination{d.Port, d.Address}] = d.Endpoint
	}
	for i := range c.Ports {
		for j := range c.Ports[i].Endpoints {
			e := &c.Ports[i].Endpoints[j]
			if name, ok := names[destination{c.Ports[i].Port, e.Address}]; ok {
				e.Endpoint, e.Draining = name, true
			}
		}
	}
}
