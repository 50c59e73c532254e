package provider

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

var (
	_ resource.ResourceWithConfigure   = (*nodeResource)(nil)
	_ resource.ResourceWithIdentity    = (*nodeResource)(nil)
	_ resource.ResourceWithImportState = (*nodeResource)(nil)
	_ resource.ResourceWithModifyPlan  = (*nodeResource)(nil)
)

type nodeResource struct{ base }

func newNode() resource.Resource { return &nodeResource{} }

func (r *nodeResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_node"
}

func (r *nodeResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = memberIdentitySchema("node")
}

func nodeSubject(doing, id string) subject {
	_, name, _ := mesh.SplitID(id)
	return subject{doing: doing, what: "the node " + id, object: mesh.NodeObject(name),
		attributes: []string{"cluster_id", "name", "address", "ssh", "labels"}}
}

func (r *nodeResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan nodeModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	ctx, cancel := within(ctx, plan.Timeouts.Create, DefaultCreateTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	id := mesh.NodeID(plan.ClusterID.ValueString(), plan.Name.ValueString())
	res, err := r.put(ctx, &plan, true, &resp.Diagnostics)
	addError(&resp.Diagnostics, nodeSubject("creating", id), err)
	if err != nil && !committed(err) {
		return
	}
	plan.ID = types.StringValue(id)
	plan.settle(res)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, memberIdentityOf(id))...)
}

func (r *nodeResource) put(ctx context.Context, plan *nodeModel, create bool, diags *diag.Diagnostics) (*meshclient.Result, error) {
	client, err := r.client()
	if err != nil {
		return nil, err
	}
	n, ds := plan.toMesh(ctx)
	diags.Append(ds...)
	res, err := client.PutNode(ctx, plan.ClusterID.ValueString(), n, create)
	if res != nil {
		addWarnings(diags, res.Warnings)
	}
	return res, err
}

func (r *nodeResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state nodeModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	ctx, cancel := within(ctx, state.Timeouts.Read, DefaultReadTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	id := state.ID.ValueString()
	resp.Diagnostics.Append(resp.Identity.Set(ctx, memberIdentityOf(id))...)
	cluster, name, _ := mesh.SplitID(id)
	snap, gone, err := r.snapshot(ctx, cluster)
	if snap != nil && snap.Record.Nodes[name] == nil {
		err = absence(snap, mesh.NodeObject(name))
		snap, gone = nil, err == nil
	}
	addError(&resp.Diagnostics, nodeSubject("reading", id), err)
	switch {
	case gone && cutOff(ctx, req.Private):
		state.halfGone()
		resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
	case gone:
		resp.State.RemoveResource(ctx)
	}
	if snap == nil {
		return
	}
	resp.Diagnostics.Append(state.fromMesh(ctx, cluster, snap.Record.Nodes[name])...)
	state.view(snap, &resp.Diagnostics)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

// view takes over what the node said. A node that is silent keeps what was
// known of it; one that answers and has no agent has lost everything, and
// that is drift.
func (m *nodeModel) view(snap *meshclient.Snapshot, diags *diag.Diagnostics) {
	name := m.Name.ValueString()
	view := snap.Nodes[name]
	if view.Status != nil {
		m.observed(snap.Record, view.Status)
		return
	}
	if _, bare := errors.AsType[*meshclient.NoAgentError](view.Err); bare {
		m.Drift = driftList([]string{"No agent is installed on the host: it answers, but it is not part of the mesh."})
		return
	}
	if m.Drift.IsNull() { // just imported
		m.Drift = driftList(nil)
	}
	reason := "it said nothing"
	if view.Err != nil {
		reason = view.Err.Error()
	}
	diags.AddWarning(fmt.Sprintf("Node %s cannot be read", name),
		sentence(reason)+" Its state is kept as it is, and changes of the cluster reach it once it is back.")
}

func (r *nodeResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state nodeModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	ctx, cancel := within(ctx, plan.Timeouts.Update, DefaultUpdateTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(resp.Identity.Set(ctx, memberIdentityOf(state.ID.ValueString()))...)
	var res *meshclient.Result
	if !plan.same(&state) {
		var err error
		if res, err = r.put(ctx, &plan, false, &resp.Diagnostics); err != nil {
			addError(&resp.Diagnostics, nodeSubject("changing", state.ID.ValueString()), err)
			return
		}
	}
	plan.settle(res)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

// same tells whether nothing but timeouts differs.
func (m *nodeModel) same(o *nodeModel) bool {
	return m.Address.Equal(o.Address) && m.SSH.Equal(o.SSH) && m.Labels.Equal(o.Labels) && m.Drift.Equal(o.Drift)
}

func (r *nodeResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state nodeModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	ctx, cancel := within(ctx, state.Timeouts.Delete, DefaultDeleteTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	err := r.remove(ctx, &state, cutOff(ctx, req.Private), &resp.Diagnostics)
	addError(&resp.Diagnostics, nodeSubject("destroying", state.ID.ValueString()), err)
	if err != nil {
		resp.Diagnostics.Append(resp.Private.SetKey(ctx, cutOffKey, []byte("true"))...)
	}
}

func (r *nodeResource) remove(ctx context.Context, state *nodeModel, again bool, diags *diag.Diagnostics) error {
	client, err := r.client()
	if err != nil {
		return err
	}
	n, ds := state.toMesh(ctx)
	diags.Append(ds...)
	cluster, name, _ := mesh.SplitID(state.ID.ValueString())
	res, err := client.RemoveNode(ctx, cluster, name)
	if res != nil {
		addWarnings(diags, res.Warnings)
	}
	if err == nil && again {
		err = client.CleanHost(ctx, cluster, n)
	}
	return err
}

// A removal takes the node out of the record first, and then cleans its host.
// One that is cut off between the two must not be forgotten at the next Read,
// or the host would keep the agent for good.
const cutOffKey = "cut_off"

func cutOff(ctx context.Context, private privateGetter) bool {
	value, _ := private.GetKey(ctx, cutOffKey)
	return value != nil
}

func (m *nodeModel) halfGone() {
	m.Drift = driftList([]string{"The node has left the cluster, but its removal was cut off and its host still has the agent."})
	m.OverlayBlock, m.MeshAddress, m.HostAddress = types.StringNull(), types.StringNull(), types.StringNull()
}

func (r *nodeResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	importMember(ctx, req, resp, "routingmesh_node.this demo/n1")
}
