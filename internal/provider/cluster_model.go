package provider

import (
	"net/netip"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

type clusterModel struct {
	ID                 types.String         `tfsdk:"id"`
	Name               types.String         `tfsdk:"name"`
	AddressPool        types.String         `tfsdk:"address_pool"`
	NodePrefixLength   types.Int64          `tfsdk:"node_prefix_length"`
	VXLANPort          types.Int64          `tfsdk:"vxlan_port"`
	VNI                types.Int64          `tfsdk:"vni"`
	MTU                types.Int64          `tfsdk:"mtu"`
	PublishedPortRange types.String         `tfsdk:"published_port_range"`
	Repair             types.String         `tfsdk:"repair"`
	Firewall           types.String         `tfsdk:"firewall"`
	TCPIdleTimeout     timetypes.GoDuration `tfsdk:"tcp_idle_timeout"`
	UDPIdleTimeout     timetypes.GoDuration `tfsdk:"udp_idle_timeout"`
	HealthAddress      types.String         `tfsdk:"health_address"`
	MetricsAddress     types.String         `tfsdk:"metrics_address"`
	MarkBit            types.Int64          `tfsdk:"mark_bit"`
	HostDNS            types.String         `tfsdk:"host_dns"`
	ForceRemove        types.Bool           `tfsdk:"force_remove"`
	HostKeys           types.Map            `tfsdk:"host_keys"`
	Drift              types.List           `tfsdk:"drift"`
	Timeouts           timeouts.Value       `tfsdk:"timeouts"`
}

// toMesh converts what is known and takes the defaults for the rest, MTU
// excepted: only a configured one goes into the record.
func (m *clusterModel) toMesh(mtu types.Int64) mesh.Cluster {
	c := mesh.Cluster{
		Name:               m.Name.ValueString(),
		AddressPool:        mesh.DefaultAddressPool,
		NodePrefixLength:   mesh.DefaultNodePrefixLength,
		VXLANPort:          mesh.DefaultVXLANPort,
		VNI:                mesh.DefaultVNI(m.Name.ValueString()),
		MTU:                int(mtu.ValueInt64()),
		PublishedPortRange: mesh.DefaultPortRange,
		TCPIdleSeconds:     int(durationOr(m.TCPIdleTimeout, mesh.DefaultTCPIdle) / time.Second),
		UDPIdleSeconds:     int(durationOr(m.UDPIdleTimeout, mesh.DefaultUDPIdle) / time.Second),
		HealthAddress:      m.HealthAddress.ValueString(),
		MetricsAddress:     m.MetricsAddress.ValueString(),
	}
	if pool, err := netip.ParsePrefix(m.AddressPool.ValueString()); err == nil {
		c.AddressPool = pool
	}
	if !unset(m.NodePrefixLength) {
		c.NodePrefixLength = int(m.NodePrefixLength.ValueInt64())
	}
	if !unset(m.VXLANPort) {
		c.VXLANPort = uint16(m.VXLANPort.ValueInt64())
	}
	if !unset(m.MarkBit) {
		c.MarkBit = int(m.MarkBit.ValueInt64())
	}
	if !unset(m.VNI) {
		c.VNI = uint32(m.VNI.ValueInt64())
	}
	if r, err := mesh.ParsePortRange(m.PublishedPortRange.ValueString()); err == nil {
		c.PublishedPortRange = r
	}
	if m.Repair.ValueString() == string(mesh.RepairReport) {
		c.Repair = mesh.RepairReport
	}
	if m.Firewall.ValueString() == string(mesh.FirewallReport) {
		c.Firewall = mesh.FirewallReport
	}
	if m.HostDNS.ValueString() == string(mesh.HostDNSOff) {
		c.HostDNS = mesh.HostDNSOff
	}
	return c
}

// repairAutomatic is Terraform's word for mesh.RepairAutomatic, which the
// record leaves out.
const repairAutomatic = "automatic"

// firewallManage is Terraform's word for mesh.FirewallManage, likewise.
const firewallManage = "manage"

// hostDNSHosts is Terraform's word for mesh.HostDNSHosts, likewise.
const hostDNSHosts = "hosts"

func unset(v types.Int64) bool { return v.IsNull() || v.IsUnknown() }

// fromMesh takes over what the record says. What the plan knew already is the
// same, or a Read is correcting it.
func (m *clusterModel) fromMesh(r *mesh.Record) {
	c := r.Cluster
	m.ID, m.Name = types.StringValue(c.Name), types.StringValue(c.Name)
	m.AddressPool = types.StringValue(c.AddressPool.String())
	m.NodePrefixLength = types.Int64Value(int64(c.NodePrefixLength))
	m.VXLANPort = types.Int64Value(int64(c.VXLANPort))
	m.VNI = types.Int64Value(int64(c.VNI))
	m.MTU = types.Int64Value(int64(r.MTU()))
	m.PublishedPortRange = types.StringValue(c.PublishedPortRange.String())
	m.Repair = types.StringValue(repairText(c.Repair))
	m.Firewall = types.StringValue(firewallText(c.Firewall))
	m.TCPIdleTimeout, m.UDPIdleTimeout = durationValue(c.TCPIdle()), durationValue(c.UDPIdle())
	m.HealthAddress, m.MetricsAddress = orNull(c.HealthAddress), orNull(c.MetricsAddress)
	m.MarkBit = types.Int64Value(int64(c.MarkBitNumber()))
	m.HostDNS = types.StringValue(hostDNSText(c.HostDNS))
}

// sameSettings tells whether the record stays as it is.
func (m *clusterModel) sameSettings(o *clusterModel) bool {
	return m.AddressPool.Equal(o.AddressPool) && m.NodePrefixLength.Equal(o.NodePrefixLength) && m.VXLANPort.Equal(o.VXLANPort) &&
		m.VNI.Equal(o.VNI) && m.MTU.Equal(o.MTU) && m.PublishedPortRange.Equal(o.PublishedPortRange) && m.Repair.Equal(o.Repair) && m.Firewall.Equal(o.Firewall) &&
		m.TCPIdleTimeout.Equal(o.TCPIdleTimeout) && m.UDPIdleTimeout.Equal(o.UDPIdleTimeout) &&
		m.HealthAddress.Equal(o.HealthAddress) && m.MetricsAddress.Equal(o.MetricsAddress) && m.MarkBit.Equal(o.MarkBit) && m.HostDNS.Equal(o.HostDNS)
}
