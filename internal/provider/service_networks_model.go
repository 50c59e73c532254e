package provider

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// membershipModel is how a service is in a network.
type membershipModel struct {
	Aliases types.Set `tfsdk:"aliases"`
}

var membershipType = types.ObjectType{AttrTypes: map[string]attr.Type{"aliases": types.SetType{ElemType: types.StringType}}}

// endpointVIP is Terraform's word for mesh.EndpointVIP, which the record leaves out.
const endpointVIP = "vip"

func endpointModeText(m mesh.EndpointMode) string { return cmp.Or(string(m), endpointVIP) }

// networksToMesh converts what is known of the service's networks. A port of the VIP that is
// not known is 0.
func (m *serviceModel) networksToMesh(ctx context.Context, s *mesh.Service, diags *diag.Diagnostics) {
	s.Networks = networksOf(ctx, s.Name, m.Networks, diags)
	if mode := m.EndpointMode.ValueString(); mode != endpointVIP {
		s.EndpointMode = mesh.EndpointMode(mode)
	}
	s.VIPPorts = vipPortsOf(m.VIPPorts)
}

func networksOf(ctx context.Context, service string, v types.Map, diags *diag.Diagnostics) map[string]mesh.Membership {
	var networks map[string]mesh.Membership
	for name, v := range v.Elements() {
		var membership membershipModel
		if object, ok := v.(types.Object); ok && !object.IsNull() && !object.IsUnknown() {
			diags.Append(object.As(ctx, &membership, basetypes.ObjectAsOptions{})...)
		}
		if networks == nil {
			networks = map[string]mesh.Membership{}
		}
		networks[name] = mesh.NewMembership(service, texts(membership.Aliases))
	}
	return networks
}

func vipPortsOf(v types.Map) map[mesh.PortKey]uint16 {
	var ports map[mesh.PortKey]uint16
	for text, v := range v.Elements() {
		key, err := mesh.ParsePortKey(text)
		target, ok := v.(types.Int64)
		if err != nil || !ok {
			continue // its validator has said what is wrong
		}
		if ports == nil {
			ports = map[mesh.PortKey]uint16{}
		}
		ports[key] = uint16(target.ValueInt64())
	}
	return ports
}

// networksFromMesh takes over what the record says. What means the same stays as somebody
// has written it: no networks are null or an empty map, no aliases null or an empty set.
func (m *serviceModel) networksFromMesh(ctx context.Context, s *mesh.Service) (diags diag.Diagnostics) {
	m.EndpointMode, m.VIP = types.StringValue(endpointModeText(s.EndpointMode)), types.StringNull()
	if s.VIP.IsValid() {
		m.VIP = types.StringValue(s.VIP.String())
	}
	var ds diag.Diagnostics
	written := networksOf(ctx, s.Name, m.Networks, &diags)
	if !maps.EqualFunc(written, s.Networks, func(a, b mesh.Membership) bool { return slices.Equal(a.Aliases, b.Aliases) }) {
		networks := map[string]membershipModel{}
		for name, membership := range s.Networks {
			networks[name] = membershipModel{textSet(membership.Aliases)}
		}
		m.Networks, ds = types.MapValueFrom(ctx, membershipType, networks)
		diags.Append(ds...)
	}
	if !maps.Equal(vipPortsOf(m.VIPPorts), s.VIPPorts) {
		ports := map[string]int64{}
		for key, target := range s.VIPPorts {
			ports[key.String()] = int64(target)
		}
		m.VIPPorts, ds = types.MapValueFrom(ctx, integerType{}, ports)
		diags.Append(ds...)
	}
	return diags
}

// givenVIP takes the VIP that the record has given the service, where it was not known. Of
// no record it is null: the next Read has it.
func (m *serviceModel) givenVIP(r *mesh.Record) {
	if !m.VIP.IsUnknown() {
		return
	}
	m.VIP = types.StringNull()
	if r == nil {
		return
	}
	if s := r.Services[m.Name.ValueString()]; s != nil && s.VIP.IsValid() {
		m.VIP = types.StringValue(s.VIP.String())
	}
}
