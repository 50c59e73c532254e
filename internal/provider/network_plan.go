package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func (r *networkResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.data == nil {
		return
	}
	walk, instance := r.data.walk, instanceOf(ctx, req, resp)
	oldCluster, oldName, err := mesh.SplitID(instance)
	exists := err == nil
	if req.Plan.Raw.IsNull() {
		walk.leave(oldCluster, mesh.NetworkRef(oldName))
		return
	}
	var plan networkModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if exists && (plan.ClusterID.ValueString() != oldCluster || plan.Name.ValueString() != oldName) {
		walk.leave(oldCluster, mesh.NetworkRef(oldName))
	}
	if plan.ClusterID.IsUnknown() || plan.Name.IsUnknown() {
		walk.unknown(plan.ClusterID.ValueString(), mesh.KindNetwork)
		return
	}
	cluster := plan.ClusterID.ValueString()
	id := mesh.NetworkID(cluster, plan.Name.ValueString())
	resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("id"), id)...)

	warning, err := walk.planNetwork(cluster, instance, plan.toMesh())
	addError(&resp.Diagnostics, networkSubject("", id), err)
	if warning != "" {
		resp.Diagnostics.AddAttributeWarning(path.Root("name"), "Network exists already", warning)
	}
}

// planNetwork puts a network into the walk and asks mesh about it.
func (w *walk) planNetwork(cluster, instance string, n mesh.Network) (warning string, err error) {
	id, instance := instance, w.instance(instance)
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.cluster(cluster)
	o := mesh.NetworkRef(n.Name)
	if !c.claim(o, instance) {
		return "", twice(o, "name", fmt.Sprintf("the network %s of the cluster %s", n.Name, cluster))
	}
	r := c.scratch()
	if w.unseen(c, mesh.KindNode) {
		for _, host := range n.Hosts {
			if r.Nodes[host] == nil {
				r.Nodes[host] = &mesh.Node{Name: host}
			}
		}
	}
	if err := r.PutNetwork(&n); err != nil {
		return "", err
	}
	if c.planned.Networks == nil {
		c.planned.Networks = map[string]*mesh.Network{}
	}
	c.planned.Networks[n.Name], c.planned.Addressing = r.Networks[n.Name], r.Addressing
	if c.observed == nil || !c.observed.HasNetwork(n.Name) || id != "" {
		return "", nil
	}
	return renamed("routingmesh_network", fmt.Sprintf("The cluster has the network %s already", mesh.NetworkID(cluster, n.Name)),
		"services that are in it stay in it", fmt.Sprintf("import it (id %q), or choose another name", mesh.NetworkID(cluster, n.Name))), nil
}
