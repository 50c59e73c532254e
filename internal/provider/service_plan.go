package provider

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func (r *serviceResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.data == nil {
		return
	}
	walk, instance := r.data.walk, instanceOf(ctx, req, resp)
	oldCluster, oldName, err := mesh.SplitID(instance)
	exists := err == nil
	if req.Plan.Raw.IsNull() {
		walk.leave(oldCluster, mesh.ServiceRef(oldName))
		return
	}
	var plan serviceModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if exists && (plan.ClusterID.ValueString() != oldCluster || plan.Name.ValueString() != oldName) {
		walk.leave(oldCluster, mesh.ServiceRef(oldName))
	}
	r.planVIP(ctx, &plan, req, resp)
	if plan.ClusterID.IsUnknown() || plan.Name.IsUnknown() {
		return
	}
	cluster := plan.ClusterID.ValueString()
	id := mesh.ServiceID(cluster, plan.Name.ValueString())
	resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("id"), id)...)

	s, diags := plan.toMesh(ctx)
	resp.Diagnostics.Append(diags...)
	plan.assumeUnknown(&s)
	warnings, err := walk.planService(cluster, instance, s)
	addError(&resp.Diagnostics, serviceSubject("", id), err)
	for _, w := range warnings {
		resp.Diagnostics.AddAttributeWarning(path.Root(w.attribute), w.summary, w.detail)
	}
}

// planVIP plans the VIP: none outside of networks and with dnsrr, else that of the state,
// which stays until there is none for a while.
func (r *serviceResource) planVIP(ctx context.Context, plan *serviceModel, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	vip := types.StringUnknown()
	switch {
	case plan.Networks.IsUnknown() || plan.EndpointMode.IsUnknown():
	case len(plan.Networks.Elements()) == 0 || plan.EndpointMode.ValueString() == string(mesh.EndpointDNSRR):
		vip = types.StringNull()
	case !req.State.Raw.IsNull():
		var before types.String
		resp.Diagnostics.Append(req.State.GetAttribute(ctx, path.Root("vip"), &before)...)
		if !before.IsNull() {
			vip = before
		}
	}
	resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("vip"), vip)...)
}

// assumeUnknown fills in what is not known yet, so that it is not what fails.
func (m *serviceModel) assumeUnknown(s *mesh.Service) {
	switch {
	case m.Networks.IsUnknown():
		s.EndpointMode, s.VIPPorts = mesh.EndpointVIP, nil
	case m.VIPPorts.IsUnknown() && len(s.Networks) > 0 && s.EndpointMode == mesh.EndpointVIP:
		s.VIPPorts = map[mesh.PortKey]uint16{{Port: 1, Protocol: mesh.TCP}: 1}
	}
	for k, v := range m.VIPPorts.Elements() {
		if key, err := mesh.ParsePortKey(k); err == nil && v.IsUnknown() && s.VIPPorts != nil {
			s.VIPPorts[key] = 1
		}
	}
}

// planWarning is at an attribute.
type planWarning struct{ attribute, summary, detail string }

// planService puts a service into the walk and asks mesh about it.
func (w *walk) planService(cluster, instance string, s mesh.Service) (warnings []planWarning, err error) {
	id, instance := instance, w.instance(instance)
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.cluster(cluster)
	o := mesh.ServiceRef(s.Name)
	if !c.claim(o, instance) {
		return nil, twice(o, "name", fmt.Sprintf("the service %s of the cluster %s", s.Name, cluster))
	}
	r := c.scratch()
	if w.unseen(c, mesh.KindNode) {
		for _, e := range s.Endpoints {
			if r.Nodes[e.Node] == nil {
				r.Nodes[e.Node] = &mesh.Node{Name: e.Node}
			}
		}
	}
	if w.unseen(c, mesh.KindNetwork) {
		r.Networks = withNetworksOf(r.Networks, &s)
	}
	if err := r.PutService(&s); err != nil {
		return nil, err
	}
	if c.planned.Addressing = r.Addressing; c.observed == nil {
		return nil, nil
	}
	if text := c.nameInUse(r, &s); text != "" {
		warnings = append(warnings, planWarning{"networks", "Name is in use in the network", text})
	}
	if c.observed.Services[s.Name] == nil || id != "" {
		return warnings, nil
	}
	return append(warnings, planWarning{"name", "Service exists already", renamed("routingmesh_service", fmt.Sprintf("The cluster has the service %s already", mesh.ServiceID(cluster, s.Name)),
		"its published ports have to be destroyed and created with it", fmt.Sprintf("import it (id %q), or choose another name", mesh.ServiceID(cluster, s.Name)))}), nil
}

// withNetworksOf adds networks that the service names and that are not in sight.
func withNetworksOf(networks map[string]*mesh.Network, s *mesh.Service) map[string]*mesh.Network {
	for name := range s.Networks {
		if networks == nil {
			networks = map[string]*mesh.Network{}
		}
		if networks[name] == nil && mesh.CheckName(name) == nil {
			networks[name] = &mesh.Network{Name: name}
		}
	}
	return networks
}

// nameInUse warns of a name or alias that a service of the cluster has in a network, which
// this walk neither plans nor takes out.
func (c *plannedCluster) nameInUse(r *mesh.Record, s *mesh.Service) string {
	if len(s.Networks) == 0 {
		return ""
	}
	beside := *r
	beside.Services = map[string]*mesh.Service{}
	for name, other := range c.observed.Services {
		if c.planned.Services[name] == nil && !c.leaving[mesh.ServiceRef(name)] {
			beside.Services[name] = other
		}
	}
	if taken, ok := errors.AsType[*mesh.Error](beside.CheckNames(s)); ok && !taken.Taken.IsZero() {
		return taken.Detail + " If that service is destroyed, or leaves the name, in the same apply, ignore this; otherwise choose another name."
	}
	return ""
}
