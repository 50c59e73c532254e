package provider

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

type clusterDataModel struct {
	Name       types.String           `tfsdk:"name"`
	ID         types.String           `tfsdk:"id"`
	UID        types.String           `tfsdk:"uid"`
	Generation types.Int64            `tfsdk:"generation"`
	Settings   *settingsData          `tfsdk:"settings"`
	Nodes      map[string]nodeData    `tfsdk:"nodes"`
	Services   map[string]serviceData `tfsdk:"services"`
	Ports      map[string]portData    `tfsdk:"ports"`
	Drift      []string               `tfsdk:"drift"`
}

type settingsData struct {
	AddressPool        string `tfsdk:"address_pool"`
	NodePrefixLength   int64  `tfsdk:"node_prefix_length"`
	VXLANPort          int64  `tfsdk:"vxlan_port"`
	VNI                int64  `tfsdk:"vni"`
	MTU                int64  `tfsdk:"mtu"`
	PublishedPortRange string `tfsdk:"published_port_range"`
	Repair             string `tfsdk:"repair"`
}

// nodeData has null where the node does not answer.
type nodeData struct {
	Address       string   `tfsdk:"address"`
	MeshAddress   string   `tfsdk:"mesh_address"`
	HostAddress   string   `tfsdk:"host_address"`
	Reachable     bool     `tfsdk:"reachable"`
	Generation    *int64   `tfsdk:"generation"`
	AgentVersion  *string  `tfsdk:"agent_version"`
	KernelRelease *string  `tfsdk:"kernel_release"`
	Repairs       *int64   `tfsdk:"repairs"`
	Drift         []string `tfsdk:"drift"`
}

type serviceData struct {
	Endpoints map[string]endpointModel `tfsdk:"endpoints"`
}

type portData struct {
	Service    string                  `tfsdk:"service"`
	Mode       string                  `tfsdk:"mode"`
	TargetPort int64                   `tfsdk:"target_port"`
	Endpoints  map[string]countersData `tfsdk:"endpoints"`
}

// countersData are sums over the nodes.
type countersData struct {
	Node        string `tfsdk:"node"`
	Weight      *int64 `tfsdk:"weight"`
	Connections int64  `tfsdk:"connections"`
	Active      int64  `tfsdk:"active_connections"`
	Inactive    int64  `tfsdk:"inactive_connections"`
	BytesIn     int64  `tfsdk:"bytes_in"`
	BytesOut    int64  `tfsdk:"bytes_out"`
}

// fill takes over a snapshot that has a record, and the counters of the nodes
// that gave them.
func (m *clusterDataModel) fill(snap *meshclient.Snapshot, counters map[string]*mesh.Counters) {
	r := snap.Record
	m.Name, m.ID, m.UID = types.StringValue(r.Cluster.Name), types.StringValue(r.Cluster.Name), types.StringValue(r.UID)
	m.Generation = types.Int64Value(int64(r.Generation))
	m.Settings = settingsDataOf(r)
	m.Nodes, m.Services, m.Ports = map[string]nodeData{}, map[string]serviceData{}, map[string]portData{}
	objects := []mesh.Object{mesh.ClusterObject}
	for _, name := range r.NodeNames() {
		m.Nodes[name] = nodeDataOf(snap, name)
		objects = append(objects, mesh.NodeObject(name))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Services)) {
		m.Services[name] = serviceDataOf(r.Services[name])
		objects = append(objects, mesh.ServiceObject(name))
	}
	for _, k := range slices.SortedFunc(maps.Keys(r.Ports), mesh.PortKey.Compare) {
		m.Ports[k.String()] = portDataOf(r, r.Ports[k], counters)
		objects = append(objects, mesh.PortObject(k))
	}
	m.Drift = []string{}
	for _, o := range objects {
		m.Drift = append(m.Drift, snap.Drift(o)...)
	}
}

func settingsDataOf(r *mesh.Record) *settingsData {
	c := r.Cluster
	return &settingsData{
		AddressPool: c.AddressPool.String(), NodePrefixLength: int64(c.NodePrefixLength), VXLANPort: int64(c.VXLANPort), VNI: int64(c.VNI), MTU: int64(r.MTU()),
		PublishedPortRange: portRangeText(c.PublishedPortRange), Repair: repairText(c.Repair),
	}
}

func nodeDataOf(snap *meshclient.Snapshot, name string) nodeData {
	n := snap.Record.Nodes[name]
	d := nodeData{
		Address: n.Address.String(), MeshAddress: n.MeshAddress().String(), HostAddress: n.HostAddress().String(),
		Drift: append([]string{}, snap.Drift(mesh.NodeObject(name))...),
	}
	if st := snap.Nodes[name].Status; st != nil {
		d.Reachable = true
		d.Generation, d.Repairs = new(int64(st.Generation)), new(int64(st.Repairs))
		d.AgentVersion, d.KernelRelease = &st.Version, &st.Host.KernelRelease
	}
	return d
}

func serviceDataOf(s *mesh.Service) serviceData {
	d := serviceData{Endpoints: map[string]endpointModel{}}
	for key, e := range s.Endpoints {
		d.Endpoints[key] = endpointModel{Node: types.StringValue(e.Node), Port: portOrNull(e.Port)}
	}
	return d
}

func portDataOf(r *mesh.Record, p *mesh.PublishedPort, counters map[string]*mesh.Counters) portData {
	d := portData{Service: p.Service, Mode: string(p.Mode), TargetPort: int64(p.Target), Endpoints: map[string]countersData{}}
	for key, e := range r.Services[p.Service].Endpoints {
		d.Endpoints[key] = countersData{Node: e.Node}
	}
	for _, c := range counters {
		for _, port := range c.Ports {
			if port.Port != p.Key() {
				continue
			}
			for _, e := range port.Endpoints {
				if sum, ok := d.Endpoints[e.Endpoint]; ok { // what the record does not have is drift
					d.Endpoints[e.Endpoint] = sum.add(e)
				}
			}
		}
	}
	return d
}

func (c countersData) add(e mesh.EndpointCounters) countersData {
	if weight := int64(e.Weight); c.Weight == nil || weight < *c.Weight {
		c.Weight = &weight
	}
	c.Connections += int64(e.Connections)
	c.Active += int64(e.Active)
	c.Inactive += int64(e.Inactive)
	c.BytesIn += int64(e.BytesIn)
	c.BytesOut += int64(e.BytesOut)
	return c
}

func portRangeText(r mesh.PortRange) string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

func repairText(r mesh.RepairMode) string { return cmp.Or(string(r), repairAutomatic) }
