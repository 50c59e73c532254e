package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"

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
	if plan.ClusterID.IsUnknown() || plan.Name.IsUnknown() {
		return
	}
	cluster := plan.ClusterID.ValueString()
	id := mesh.ServiceID(cluster, plan.Name.ValueString())
	resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("id"), id)...)

	s, diags := plan.toMesh(ctx)
	resp.Diagnostics.Append(diags...)
	warning, err := walk.planService(cluster, instance, s)
	addError(&resp.Diagnostics, serviceSubject("", id), err)
	if warning != "" {
		resp.Diagnostics.AddAttributeWarning(path.Root("name"), "Service exists already", warning)
	}
}

// planService puts a service into the walk and asks mesh about it.
func (w *walk) planService(cluster, instance string, s mesh.Service) (warning string, err error) {
	id, instance := instance, w.instance(instance)
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.cluster(cluster)
	o := mesh.ServiceRef(s.Name)
	if !c.claim(o, instance) {
		return "", twice(o, "name", fmt.Sprintf("the service %s of the cluster %s", s.Name, cluster))
	}
	r := &mesh.Record{Cluster: c.planned.Cluster, Nodes: c.nodes(), Services: c.planned.Services, Ports: c.planned.Ports}
	// Only where every node is in sight is one that is not seen unknown.
	if w.vague || c.vague || !c.created && c.observed == nil {
		for _, e := range s.Endpoints {
			if r.Nodes[e.Node] == nil {
				r.Nodes[e.Node] = &mesh.Node{Name: e.Node}
			}
		}
	}
	if err := r.PutService(&s); err != nil || c.observed == nil || c.observed.Services[s.Name] == nil || id != "" {
		return "", err
	}
	return renamed("routingmesh_service", fmt.Sprintf("The cluster has the service %s already", mesh.ServiceID(cluster, s.Name)),
		"its published ports have to be destroyed and created with it", fmt.Sprintf("import it (id %q), or choose another name", mesh.ServiceID(cluster, s.Name))), nil
}
