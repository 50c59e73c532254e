package provider

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

type serviceModel struct {
	ID              types.String         `tfsdk:"id"`
	ClusterID       types.String         `tfsdk:"cluster_id"`
	Name            types.String         `tfsdk:"name"`
	Endpoints       types.Map            `tfsdk:"endpoints"`
	Scheduler       types.String         `tfsdk:"scheduler"`
	SessionAffinity types.Object         `tfsdk:"session_affinity"`
	HealthCheck     types.Object         `tfsdk:"health_check"`
	DrainTimeout    timetypes.GoDuration `tfsdk:"drain_timeout"`
	Drift           types.List           `tfsdk:"drift"`
	Timeouts        timeouts.Value       `tfsdk:"timeouts"`
}

type endpointModel struct {
	Node   types.String `tfsdk:"node"`
	Port   types.Int64  `tfsdk:"port"`
	Weight types.Int64  `tfsdk:"weight"`
}

var endpointType = types.ObjectType{AttrTypes: map[string]attr.Type{"node": types.StringType, "port": types.Int64Type, "weight": types.Int64Type}}

// toMesh converts what is known; an endpoint of which something is unknown is
// left out, and so is an affinity or a health check.
func (m *serviceModel) toMesh(ctx context.Context) (mesh.Service, diag.Diagnostics) {
	var diags diag.Diagnostics
	s := mesh.Service{
		Name: m.Name.ValueString(), Endpoints: map[string]mesh.Endpoint{}, Scheduler: m.Scheduler.ValueString(),
		Affinity: affinityOf(ctx, m.SessionAffinity, &diags), HealthCheck: healthCheckOf(ctx, m.HealthCheck, &diags),
		DrainSeconds: int(durationOr(m.DrainTimeout, mesh.DefaultDrain) / time.Second),
	}
	for key, v := range m.Endpoints.Elements() {
		object, ok := v.(types.Object)
		if !ok || object.IsUnknown() || object.IsNull() {
			continue
		}
		var e endpointModel
		diags.Append(object.As(ctx, &e, basetypes.ObjectAsOptions{})...)
		if e.Node.IsUnknown() || e.Port.IsUnknown() || e.Weight.IsUnknown() {
			continue
		}
		s.Endpoints[key] = mesh.Endpoint{Node: e.Node.ValueString(), Port: uint16(e.Port.ValueInt64()), Weight: new(int(e.Weight.ValueInt64()))}
	}
	return s, diags
}

func (m *serviceModel) fromMesh(ctx context.Context, cluster string, s *mesh.Service) diag.Diagnostics {
	m.ID = types.StringValue(mesh.ServiceID(cluster, s.Name))
	m.ClusterID, m.Name = types.StringValue(cluster), types.StringValue(s.Name)
	endpoints := map[string]endpointModel{}
	for key, e := range s.Endpoints {
		endpoints[key] = endpointModelOf(e)
	}
	m.Scheduler, m.DrainTimeout = types.StringValue(s.SchedulerName()), durationValue(s.Drain())
	var diags, ds diag.Diagnostics
	m.Endpoints, diags = types.MapValueFrom(ctx, endpointType, endpoints)
	m.SessionAffinity, ds = types.ObjectValueFrom(ctx, affinityTypes, affinityModelOf(s.Affinity))
	diags.Append(ds...)
	m.HealthCheck, ds = types.ObjectValueFrom(ctx, healthCheckTypes, healthCheckModelOf(s.HealthCheck))
	diags.Append(ds...)
	return diags
}

func endpointModelOf(e mesh.Endpoint) endpointModel {
	return endpointModel{Node: types.StringValue(e.Node), Port: portOrNull(e.Port), Weight: types.Int64Value(int64(e.Share()))}
}

// sameService tells whether the record stays as it is.
func (m *serviceModel) sameService(o *serviceModel) bool {
	return m.Endpoints.Equal(o.Endpoints) && m.Scheduler.Equal(o.Scheduler) && m.SessionAffinity.Equal(o.SessionAffinity) &&
		m.HealthCheck.Equal(o.HealthCheck) && m.DrainTimeout.Equal(o.DrainTimeout)
}
