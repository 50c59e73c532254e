package provider

import (
	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

type networkModel struct {
	ID        types.String   `tfsdk:"id"`
	ClusterID types.String   `tfsdk:"cluster_id"`
	Name      types.String   `tfsdk:"name"`
	Hosts     types.Set      `tfsdk:"hosts"`
	Identity  types.Int64    `tfsdk:"identity"`
	Resolver  types.String   `tfsdk:"resolver"`
	Drift     types.List     `tfsdk:"drift"`
	Timeouts  timeouts.Value `tfsdk:"timeouts"`
}

// toMesh converts what is known.
func (m *networkModel) toMesh() mesh.Network {
	return mesh.Network{Name: m.Name.ValueString(), Hosts: texts(m.Hosts)}
}

// fromMesh takes over what the record says. No hosts are null or an empty set, as somebody
// has written it.
func (m *networkModel) fromMesh(r *mesh.Record, n *mesh.Network) {
	m.ID = types.StringValue(mesh.NetworkID(r.Cluster.Name, n.Name))
	m.ClusterID, m.Name = types.StringValue(r.Cluster.Name), types.StringValue(n.Name)
	if len(n.Hosts) > 0 || len(m.Hosts.Elements()) > 0 {
		m.Hosts = textSet(n.Hosts)
	}
	m.given(r)
}

// given takes over what the record has given the network.
func (m *networkModel) given(r *mesh.Record) {
	m.Identity, m.Resolver = types.Int64Null(), types.StringNull()
	if r == nil {
		return // nobody has said what came of it: the next Read does
	}
	if id, ok := r.Identity(mesh.NewNetworkSet(m.Name.ValueString())); ok {
		m.Identity = types.Int64Value(int64(id))
	}
	if resolver := r.Resolver(); resolver.IsValid() {
		m.Resolver = types.StringValue(resolver.String())
	}
}
