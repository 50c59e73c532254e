package provider

import (
	"cmp"
	"context"
	"net/netip"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

type nodeModel struct {
	ID            types.String   `tfsdk:"id"`
	ClusterID     types.String   `tfsdk:"cluster_id"`
	Name          types.String   `tfsdk:"name"`
	Address       types.String   `tfsdk:"address"`
	SSH           types.Object   `tfsdk:"ssh"`
	Labels        types.Map      `tfsdk:"labels"`
	Availability  types.String   `tfsdk:"availability"`
	OverlayBlock  types.String   `tfsdk:"overlay_block"`
	MeshAddress   types.String   `tfsdk:"mesh_address"`
	HostAddress   types.String   `tfsdk:"host_address"`
	HostKey       types.String   `tfsdk:"host_key"`
	AgentVersion  types.String   `tfsdk:"agent_version"`
	KernelRelease types.String   `tfsdk:"kernel_release"`
	Repairs       types.Int64    `tfsdk:"repairs"`
	ForceRemove   types.Bool     `tfsdk:"force_remove"`
	Drift         types.List     `tfsdk:"drift"`
	Timeouts      timeouts.Value `tfsdk:"timeouts"`
}

type nodeSSHModel struct {
	Host        types.String `tfsdk:"host"`
	Port        types.Int64  `tfsdk:"port"`
	User        types.String `tfsdk:"user"`
	BastionHost types.String `tfsdk:"bastion_host"`
	BastionPort types.Int64  `tfsdk:"bastion_port"`
	BastionUser types.String `tfsdk:"bastion_user"`
	HostKey     types.String `tfsdk:"host_key"`
}

var nodeSSHTypes = map[string]attr.Type{
	"host": types.StringType, "port": types.Int64Type, "user": types.StringType,
	"bastion_host": types.StringType, "bastion_port": types.Int64Type, "bastion_user": types.StringType,
	"host_key": types.StringType,
}

// toMesh converts what is known; the rest stays zero.
func (m *nodeModel) toMesh(ctx context.Context) (mesh.Node, diag.Diagnostics) {
	var diags diag.Diagnostics
	n := mesh.Node{Name: m.Name.ValueString()}
	if a, err := netip.ParseAddr(m.Address.ValueString()); err == nil {
		n.Address = a
	}
	if !m.SSH.IsNull() && !m.SSH.IsUnknown() {
		var ssh nodeSSHModel
		diags.Append(m.SSH.As(ctx, &ssh, basetypes.ObjectAsOptions{})...)
		n.SSH = mesh.SSH{
			Host: ssh.Host.ValueString(), Port: uint16(ssh.Port.ValueInt64()), User: ssh.User.ValueString(),
			BastionHost: ssh.BastionHost.ValueString(), BastionPort: uint16(ssh.BastionPort.ValueInt64()), BastionUser: ssh.BastionUser.ValueString(),
			HostKey: bareKey(ssh.HostKey.ValueString()),
		}
	}
	if m.Availability.ValueString() == string(mesh.AvailabilityDrain) {
		n.Availability = mesh.AvailabilityDrain
	}
	for name, v := range m.Labels.Elements() {
		if s, ok := v.(types.String); ok {
			if n.Labels == nil {
				n.Labels = map[string]string{}
			}
			n.Labels[name] = s.ValueString()
		}
	}
	return n, diags
}

// fromMesh takes over what the record says of the node.
func (m *nodeModel) fromMesh(ctx context.Context, cluster string, n *mesh.Node) diag.Diagnostics {
	m.ID = types.StringValue(mesh.NodeID(cluster, n.Name))
	m.ClusterID, m.Name = types.StringValue(cluster), types.StringValue(n.Name)
	m.Address = types.StringValue(n.Address.String())
	m.Availability = types.StringValue(availabilityText(n.Availability))
	m.allocated(n)
	m.HostKey = orNull(n.SSH.HostKey)
	if len(n.Labels) > 0 || !m.Labels.IsNull() { // {} and null are the same to the record
		labels := map[string]attr.Value{}
		for name, v := range n.Labels {
			labels[name] = types.StringValue(v)
		}
		m.Labels = types.MapValueMust(types.StringType, labels)
	}
	return m.sshFromMesh(ctx, n.SSH)
}

// availabilityActive is Terraform's word for mesh.AvailabilityActive, which the
// record leaves out.
const availabilityActive = "active"

func availabilityText(a mesh.Availability) string { return cmp.Or(string(a), availabilityActive) }

// allocated takes over what the cluster gave the node for as long as it stays.
func (m *nodeModel) allocated(n *mesh.Node) {
	m.OverlayBlock = types.StringValue(n.Block.String())
	m.MeshAddress = types.StringValue(n.MeshAddress().String())
	m.HostAddress = types.StringValue(n.HostAddress().String())
}

// sshFromMesh keeps two things apart that look the same in the record: ssh = {}
// and no ssh; and a host key that was configured and one that was pinned.
func (m *nodeModel) sshFromMesh(ctx context.Context, s mesh.SSH) diag.Diagnostics {
	var diags diag.Diagnostics
	var old nodeSSHModel
	if !m.SSH.IsNull() && !m.SSH.IsUnknown() {
		diags.Append(m.SSH.As(ctx, &old, basetypes.ObjectAsOptions{})...)
	}
	key := types.StringNull()
	if !old.HostKey.IsNull() {
		key = orNull(s.HostKey)
		if bareKey(old.HostKey.ValueString()) == bareKey(s.HostKey) {
			key = old.HostKey // with its comment
		}
	}
	rest := s
	rest.HostKey = ""
	if m.SSH.IsNull() && rest == (mesh.SSH{}) {
		return diags
	}
	object, ds := types.ObjectValueFrom(ctx, nodeSSHTypes, nodeSSHModel{
		Host: orNull(s.Host), Port: portOrNull(s.Port), User: orNull(s.User),
		BastionHost: orNull(s.BastionHost), BastionPort: portOrNull(s.BastionPort), BastionUser: orNull(s.BastionUser),
		HostKey: key,
	})
	diags.Append(ds...)
	m.SSH = object
	return diags
}

// bareKey drops the comment of a public key.
func bareKey(key string) string {
	fields := strings.Fields(key)
	return strings.Join(fields[:min(2, len(fields))], " ")
}

// observed takes over what the node's agent says of itself.
func (m *nodeModel) observed(st *mesh.Status) {
	m.AgentVersion = types.StringValue(st.Version)
	m.KernelRelease = types.StringValue(st.Host.KernelRelease)
	m.Repairs = types.Int64Value(int64(st.Repairs))
}

// settle fills in what is still unknown once a change is through: what the
// plan knew stays as planned, and the next Read corrects it.
func (m *nodeModel) settle(res *meshclient.Result) {
	if res != nil && res.Record != nil {
		name := m.Name.ValueString()
		if n := res.Record.Nodes[name]; n != nil {
			m.allocated(n)
			if m.HostKey.IsUnknown() {
				m.HostKey = orNull(n.SSH.HostKey)
			}
		}
		if st := res.Status[name]; st != nil {
			if m.AgentVersion.IsUnknown() {
				m.AgentVersion = types.StringValue(st.Version)
			}
			if m.KernelRelease.IsUnknown() {
				m.KernelRelease = types.StringValue(st.Host.KernelRelease)
			}
			if m.Repairs.IsUnknown() {
				m.Repairs = types.Int64Value(int64(st.Repairs))
			}
		}
	}
	for _, v := range []*types.String{&m.OverlayBlock, &m.MeshAddress, &m.HostAddress, &m.HostKey, &m.AgentVersion, &m.KernelRelease} {
		*v = known(*v)
	}
	if m.Repairs.IsUnknown() {
		m.Repairs = types.Int64Null()
	}
}
