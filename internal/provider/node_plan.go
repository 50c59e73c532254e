package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func (r *nodeResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.data == nil {
		return
	}
	walk, instance := r.data.walk, instanceOf(ctx, req, resp)
	oldCluster, oldName, err := mesh.SplitID(instance)
	exists := err == nil
	if req.Plan.Raw.IsNull() {
		walk.leave(oldCluster, mesh.NodeRef(oldName))
		return
	}
	var plan nodeModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if exists && (plan.ClusterID.ValueString() != oldCluster || plan.Name.ValueString() != oldName) {
		walk.leave(oldCluster, mesh.NodeRef(oldName))
	}
	r.planComputed(ctx, &plan, req, resp)
	if plan.ClusterID.IsUnknown() || plan.Name.IsUnknown() {
		walk.unknown(plan.ClusterID.ValueString(), mesh.KindNode)
		return
	}
	cluster := plan.ClusterID.ValueString()
	resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("id"), mesh.NodeID(cluster, plan.Name.ValueString()))...)

	n, diags := plan.toMesh(ctx)
	resp.Diagnostics.Append(diags...)
	warning, err := walk.planNode(cluster, instance, n)
	addError(&resp.Diagnostics, nodeSubject("", mesh.NodeID(cluster, n.Name)), err)
	if warning != "" {
		resp.Diagnostics.AddAttributeWarning(path.Root("address"), "Node conflicts with the cluster as it is", warning)
	}
}

// planComputed says which computed values a change alters.
func (r *nodeResource) planComputed(ctx context.Context, plan *nodeModel, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.State.Raw.IsNull() {
		return
	}
	var state nodeModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if !plan.Address.Equal(state.Address) || !plan.SSH.Equal(state.SSH) { // perhaps another host, with another key
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("host_key"), types.StringUnknown())...)
	}
	if state.OverlayBlock.IsNull() { // half gone: coming back, it is given another one
		for _, name := range []string{"overlay_block", "mesh_address", "host_address"} {
			resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root(name), types.StringUnknown())...)
		}
	}
}

// planNode puts a node into the walk and asks mesh about it.
func (w *walk) planNode(cluster, instance string, n mesh.Node) (warning string, err error) {
	id, instance := instance, w.instance(instance)
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.cluster(cluster)
	o := mesh.NodeRef(n.Name)
	if !c.claim(o, instance) {
		return "", twice(o, "name", fmt.Sprintf("the node %s of the cluster %s", n.Name, cluster))
	}
	known := n.Address.IsValid()
	if err := c.planned.PlanNode(&n); err != nil || c.observed == nil {
		return "", err
	}
	if c.observed.Nodes[n.Name] != nil && id == "" {
		return renamed("routingmesh_node", fmt.Sprintf("The cluster has the node %s already", mesh.NodeID(cluster, n.Name)),
			"the host leaves the mesh and joins again", fmt.Sprintf("import it (id %q), or choose another name", mesh.NodeID(cluster, n.Name))), nil
	}
	taken := len(c.planned.Nodes)
	for name, other := range c.observed.Nodes {
		if c.planned.Nodes[name] != nil {
			continue
		}
		leaves := c.leaving[mesh.NodeRef(name)]
		if !leaves {
			taken++
		}
		switch {
		case !known || other.Address != n.Address || id == mesh.NodeID(cluster, name):
		case id == "":
			warning = renamed("routingmesh_node", fmt.Sprintf("The node %s of the cluster has the underlay address %s", name, n.Address),
				"the host leaves the mesh and joins again", "a host can be one node of one cluster")
		case !leaves:
			warning = fmt.Sprintf("The node %s of the cluster has the underlay address %s. If that node is destroyed in the same apply, ignore this. "+
				"If it was renamed, add a moved block; otherwise choose another address.", name, n.Address)
		}
	}
	if capacity := c.planned.Cluster.Capacity() - len(c.scratch().VIPBlocks()); warning == "" && taken > capacity {
		warning = fmt.Sprintf("The address pool %s has room for %d nodes, and with those that the cluster has already there are %d. "+
			"If some of those leave in the same apply, ignore this; otherwise take a larger pool or a longer node_prefix_length.", c.planned.Cluster.AddressPool, capacity, taken)
	}
	return warning, nil
}
