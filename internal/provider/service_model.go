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
	Networks        types.Map            `tfsdk:"networks"`
	EndpointMode    types.String         `tfsdk:"endpoint_mode"`
	VIPPorts        types.Map            `tfsdk:"vip_ports"`
	VIP             types.String         `tfsdk:"vip"`
	Drift           types.List           `tfsdk:"drift"`
	Timeouts        timeouts.Value       `tfsdk:"timeouts"`
}

type endpointModel struct {
	Node   types.String `tfsdk:"node"`
	Port   types.Int64  `tfsdk:"port"`
	Weight types.Int64  `tfsdk:"weight"`
	// Container is a containerModel.
	Container types.Object `tfsdk:"container"`
}

// containerModel says which containers of the node answer.
type containerModel struct {
	Name   types.String `tfsdk:"name"`
	Labels types.Map    `tfsdk:"labels"`
	Slots  types.Int64  `tfsdk:"slots"`
}

var containerTypes = map[string]attr.Type{"name": types.StringType, "labels": types.MapType{ElemType: types.StringType}, "slots": types.Int64Type}

var endpointType = types.ObjectType{AttrTypes: map[string]attr.Type{
	"node": types.StringType, "port": types.Int64Type, "weight": types.Int64Type, "container": types.ObjectType{AttrTypes: containerTypes},
}}

// toMesh converts what is known; an endpoint of which something is unknown is
// left out, and so is an affinity or a health check.
func (m *serviceModel) toMesh(ctx context.Context) (mesh.Service, diag.Diagnostics) {
	var diags diag.Diagnostics
	s := mesh.Service{
		Name: m.Name.ValueString(), Endpoints: map[string]mesh.Endpoint{}, Scheduler: m.Scheduler.ValueString(),
		Affinity: affinityOf(ctx, m.SessionAffinity, &diags), HealthCheck: healthCheckOf(ctx, m.HealthCheck, &diags),
		DrainSeconds: int(durationOr(m.DrainTimeout, mesh.DefaultDrain) / time.Second),
	}
	m.networksToMesh(ctx, &s, &diags)
	for key, v := range m.Endpoints.Elements() {
		object, ok := v.(types.Object)
		if !ok || object.IsUnknown() || object.IsNull() {
			continue
		}
		var e endpointModel
		diags.Append(object.As(ctx, &e, basetypes.ObjectAsOptions{})...)
		endpoint, known := e.toMesh(ctx, &diags)
		if known {
			s.Endpoints[key] = endpoint
		}
	}
	return s, diags
}

// toMesh converts an endpoint; known is false where something of it is not known yet.
func (e *endpointModel) toMesh(ctx context.Context, diags *diag.Diagnostics) (to mesh.Endpoint, known bool) {
	if e.Node.IsUnknown() || e.Port.IsUnknown() || e.Weight.IsUnknown() || e.Container.IsUnknown() {
		return to, false
	}
	to = mesh.Endpoint{Node: e.Node.ValueString(), Port: uint16(e.Port.ValueInt64()), Weight: new(int(e.Weight.ValueInt64()))}
	if e.Container.IsNull() {
		return to, true
	}
	var c containerModel
	diags.Append(e.Container.As(ctx, &c, basetypes.ObjectAsOptions{})...)
	if c.Name.IsUnknown() || c.Slots.IsUnknown() {
		return to, false
	}
	to.Container, to.Slots = &mesh.Container{Name: c.Name.ValueString()}, make([]uint16, c.Slots.ValueInt64())
	for key, v := range c.Labels.Elements() {
		value, ok := v.(types.String)
		if !ok || value.IsUnknown() {
			return to, false
		}
		if to.Container.Labels == nil {
			to.Container.Labels = map[string]string{}
		}
		to.Container.Labels[key] = value.ValueString()
	}
	return to, !c.Labels.IsUnknown()
}

func (m *serviceModel) fromMesh(ctx context.Context, cluster string, s *mesh.Service) diag.Diagnostics {
	m.ID = types.StringValue(mesh.ServiceID(cluster, s.Name))
	m.ClusterID, m.Name = types.StringValue(cluster), types.StringValue(s.Name)
	var diags, ds diag.Diagnostics
	endpoints := map[string]endpointModel{}
	for key, e := range s.Endpoints {
		endpoints[key], ds = endpointModelOf(ctx, e)
		diags.Append(ds...)
	}
	m.Scheduler, m.DrainTimeout = types.StringValue(s.SchedulerName()), durationValue(s.Drain())
	m.Endpoints, ds = types.MapValueFrom(ctx, endpointType, endpoints)
	diags.Append(ds...)
	m.SessionAffinity, ds = types.ObjectValueFrom(ctx, affinityTypes, affinityModelOf(s.Affinity))
	diags.Append(ds...)
	m.HealthCheck, ds = types.ObjectValueFrom(ctx, healthCheckTypes, healthCheckModelOf(s.HealthCheck))
	diags.Append(ds...)
	return append(diags, m.networksFromMesh(ctx, s)...)
}

func endpointModelOf(ctx context.Context, e mesh.Endpoint) (endpointModel, diag.Diagnostics) {
	m := endpointModel{Node: types.StringValue(e.Node), Port: portOrNull(e.Port), Weight: types.Int64Value(int64(e.Share())), Container: types.ObjectNull(containerTypes)}
	if e.Container == nil {
		return m, nil
	}
	c := containerModel{Name: orNull(e.Container.Name), Labels: types.MapNull(types.StringType), Slots: types.Int64Value(int64(len(e.Slots)))}
	var diags, ds diag.Diagnostics
	if len(e.Container.Labels) > 0 {
		c.Labels, diags = types.MapValueFrom(ctx, types.StringType, e.Container.Labels)
	}
	m.Container, ds = types.ObjectValueFrom(ctx, containerTypes, c)
	diags.Append(ds...)
	return m, diags
}

// sameService tells whether the record stays as it is.
func (m *serviceModel) sameService(o *serviceModel) bool {
	return m.Endpoints.Equal(o.Endpoints) && m.Scheduler.Equal(o.Scheduler) && m.SessionAffinity.Equal(o.SessionAffinity) &&
		m.HealthCheck.Equal(o.HealthCheck) && m.DrainTimeout.Equal(o.DrainTimeout) &&
		m.Networks.Equal(o.Networks) && m.EndpointMode.Equal(o.EndpointMode) && m.VIPPorts.Equal(o.VIPPorts)
}
