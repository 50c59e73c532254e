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
	_ resource.ResourceWithConfigure   = (*serviceResource)(nil)
	_ resource.ResourceWithIdentity    = (*serviceResource)(nil)
	_ resource.ResourceWithImportState = (*serviceResource)(nil)
	_ resource.ResourceWithModifyPlan  = (*serviceResource)(nil)
)

type serviceResource struct{ base }

func newService() resource.Resource { return &serviceResource{} }

func (r *serviceResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_service"
}

func (r *serviceResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = memberIdentitySchema("service")
}

func serviceSubject(doing, id string) subject {
	_, name, _ := mesh.SplitID(id)
	return subject{doing: doing, what: "the service " + id, object: mesh.ServiceRef(name),
		attributes: []string{"cluster_id", "name", "endpoints", "scheduler", "session_affinity", "health_check", "drain_timeout", "networks", "endpoint_mode", "vip_ports"}}
}

func (r *serviceResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan serviceModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	ctx, cancel := within(ctx, plan.Timeouts.Create, DefaultCreateTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	id := mesh.ServiceID(plan.ClusterID.ValueString(), plan.Name.ValueString())
	res, err := r.put(ctx, &plan, true, &resp.Diagnostics)
	if addCreated(&resp.Diagnostics, serviceSubject("creating", id), err) {
		return
	}
	plan.ID, plan.Drift = types.StringValue(id), leftUndone(err)
	plan.givenVIP(recordOf(res))
	resp.Diagnostics.Append(r.note(ctx, resp.Private, recordOf(res))...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, memberIdentityOf(id))...)
}

func (r *serviceResource) put(ctx context.Context, plan *serviceModel, create bool, diags *diag.Diagnostics) (*meshclient.Result, error) {
	client, err := r.client()
	if err != nil {
		return nil, err
	}
	s, ds := plan.toMesh(ctx)
	diags.Append(ds...)
	res, err := client.PutService(ctx, plan.ClusterID.ValueString(), s, create)
	r.addWarnings(diags, res)
	return res, err
}

func (r *serviceResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state serviceModel
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
	if snap != nil && snap.Record.Services[name] == nil {
		gone, err = r.absent(&resp.Diagnostics, snap, mesh.ServiceRef(name))
		snap = nil
	}
	addError(&resp.Diagnostics, serviceSubject("reading", id), err)
	if gone {
		resp.State.RemoveResource(ctx)
	}
	if snap == nil {
		return
	}
	resp.Diagnostics.Append(state.fromMesh(ctx, cluster, snap.Record.Services[name])...)
	state.Drift = driftOf(snap, mesh.ServiceRef(name))
	resp.Diagnostics.Append(r.note(ctx, resp.Private, snap.Record)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

func (r *serviceResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state serviceModel
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
	if changed := !plan.sameService(&state); changed || plan.Drift.IsUnknown() {
		res, err := r.put(ctx, &plan, false, &resp.Diagnostics)
		if addChanged(&resp.Diagnostics, serviceSubject(changing(changed), state.ID.ValueString()), err) {
			return
		}
		plan.Drift = leftUndone(err)
		plan.givenVIP(recordOf(res))
	}
	plan.givenVIP(nil)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

func (r *serviceResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state serviceModel
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
		res, err = client.RemoveService(ctx, cluster, name)
	}
	addError(&resp.Diagnostics, serviceSubject("destroying", state.ID.ValueString()), err)
	r.addWarnings(&resp.Diagnostics, res)
}

func (r *serviceResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	importMember(ctx, req, resp, "routingmesh_service.web demo/web")
}
