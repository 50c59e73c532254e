package provider

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

type affinityModel struct {
	Timeout timetypes.GoDuration `tfsdk:"timeout"`
	Netmask types.Int64          `tfsdk:"netmask"`
}

var affinityTypes = map[string]attr.Type{"timeout": timetypes.GoDurationType{}, "netmask": types.Int64Type}

type healthCheckModel struct {
	Type           types.String         `tfsdk:"type"`
	Port           types.Int64          `tfsdk:"port"`
	Path           types.String         `tfsdk:"path"`
	Host           types.String         `tfsdk:"host"`
	ExpectedStatus types.String         `tfsdk:"expected_status"`
	Interval       timetypes.GoDuration `tfsdk:"interval"`
	Timeout        timetypes.GoDuration `tfsdk:"timeout"`
	Rise           types.Int64          `tfsdk:"rise"`
	Fall           types.Int64          `tfsdk:"fall"`
	OnUnhealthy    types.String         `tfsdk:"on_unhealthy"`
}

var healthCheckTypes = map[string]attr.Type{
	"type": types.StringType, "port": types.Int64Type, "path": types.StringType, "host": types.StringType, "expected_status": types.StringType,
	"interval": timetypes.GoDurationType{}, "timeout": timetypes.GoDurationType{}, "rise": types.Int64Type, "fall": types.Int64Type,
	"on_unhealthy": types.StringType,
}

// complete tells whether there is an object of which everything is known.
func complete(object types.Object) bool {
	if object.IsNull() || object.IsUnknown() {
		return false
	}
	for _, v := range object.Attributes() {
		if v.IsUnknown() {
			return false
		}
	}
	return true
}

func affinityOf(ctx context.Context, object types.Object, diags *diag.Diagnostics) *mesh.Affinity {
	if !complete(object) {
		return nil
	}
	var m affinityModel
	diags.Append(object.As(ctx, &m, basetypes.ObjectAsOptions{})...)
	return &mesh.Affinity{TimeoutSeconds: int(durationOr(m.Timeout, 0) / time.Second), PrefixLength: int(m.Netmask.ValueInt64())}
}

func affinityModelOf(a *mesh.Affinity) *affinityModel {
	if a == nil {
		return nil
	}
	return &affinityModel{Timeout: durationValue(time.Duration(a.TimeoutSeconds) * time.Second), Netmask: types.Int64Value(int64(a.PrefixLength))}
}

func healthCheckOf(ctx context.Context, object types.Object, diags *diag.Diagnostics) *mesh.HealthCheck {
	if !complete(object) {
		return nil
	}
	var m healthCheckModel
	diags.Append(object.As(ctx, &m, basetypes.ObjectAsOptions{})...)
	return &mesh.HealthCheck{
		Type: mesh.CheckType(m.Type.ValueString()), Port: uint16(m.Port.ValueInt64()),
		Path: m.Path.ValueString(), Host: m.Host.ValueString(), Status: m.ExpectedStatus.ValueString(),
		IntervalMillis: int(durationOr(m.Interval, mesh.DefaultCheckInterval) / time.Millisecond),
		TimeoutMillis:  int(durationOr(m.Timeout, mesh.DefaultCheckTimeout) / time.Millisecond),
		Rise:           int(m.Rise.ValueInt64()), Fall: int(m.Fall.ValueInt64()), OnUnhealthy: mesh.OnUnhealthy(m.OnUnhealthy.ValueString()),
	}
}

func healthCheckModelOf(h *mesh.HealthCheck) *healthCheckModel {
	if h == nil {
		return nil
	}
	return &healthCheckModel{
		Type: types.StringValue(string(h.Type)), Port: portOrNull(h.Port), Path: orNull(h.Path), Host: orNull(h.Host), ExpectedStatus: orNull(h.Status),
		Interval: durationValue(h.Interval()), Timeout: durationValue(h.Timeout()),
		Rise: types.Int64Value(int64(h.Rise)), Fall: types.Int64Value(int64(h.Fall)), OnUnhealthy: types.StringValue(string(h.OnUnhealthy)),
	}
}
