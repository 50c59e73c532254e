package provider

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

type serviceData struct {
	Scheduler       string                  `tfsdk:"scheduler"`
	SessionAffinity *affinityModel          `tfsdk:"session_affinity"`
	HealthCheck     *healthCheckModel       `tfsdk:"health_check"`
	DrainTimeout    string                  `tfsdk:"drain_timeout"`
	Networks        map[string][]string     `tfsdk:"networks"`
	EndpointMode    string                  `tfsdk:"endpoint_mode"`
	VIPPorts        map[string]int64        `tfsdk:"vip_ports"`
	VIP             *string                 `tfsdk:"vip"`
	Endpoints       map[string]endpointData `tfsdk:"endpoints"`
}

type portData struct {
	Service    string                  `tfsdk:"service"`
	Mode       string                  `tfsdk:"mode"`
	LastPort   *int64                  `tfsdk:"last_port"`
	TargetPort int64                   `tfsdk:"target_port"`
	Locality   string                  `tfsdk:"locality"`
	OnePacket  bool                    `tfsdk:"one_packet"`
	Nodes      []string                `tfsdk:"nodes"`
	Listen     []string                `tfsdk:"listen_addresses"`
	Client     string                  `tfsdk:"client_address"`
	Allowed    []string                `tfsdk:"allowed_cidrs"`
	Endpoints  map[string]countersData `tfsdk:"endpoints"`
}

// countersData are sums over the nodes, and what each of them does with the
// endpoint.
type countersData struct {
	Node        string              `tfsdk:"node"`
	Weight      *int64              `tfsdk:"weight"`
	Health      *string             `tfsdk:"health"`
	Draining    bool                `tfsdk:"draining"`
	Connections int64               `tfsdk:"connections"`
	Active      int64               `tfsdk:"active_connections"`
	Inactive    int64               `tfsdk:"inactive_connections"`
	BytesIn     int64               `tfsdk:"bytes_in"`
	BytesOut    int64               `tfsdk:"bytes_out"`
	Seen        map[string]seenData `tfsdk:"seen_by"`
}

// seenData is an endpoint as one node has it.
type seenData struct {
	Weight   int64   `tfsdk:"weight"`
	Health   *string `tfsdk:"health"`
	Reason   *string `tfsdk:"reason"`
	Draining bool    `tfsdk:"draining"`
	Active   int64   `tfsdk:"active_connections"`
}

// endpointData is an endpoint as the record has it.
type endpointData struct {
	Node      string         `tfsdk:"node"`
	Port      *int64         `tfsdk:"port"`
	Weight    int64          `tfsdk:"weight"`
	Container *containerData `tfsdk:"container"`
	Addresses []string       `tfsdk:"addresses"`
}

type containerData struct {
	Name   *string           `tfsdk:"name"`
	Labels map[string]string `tfsdk:"labels"`
}

func endpointDataOf(r *mesh.Record, e mesh.Endpoint) endpointData {
	d := endpointData{Node: e.Node, Weight: int64(e.Share()), Addresses: []string{}}
	if e.Port != 0 {
		d.Port = new(int64(e.Port))
	}
	if c := e.Container; c != nil {
		d.Container = &containerData{Labels: c.Labels}
		if c.Name != "" {
			d.Container.Name = &c.Name
		}
	}
	if node := r.Nodes[e.Node]; node != nil {
		for address := range e.Addresses(node) {
			d.Addresses = append(d.Addresses, address.String())
		}
	}
	return d
}

func serviceDataOf(r *mesh.Record, s *mesh.Service) serviceData {
	d := serviceData{
		Scheduler: s.SchedulerName(), SessionAffinity: affinityModelOf(s.Affinity), HealthCheck: healthCheckModelOf(s.HealthCheck),
		DrainTimeout: durationText(s.Drain()), Endpoints: map[string]endpointData{},
		Networks: map[string][]string{}, EndpointMode: endpointModeText(s.EndpointMode), VIPPorts: map[string]int64{},
	}
	for name, membership := range s.Networks {
		d.Networks[name] = append([]string{}, membership.Aliases...)
	}
	for key, target := range s.VIPPorts {
		d.VIPPorts[key.String()] = int64(target)
	}
	if s.VIP.IsValid() {
		d.VIP = new(s.VIP.String())
	}
	for key, e := range s.Endpoints {
		d.Endpoints[key] = endpointDataOf(r, e)
	}
	return d
}

func portDataOf(r *mesh.Record, p *mesh.PublishedPort, counters map[string]*mesh.Counters) portData {
	d := portData{
		Service: p.Service, Mode: string(p.Mode), TargetPort: int64(p.Target),
		Locality: localityText(p.Locality), OnePacket: p.OnePacket, Allowed: p.AllowedCIDRs.Strings(), Nodes: p.Nodes.Names(), Listen: p.Listen.AddressTexts(),
		Client: clientAddressText(p.ClientAddress), Endpoints: map[string]countersData{},
	}
	if p.IsRange() {
		last := int64(p.Last)
		d.LastPort = &last
	}
	for key, e := range r.Services[p.Service].Endpoints {
		d.Endpoints[key] = countersData{Node: e.Node, Seen: map[string]seenData{}}
	}
	for _, node := range slices.Sorted(maps.Keys(counters)) {
		for _, port := range counters[node].Ports {
			if port.Port == p.Key() {
				d.add(r, p, node, port.Endpoints)
			}
		}
	}
	return d
}

// add takes in what a node has counted. What the record does not have is on its
// way out, or drift.
func (d *portData) add(r *mesh.Record, p *mesh.PublishedPort, node string, endpoints []mesh.EndpointCounters) {
	for _, e := range endpoints {
		key := e.Endpoint
		_, ok := d.Endpoints[key]
		if ok && e.Draining {
			own := r.Services[p.Service].Endpoints[key] // it may be somewhere else by now
			ok = nodeAt(r, e.Address.Addr()) == own.Node && p.DestinationPort(own) == e.Address.Port()
		}
		if !ok && !e.Draining {
			continue
		}
		if !ok {
			key = e.Address.String()
		}
		if d.Endpoints[key].Seen == nil {
			d.Endpoints[key] = countersData{Node: nodeAt(r, e.Address.Addr()), Seen: map[string]seenData{}}
		}
		d.Endpoints[key] = d.Endpoints[key].add(node, e)
	}
}

// nodeAt names the node with the overlay address, "" for none.
func nodeAt(r *mesh.Record, address netip.Addr) string {
	for _, name := range r.NodeNames() {
		if r.Nodes[name].HasEndpointsAt(address) {
			return name
		}
	}
	return ""
}

func (c countersData) add(node string, e mesh.EndpointCounters) countersData {
	if weight := int64(e.Weight); c.Weight == nil || weight < *c.Weight {
		c.Weight = &weight
	}
	if health := string(e.Health); health != "" && (c.Health == nil || worse(health, *c.Health)) {
		c.Health = &health
	}
	c.Draining = c.Draining || e.Draining
	c.Connections += int64(e.Connections)
	c.Active += int64(e.Active)
	c.Inactive += int64(e.Inactive)
	c.BytesIn += int64(e.BytesIn)
	c.BytesOut += int64(e.BytesOut)
	c.Seen[node] = seenData{
		Weight: int64(e.Weight), Health: orNil(string(e.Health)), Reason: orNil(e.Reason), Draining: e.Draining, Active: int64(e.Active),
	}
	return c
}

// worse orders what nodes say of an endpoint's health: one that some node does
// not use is worse than one that it uses for want of a better one.
func worse(a, b string) bool {
	order := []string{string(mesh.Healthy), string(mesh.UnhealthyKept), string(mesh.Unhealthy)}
	return slices.Index(order, a) > slices.Index(order, b)
}
