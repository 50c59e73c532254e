package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

type serviceModel struct {
	ID        types.String   `tfsdk:"id"`
	ClusterID types.String   `tfsdk:"cluster_id"`
	Name      types.String   `tfsdk:"name"`
	Endpoints types.Map      `tfsdk:"endpoints"`
	Drift     types.List     `tfsdk:"drift"`
	Timeouts  timeouts.Value `tfsdk:"timeouts"`
}

type endpointModel struct {
	Node types.String `tfsdk:"node"`
	Port types.Int64  `tfsdk:"port"`
}

var endpointType = types.ObjectType{AttrTypes: map[string]attr.Type{"node": types.StringType, "port": types.Int64Type}}

// toMesh converts what is known; an endpoint of which something is unknown is
// left out.
func (m *serviceModel) toMesh(ctx context.Context) (mesh.Service, diag.Diagnostics) {
	var diags diag.Diagnostics
	s := mesh.Service{Name: m.Name.ValueString(), Endpoints: map[string]mesh.Endpoint{}}
	for key, v := range m.Endpoints.Elements() {
		object, ok := v.(types.Object)
		if !ok || object.IsUnknown() || object.IsNull() {
			continue
		}
		var e endpointModel
		diags.Append(object.As(ctx, &e, basetypes.ObjectAsOptions{})...)
		if e.Node.IsUnknown() || e.Port.IsUnknown() {
			continue
		}
		s.Endpoints[key] = mesh.Endpoint{Node: e.Node.ValueString(), Port: uint16(e.Port.ValueInt64())}
	}
	return s, diags
}

func (m *serviceModel) fromMesh(ctx context.Context, cluster string, s *mesh.Service) diag.Diagnostics {
	m.ID = types.StringValue(mesh.ServiceID(cluster, s.Name))
	m.ClusterID, m.Name = types.StringValue(cluster), types.StringValue(s.Name)
	endpoints := map[string]endpointModel{}
	for key, e := range s.Endpoints {
		endpoints[key] = endpointModel{Node: types.StringValue(e.Node), Port: portOrNull(e.Port)}
	}
	var diags diag.Diagnostics
	m.Endpoints, diags = types.MapValueFrom(ctx, endpointType, endpoints)
	return diags
}
