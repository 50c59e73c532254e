package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

var (
	_ resource.ResourceWithConfigure   = (*portResource)(nil)
	_ resource.ResourceWithIdentity    = (*portResource)(nil)
	_ resource.ResourceWithImportState = (*portResource)(nil)
	_ resource.ResourceWithModifyPlan  = (*portResource)(nil)
)

type portResource struct{ base }

func newPublishedPort() resource.Resource { return &portResource{} }

func (r *portResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_published_port"
}

type portIdentity struct {
	Cluster       types.String `tfsdk:"cluster"`
	Service       types.String `tfsdk:"service"`
	PublishedPort types.Int64  `tfsdk:"published_port"`
	Protocol      types.String `tfsdk:"protocol"`
}

func portIdentityOf(id string) portIdentity {
	cluster, service, k, _ := mesh.SplitPortID(id)
	return portIdentity{types.StringValue(cluster), types.StringValue(service), types.Int64Value(int64(k.Port)), types.StringValue(string(k.Protocol))}
}

func (r *portResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"cluster":        identityschema.StringAttribute{RequiredForImport: true, Description: "Name of the cluster."},
		"service":        identityschema.StringAttribute{RequiredForImport: true, Description: "Name of the service."},
		"published_port": identityschema.Int64Attribute{RequiredForImport: true, Description: "The published port, 1–65535."},
		"protocol":       identityschema.StringAttribute{RequiredForImport: true, Description: "tcp or udp."},
	}}
}

func portSubject(doing, serviceID string, k mesh.PortKey) subject {
	return subject{doing: doing, what: "the published port " + mesh.PortID(serviceID, k), object: mesh.PortRef(k),
		attributes: []string{"service_id", "published_port", "last_port", "target_port", "protocol", "mode", "locality", "one_packet", "allowed_cidrs", "nodes", "listen_addresses", "client_address"}}
}

func (r *portResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan portModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	ctx, cancel := within(ctx, plan.Timeouts.Create, DefaultCreateTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	cluster, service, _ := mesh.SplitID(plan.ServiceID.ValueString())
	p := plan.toMesh(service)
	res, err := r.put(ctx, cluster, p, true, &resp.Diagnostics)
	if res != nil && res.Port != nil {
		p = *res.Port
	}
	if addCreated(&resp.Diagnostics, portSubject("creating", plan.ServiceID.ValueString(), p.Key()), err) {
		return
	}
	plan.fromMesh(cluster, &p)
	plan.Drift = leftUndone(err)
	if res != nil {
		resp.Diagnostics.Append(r.note(ctx, resp.Private, res.Record)...)
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, portIdentityOf(plan.ID.ValueString()))...)
}

func (r *portResource) put(ctx context.Context, cluster string, p mesh.PublishedPort, create bool, diags *diag.Diagnostics) (*meshclient.Result, error) {
	client, err := r.client()
	if err != nil {
		return nil, err
	}
	res, err := client.PutPort(ctx, cluster, p, create)
	r.addWarnings(diags, res)
	return res, err
}

func (r *portResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state portModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	ctx, cancel := within(ctx, state.Timeouts.Read, DefaultReadTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	id := state.ID.ValueString()
	resp.Diagnostics.Append(resp.Identity.Set(ctx, portIdentityOf(id))...)
	cluster, service, k, _ := mesh.SplitPortID(id)
	r.know(ctx, cluster, req.Private)
	snap, gone, err := r.snapshot(ctx, cluster)
	r.data.warnTraffic(&resp.Diagnostics, snap)
	// Published by another service, this one's port is as gone as when closed.
	var found *mesh.PublishedPort
	if snap != nil {
		found = snap.Record.PortOf(service, k)
	}
	if snap != nil && found == nil {
		gone, err = r.absent(&resp.Diagnostics, snap, mesh.PortRef(k))
		snap = nil
	}
	addError(&resp.Diagnostics, portSubject("reading", mesh.ServiceID(cluster, service), k), err)
	if gone {
		resp.State.RemoveResource(ctx)
	}
	if snap == nil {
		return
	}
	resp.Diagnostics.Append(r.note(ctx, resp.Private, snap.Record)...)
	before := state
	state.fromMesh(cluster, found)
	state.Drift = driftOf(snap, mesh.PortRef(found.Key()))
	if !state.same(&before) { // to set a state of a thousand that stay as they are is most of their Reads
		resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
	}
}

// same tells whether a Read has found what the state has.
func (m *portModel) same(o *portModel) bool {
	return m.samePort(o) && m.ID.Equal(o.ID) && m.ServiceID.Equal(o.ServiceID) && m.PublishedPort.Equal(o.PublishedPort) &&
		m.Protocol.Equal(o.Protocol) && m.Drift.Equal(o.Drift)
}

func (r *portResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state portModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	ctx, cancel := within(ctx, plan.Timeouts.Update, DefaultUpdateTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(resp.Identity.Set(ctx, portIdentityOf(state.ID.ValueString()))...)
	if changed := !plan.samePort(&state); changed || plan.Drift.IsUnknown() {
		cluster, service, _ := mesh.SplitID(plan.ServiceID.ValueString())
		r.know(ctx, cluster, req.Private)
		r.holdToKnown()
		p := plan.toMesh(service)
		_, err := r.put(ctx, cluster, p, false, &resp.Diagnostics)
		if addChanged(&resp.Diagnostics, portSubject(changing(changed), plan.ServiceID.ValueString(), p.Key()), err) {
			return
		}
		plan.Drift = leftUndone(err)
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

// samePort tells whether the record stays as it is.
func (m *portModel) samePort(o *portModel) bool {
	return m.LastPort.Equal(o.LastPort) && m.TargetPort.Equal(o.TargetPort) && m.Mode.Equal(o.Mode) && m.Locality.Equal(o.Locality) && m.OnePacket.Equal(o.OnePacket) &&
		m.AllowedCIDRs.Equal(o.AllowedCIDRs) && m.Nodes.Equal(o.Nodes) && m.Listen.Equal(o.Listen) && m.ClientAddress.Equal(o.ClientAddress)
}

func (r *portResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state portModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	ctx, cancel := within(ctx, state.Timeouts.Delete, DefaultDeleteTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	cluster, service, k, _ := mesh.SplitPortID(state.ID.ValueString())
	client, err := r.client()
	var res *meshclient.Result
	if err == nil {
		r.know(ctx, cluster, req.Private)
		r.holdToKnown()
		res, err = client.RemovePort(ctx, cluster, service, k)
	}
	addError(&resp.Diagnostics, portSubject("destroying", mesh.ServiceID(cluster, service), k), err)
	r.addWarnings(&resp.Diagnostics, res)
}

func (r *portResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	id := req.ID
	if id == "" {
		var identity portIdentity
		resp.Diagnostics.Append(req.Identity.Get(ctx, &identity)...)
		id = fmt.Sprintf("%s/%s/%d/%s", identity.Cluster.ValueString(), identity.Service.ValueString(), identity.PublishedPort.ValueInt64(), identity.Protocol.ValueString())
	}
	cluster, service, k, err := mesh.SplitPortID(id)
	if err != nil {
		resp.Diagnostics.AddError("Invalid import id", sentence(err.Error())+" For example: terraform import routingmesh_published_port.http demo/web/8080/tcp")
		return
	}
	setImported(ctx, &resp.State, &resp.Diagnostics, map[string]any{
		"id": id, "service_id": mesh.ServiceID(cluster, service), "published_port": int64(k.Port), "protocol": string(k.Protocol)})
	resp.Diagnostics.Append(resp.Identity.Set(ctx, portIdentityOf(id))...)
}
