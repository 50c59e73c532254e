package provider

import (
	"cmp"
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
	Networks   map[string]networkData `tfsdk:"networks"`
	Resolver   *string                `tfsdk:"resolver"`
	Unhealthy  []string               `tfsdk:"unhealthy"`
	Warnings   []string               `tfsdk:"warnings"`
	Drift      []string               `tfsdk:"drift"`
}

type settingsData struct {
	AddressPool        string  `tfsdk:"address_pool"`
	NodePrefixLength   int64   `tfsdk:"node_prefix_length"`
	VXLANPort          int64   `tfsdk:"vxlan_port"`
	VNI                int64   `tfsdk:"vni"`
	MTU                int64   `tfsdk:"mtu"`
	PublishedPortRange string  `tfsdk:"published_port_range"`
	Repair             string  `tfsdk:"repair"`
	Firewall           string  `tfsdk:"firewall"`
	TCPIdleTimeout     string  `tfsdk:"tcp_idle_timeout"`
	UDPIdleTimeout     string  `tfsdk:"udp_idle_timeout"`
	HealthAddress      *string `tfsdk:"health_address"`
	MetricsAddress     *string `tfsdk:"metrics_address"`
	MarkBit            int64   `tfsdk:"mark_bit"`
	HostDNS            string  `tfsdk:"host_dns"`
}

type networkData struct {
	Hosts    []string `tfsdk:"hosts"`
	Identity *int64   `tfsdk:"identity"`
	Services []string `tfsdk:"services"`
}

func networkDataOf(r *mesh.Record, n *mesh.Network) networkData {
	d := networkData{Hosts: append([]string{}, n.Hosts...), Services: []string{}}
	for _, s := range r.Members(n.Name) {
		d.Services = append(d.Services, s.Name)
	}
	if id, ok := r.Identity(mesh.NewNetworkSet(n.Name)); ok {
		d.Identity = new(int64(id))
	}
	return d
}

// nodeData has null where the node does not answer.
type nodeData struct {
	Address       string            `tfsdk:"address"`
	Labels        map[string]string `tfsdk:"labels"`
	MeshAddress   string            `tfsdk:"mesh_address"`
	HostAddress   string            `tfsdk:"host_address"`
	Availability  string            `tfsdk:"availability"`
	Reachable     bool              `tfsdk:"reachable"`
	Generation    *int64            `tfsdk:"generation"`
	AgentVersion  *string           `tfsdk:"agent_version"`
	KernelRelease *string           `tfsdk:"kernel_release"`
	Repairs       *int64            `tfsdk:"repairs"`
	Drift         []string          `tfsdk:"drift"`
}

// fill takes over a snapshot that has a record, and the counters of the nodes
// that gave them.
func (m *clusterDataModel) fill(snap *meshclient.Snapshot, counters map[string]*mesh.Counters) {
	r := snap.Record
	m.Name, m.ID, m.UID = types.StringValue(r.Cluster.Name), types.StringValue(r.Cluster.Name), types.StringValue(r.UID)
	m.Generation = types.Int64Value(int64(r.Generation))
	m.Settings = settingsDataOf(r)
	m.Nodes, m.Services, m.Ports = map[string]nodeData{}, map[string]serviceData{}, map[string]portData{}
	objects := []mesh.Ref{mesh.ClusterRef}
	for _, name := range r.NodeNames() {
		m.Nodes[name] = nodeDataOf(snap, name)
		objects = append(objects, mesh.NodeRef(name))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Services)) {
		m.Services[name] = serviceDataOf(r, r.Services[name])
		objects = append(objects, mesh.ServiceRef(name))
	}
	for _, k := range slices.SortedFunc(maps.Keys(r.Ports), mesh.PortKey.Compare) {
		m.Ports[k.String()] = portDataOf(r, r.Ports[k], counters)
		objects = append(objects, mesh.PortRef(k))
	}
	m.Networks = map[string]networkData{}
	for _, name := range r.NetworkNames() {
		m.Networks[name] = networkDataOf(r, r.Networks[name])
		objects = append(objects, mesh.NetworkRef(name))
	}
	if resolver := r.Resolver(); resolver.IsValid() {
		m.Resolver = new(resolver.String())
	}
	m.Unhealthy, m.Warnings, m.Drift = append([]string{}, snap.Unhealthy()...), trafficSentences(snap), []string{}
	for _, o := range objects {
		m.Drift = append(m.Drift, snap.Drift(o)...)
	}
}

func settingsDataOf(r *mesh.Record) *settingsData {
	c := r.Cluster
	return &settingsData{
		AddressPool: c.AddressPool.String(), NodePrefixLength: int64(c.NodePrefixLength), VXLANPort: int64(c.VXLANPort), VNI: int64(c.VNI), MTU: int64(r.MTU()),
		PublishedPortRange: c.PublishedPortRange.String(), Repair: repairText(c.Repair), Firewall: firewallText(c.Firewall),
		TCPIdleTimeout: durationText(c.TCPIdle()), UDPIdleTimeout: durationText(c.UDPIdle()),
		HealthAddress: orNil(c.HealthAddress), MetricsAddress: orNil(c.MetricsAddress), MarkBit: int64(c.MarkBitNumber()), HostDNS: hostDNSText(c.HostDNS),
	}
}

func nodeDataOf(snap *meshclient.Snapshot, name string) nodeData {
	n := snap.Record.Nodes[name]
	d := nodeData{
		Address: n.Address.String(), Labels: labelsOf(n), MeshAddress: n.MeshAddress().String(), HostAddress: n.HostAddress().String(), Availability: availabilityText(n.Availability),
		Drift: append([]string{}, snap.Drift(mesh.NodeRef(name))...),
	}
	if st := snap.Nodes[name].Status; st != nil {
		d.Reachable = true
		d.Generation, d.Repairs = new(int64(st.Generation)), new(int64(st.Repairs))
		d.AgentVersion, d.KernelRelease = &st.Version, &st.Host.KernelRelease
	}
	return d
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func repairText(r mesh.RepairMode) string { return cmp.Or(string(r), repairAutomatic) }

func hostDNSText(d mesh.HostDNSMode) string { return cmp.Or(string(d), hostDNSHosts) }

func firewallText(f mesh.FirewallMode) string { return cmp.Or(string(f), firewallManage) }
