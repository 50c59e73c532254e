package main

import (
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// keep makes the plan the state. What only an apply knows becomes null; the id, which others refer to, is made
// as the provider makes it.
func keep(plan tfsdk.Plan, state *tfsdk.State) (diags diag.Diagnostics) {
	id := tftypes.NewAttributePath().WithAttributeName("id")
	value, err := tftypes.Transform(plan.Raw, func(at *tftypes.AttributePath, v tftypes.Value) (tftypes.Value, error) {
		switch {
		case v.IsKnown():
			return v, nil
		case at.Equal(id):
			return tftypes.NewValue(tftypes.String, idOf(plan.Raw)), nil
		}
		return tftypes.NewValue(v.Type(), nil), nil
	})
	if err != nil {
		diags.AddError("The plan cannot be kept", err.Error())
		return diags
	}
	state.Raw = value
	return diags
}

// idOf is "demo" for a cluster, and "demo/web" for what is in one.
func idOf(object tftypes.Value) string {
	var attributes map[string]tftypes.Value
	if object.As(&attributes) != nil {
		return ""
	}
	text := func(name string) (s string) {
		if v, ok := attributes[name]; !ok || v.As(&s) != nil {
			return ""
		}
		return s
	}
	if cluster := text("cluster_id"); cluster != "" {
		return cluster + "/" + text("name")
	}
	return text("name")
}
