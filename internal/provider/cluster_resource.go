package provider

import (
	"context"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

var (
	_ resource.ResourceWithConfigure      = (*clusterResource)(nil)
	_ resource.ResourceWithIdentity       = (*clusterResource)(nil)
	_ resource.ResourceWithImportState    = (*clusterResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*clusterResource)(nil)
	_ resource.ResourceWithValidateConfig = (*clusterResource)(nil)
)

type clusterResource struct{ base }

func newCluster() resource.Resource { return &clusterResource{} }

func (r *clusterResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_cluster"
}

type clusterIdentity struct {
	Name types.String `tfsdk:"name"`
}

func (r *clusterResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"name": identityschema.StringAttribute{RequiredForImport: true, Description: "Name of the cluster."},
	}}
}

func clusterSubject(doing, name string) subject {
	return subject{doing: doing, what: "the cluster " + name, object: mesh.ClusterRef,
		attributes: []string{"name", "address_pool", "node_prefix_length", "vxlan_port", "vni", "mtu", "published_port_range", "repair", "firewall",
			"tcp_idle_timeout", "udp_idle_timeout", "health_address", "metrics_address", "mark_bit", "host_dns"}}
}

func (r *clusterResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan, config clusterModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	ctx, cancel := within(ctx, plan.Timeouts.Create, DefaultCreateTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	name := plan.Name.ValueString()
	client, err := r.client()
	var res *meshclient.Result
	if err == nil {
		res, err = client.CreateCluster(ctx, plan.toMesh(config.MTU))
	}
	if addCreated(&resp.Diagnostics, clusterSubject("creating", name), err) {
		return
	}
	r.addWarnings(&resp.Diagnostics, res)
	if res != nil && res.Record != nil {
		plan.fromMesh(res.Record)
	}
	plan.ID, plan.Drift = types.StringValue(name), leftUndone(err)
	plan.settle(r.hostKeys(types.MapNull(types.StringType), false))
	if res != nil {
		resp.Diagnostics.Append(r.note(ctx, resp.Private, res.Record)...)
	}
	resp.Diagnostics.Append(setMTUConfigured(ctx, resp.Private, !config.MTU.IsNull())...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, clusterIdentity{Name: plan.Name})...)
}

func (r *clusterResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state clusterModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	ctx, cancel := within(ctx, state.Timeouts.Read, DefaultReadTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	name := state.ID.ValueString()
	resp.Diagnostics.Append(resp.Identity.Set(ctx, clusterIdentity{Name: types.StringValue(name)})...)
	r.knowHosts(ctx, &state, req.Private)
	snap, gone, err := r.snapshot(ctx, name)
	r.data.warnTraffic(&resp.Diagnostics, snap)
	addError(&resp.Diagnostics, clusterSubject("reading", name), err)
	if gone {
		resp.State.RemoveResource(ctx)
	}
	if snap == nil {
		return
	}
	for _, w := range snap.Warnings {
		resp.Diagnostics.AddWarning("The record is not the same everywhere", sentence(w))
	}
	r.read(&state, snap)
	r.data.warnKeepers(&resp.Diagnostics, snap)
	resp.Diagnostics.Append(setMTUConfigured(ctx, resp.Private, snap.Record.Cluster.MTU != 0)...)
	resp.Diagnostics.Append(r.note(ctx, resp.Private, snap.Record)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

// read is what a snapshot says of the cluster.
func (r *clusterResource) read(state *clusterModel, snap *meshclient.Snapshot) {
	state.fromMesh(snap.Record)
	state.ForceRemove = settled(state.ForceRemove)
	state.Drift = driftList(r.clusterDrift(snap))
	state.HostKeys = r.hostKeys(state.HostKeys, true)
}

func (r *clusterResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state, config clusterModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	ctx, cancel := within(ctx, plan.Timeouts.Update, DefaultUpdateTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(resp.Identity.Set(ctx, clusterIdentity{Name: plan.Name})...)
	r.knowHosts(ctx, &state, req.Private)
	r.holdToKnown()
	if changed := !plan.sameSettings(&state); changed || plan.Drift.IsUnknown() {
		client, err := r.client()
		var res *meshclient.Result
		if err == nil {
			res, err = client.UpdateCluster(ctx, plan.toMesh(config.MTU))
		}
		if addChanged(&resp.Diagnostics, clusterSubject(changing(changed), plan.Name.ValueString()), err) {
			return
		}
		r.addWarnings(&resp.Diagnostics, res)
		if plan.MTU.IsUnknown() && res != nil && res.Record != nil {
			plan.MTU = types.Int64Value(int64(res.Record.MTU()))
		}
		plan.Drift = leftUndone(err)
		if snap := client.LastSnapshot(); err == nil && snap != nil { // a host that is silent still is
			plan.Drift = driftList(r.clusterDrift(snap))
		}
	}
	plan.settle(r.hostKeys(state.HostKeys, false))
	resp.Diagnostics.Append(setMTUConfigured(ctx, resp.Private, !config.MTU.IsNull())...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

func (r *clusterResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state clusterModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	ctx, cancel := within(ctx, state.Timeouts.Delete, DefaultDeleteTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	r.knowHosts(ctx, &state, req.Private)
	r.holdToKnown()
	client, err := r.client()
	if err == nil {
		var res *meshclient.Result
		res, err = client.DestroyCluster(ctx, state.ID.ValueString(), state.ForceRemove.ValueBool())
		r.addWarnings(&resp.Diagnostics, res)
	}
	addError(&resp.Diagnostics, clusterSubject("destroying", state.ID.ValueString()), err)
}

func (r *clusterResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	name := req.ID
	if name == "" {
		var identity clusterIdentity
		resp.Diagnostics.Append(req.Identity.Get(ctx, &identity)...)
		name = identity.Name.ValueString()
	}
	if err := mesh.CheckName(name); err != nil {
		resp.Diagnostics.AddError("Invalid import id", sentence(err.Error())+" The id of a cluster is its name: terraform import routingmesh_cluster.main demo")
		return
	}
	setImported(ctx, &resp.State, &resp.Diagnostics, map[string]any{"id": name, "name": name})
	resp.Diagnostics.Append(resp.Identity.Set(ctx, clusterIdentity{Name: types.StringValue(name)})...)
}

// setImported puts into a state what an import id says; the Read that follows
// has the rest.
func setImported(ctx context.Context, state *tfsdk.State, diags *diag.Diagnostics, values map[string]any) {
	for name, v := range values {
		diags.Append(state.SetAttribute(ctx, path.Root(name), v)...)
	}
}

// clusterDrift is the drift of the cluster, and that its voters are not the provider's
// hosts: the state that has the cluster decides who they are.
func (r *clusterResource) clusterDrift(snap *meshclient.Snapshot) []string {
	return slices.Concat(snap.Drift(mesh.ClusterRef), r.data.client.VotersDrift(snap))
}
