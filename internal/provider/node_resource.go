package provider

import (
	"context"

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
	return subject{doing: doing, what: "the node " + id, object: mesh.NodeRef(name),
		attributes: []string{"cluster_id", "name", "address", "ssh", "labels", "availability"}}
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
	if addCreated(&resp.Diagnostics, nodeSubject("creating", id), err) {
		return
	}
	plan.ID, plan.Drift = types.StringValue(id), leftUndone(err)
	plan.settle(res)
	if res != nil {
		resp.Diagnostics.Append(r.note(ctx, resp.Private, res.Record)...)
	}
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
	if create {
		r.addNewTraffic(diags, res, plan.Name.ValueString())
	}
	r.addWarnings(diags, res)
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
	r.knowNode(ctx, &state, req.Private)
	snap, gone, err := r.snapshot(ctx, cluster)
	r.data.warnTraffic(&resp.Diagnostics, snap)
	if snap != nil && snap.Record.Nodes[name] == nil {
		gone, err = r.absent(&resp.Diagnostics, snap, mesh.NodeRef(name))
		snap = nil
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
	resp.Diagnostics.Append(state.read(ctx, cluster, snap.Record.Nodes[name], snap)...)
	resp.Diagnostics.Append(r.note(ctx, resp.Private, snap.Record)...)
	if snap.Nodes[name].Status == nil {
		r.data.warnSilent(&resp.Diagnostics, name, snap.Nodes[name].Err)
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

// read is what a snapshot says of the node, and leaves what only the node itself could say
// as it was where it is silent.
func (m *nodeModel) read(ctx context.Context, cluster string, n *mesh.Node, snap *meshclient.Snapshot) diag.Diagnostics {
	m.ForceRemove = settled(m.ForceRemove)
	m.Drift = driftOf(snap, mesh.NodeRef(n.Name))
	if st := snap.Nodes[n.Name].Status; st != nil {
		m.observed(st)
	}
	return m.fromMesh(ctx, cluster, n)
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
	r.knowNode(ctx, &state, req.Private)
	r.holdToKnown()
	res, done := r.update(ctx, &plan, &state, &resp.Diagnostics)
	if !done {
		return
	}
	plan.settle(res)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

// update changes or repairs the node, as the plan asks; nothing of it is to be
// kept in the state where it is not done.
func (r *nodeResource) update(ctx context.Context, plan, state *nodeModel, diags *diag.Diagnostics) (res *meshclient.Result, done bool) {
	changed := !plan.sameNode(state)
	if !changed && !plan.Drift.IsUnknown() {
		return nil, true
	}
	s := nodeSubject(changing(changed), state.ID.ValueString())
	if !changed {
		snap, why := r.silent(ctx, state.ID.ValueString())
		tolerated := !r.data.failUnreachable || !plan.ForceRemove.Equal(state.ForceRemove)
		if why != nil && tolerated {
			_, name, _ := mesh.SplitID(state.ID.ValueString())
			r.data.warnSilent(diags, name, why)
			plan.Drift = driftOf(snap, mesh.NodeRef(name))
			return nil, true
		}
	}
	res, err := r.put(ctx, plan, false, diags)
	plan.Drift = leftUndone(err)
	return res, !addChanged(diags, s, err)
}

// silent returns why the node cannot be asked, nil when it can or when only
// the attempt will tell. Its drift is not for an apply to repair: the host has
// to come back, or to be let in again, first.
func (r *nodeResource) silent(ctx context.Context, id string) (*meshclient.Snapshot, error) {
	cluster, name, _ := mesh.SplitID(id)
	snap, _, _ := r.snapshot(ctx, cluster) // what hinders it hinders the attempt, too
	if snap == nil || !cannotBeAsked(snap.Nodes[name].Err) {
		return nil, nil
	}
	return snap, snap.Nodes[name].Err
}

// sameNode tells whether the record stays as it is.
func (m *nodeModel) sameNode(o *nodeModel) bool {
	return m.Address.Equal(o.Address) && m.SSH.Equal(o.SSH) && m.Labels.Equal(o.Labels) && m.Availability.Equal(o.Availability)
}

func (r *nodeResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state nodeModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	ctx, cancel := within(ctx, state.Timeouts.Delete, DefaultDeleteTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	r.knowNode(ctx, &state, req.Private)
	r.holdToKnown()
	err := r.remove(ctx, &state, cutOff(ctx, req.Private), &resp.Diagnostics)
	addError(&resp.Diagnostics, nodeSubject("destroying", state.ID.ValueString()), err)
	if err != nil && !asType[*meshclient.LostError](err) { // of that, nothing was begun
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
	res, err := client.RemoveNode(ctx, cluster, name, state.ForceRemove.ValueBool())
	r.addWarnings(diags, res)
	if err == nil && again {
		err = client.CleanHost(ctx, cluster, n)
		if state.ForceRemove.ValueBool() && cannotBeAsked(err) {
			diags.AddWarning("Host of node "+name+" was left as it is", sentence(err.Error())+
				" The node has left the cluster. Should the host come back, run routingmesh-agent uninstall on it.")
			err = nil
		}
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
	m.Drift = driftList([]string{mesh.NodeRef(m.Name.ValueString()).Words() + ": has left the cluster, but its removal was cut off and its host still has the agent."})
	m.OverlayBlock, m.MeshAddress, m.HostAddress = types.StringNull(), types.StringNull(), types.StringNull()
}

func (r *nodeResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	importMember(ctx, req, resp, "routingmesh_node.this demo/n1")
}
