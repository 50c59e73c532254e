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
	_ resource.ResourceWithConfigure   = (*networkResource)(nil)
	_ resource.ResourceWithIdentity    = (*networkResource)(nil)
	_ resource.ResourceWithImportState = (*networkResource)(nil)
	_ resource.ResourceWithModifyPlan  = (*networkResource)(nil)
)

type networkResource struct{ base }

func newNetwork() resource.Resource { return &networkResource{} }

func (r *networkResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_network"
}

func (r *networkResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = memberIdentitySchema("network")
}

func networkSubject(doing, id string) subject {
	_, name, _ := mesh.SplitID(id)
	return subject{doing: doing, what: "the network " + id, object: mesh.NetworkRef(name), attributes: []string{"cluster_id", "name", "hosts"}}
}

func (r *networkResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan networkModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	ctx, cancel := within(ctx, plan.Timeouts.Create, DefaultCreateTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	id := mesh.NetworkID(plan.ClusterID.ValueString(), plan.Name.ValueString())
	res, err := r.put(ctx, &plan, true, &resp.Diagnostics)
	if addCreated(&resp.Diagnostics, networkSubject("creating", id), err) {
		return
	}
	plan.ID, plan.Drift = types.StringValue(id), leftUndone(err)
	plan.given(recordOf(res))
	resp.Diagnostics.Append(r.note(ctx, resp.Private, recordOf(res))...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, memberIdentityOf(id))...)
}

// recordOf is the record that a change has led to, nil where there is none.
func recordOf(res *meshclient.Result) *mesh.Record {
	if res == nil {
		return nil
	}
	return res.Record
}

func (r *networkResource) put(ctx context.Context, plan *networkModel, create bool, diags *diag.Diagnostics) (*meshclient.Result, error) {
	client, err := r.client()
	if err != nil {
		return nil, err
	}
	res, err := client.PutNetwork(ctx, plan.ClusterID.ValueString(), plan.toMesh(), create)
	r.addWarnings(diags, res)
	return res, err
}

func (r *networkResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state networkModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	ctx, cancel := within(ctx, state.Timeouts.Read, DefaultReadTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	id := state.ID.ValueString()
	resp.Diagnostics.Append(resp.Identity.Set(ctx, memberIdentityOf(id))...)
	cluster, name, _ := mesh.SplitID(id)
	r.know(ctx, cluster, req.Private)
	snap, gone, err := r.snapshot(ctx, cluster)
	r.data.warnTraffic(&resp.Diagnostics, snap)
	if snap != nil && !snap.Record.HasNetwork(name) {
		gone, err = r.absent(&resp.Diagnostics, snap, mesh.NetworkRef(name))
		snap = nil
	}
	addError(&resp.Diagnostics, networkSubject("reading", id), err)
	if gone {
		resp.State.RemoveResource(ctx)
	}
	if snap == nil {
		return
	}
	state.fromMesh(snap.Record, snap.Record.Networks[name])
	state.Drift = driftOf(snap, mesh.NetworkRef(name))
	resp.Diagnostics.Append(r.note(ctx, resp.Private, snap.Record)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

func (r *networkResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state networkModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	ctx, cancel := within(ctx, plan.Timeouts.Update, DefaultUpdateTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(resp.Identity.Set(ctx, memberIdentityOf(state.ID.ValueString()))...)
	cluster, _, _ := mesh.SplitID(state.ID.ValueString())
	r.know(ctx, cluster, req.Private)
	r.holdToKnown()
	var res *meshclient.Result
	if changed := !plan.Hosts.Equal(state.Hosts); changed || plan.Drift.IsUnknown() {
		var err error
		res, err = r.put(ctx, &plan, false, &resp.Diagnostics)
		if addChanged(&resp.Diagnostics, networkSubject(changing(changed), state.ID.ValueString()), err) {
			return
		}
		plan.Drift = leftUndone(err)
	}
	if plan.Identity.IsUnknown() || plan.Resolver.IsUnknown() { // no Read has seen what came of the creation
		plan.given(recordOf(res))
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

func (r *networkResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state networkModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	ctx, cancel := within(ctx, state.Timeouts.Delete, DefaultDeleteTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	client, err := r.client()
	var res *meshclient.Result
	if err == nil {
		cluster, name, _ := mesh.SplitID(state.ID.ValueString())
		r.know(ctx, cluster, req.Private)
		r.holdToKnown()
		res, err = client.RemoveNetwork(ctx, cluster, name)
	}
	addError(&resp.Diagnostics, networkSubject("destroying", state.ID.ValueString()), err)
	r.addWarnings(&resp.Diagnostics, res)
}

func (r *networkResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	importMember(ctx, req, resp, "routingmesh_network.backend demo/backend")
}
