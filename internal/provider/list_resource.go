package provider

import (
	"context"
	"fmt"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	fwlist "github.com/hashicorp/terraform-plugin-framework/list"
	listschema "github.com/hashicorp/terraform-plugin-framework/list/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

var (
	_ provider.ProviderWithListResources = (*meshProvider)(nil)
	_ fwlist.ListResourceWithConfigure   = (*listing[nodeModel])(nil)
)

func (p *meshProvider) ListResources(context.Context) []func() fwlist.ListResource {
	return []func() fwlist.ListResource{newClusterList, newNodeList, newServiceList, newPublishedPortList, newNetworkList}
}

// listing lists what the cluster has of one kind of resource, whose model is M, for
// terraform query. All listings of a walk share one snapshot.
type listing[M any] struct {
	base
	kind string // of the resource: routingmesh_KIND
	// what is for people: "the nodes of the cluster".
	what string
	more map[string]listschema.Attribute // filters besides cluster_id
	find func(ctx context.Context, q *query) []listed[M]
}

// query is one question.
type query struct {
	*base
	snap  *meshclient.Snapshot
	diags diag.Diagnostics // of find; a warning is shown before the results

	config tfsdk.Config
}

// listed is one result.
type listed[M any] struct {
	id       string
	identity any
	// fill makes the model what a Read of the resource makes it.
	fill func(ctx context.Context, m *M) diag.Diagnostics
}

func (l *listing[M]) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_" + l.kind
}

func (l *listing[M]) ListResourceConfigSchema(_ context.Context, _ fwlist.ListResourceSchemaRequest, resp *fwlist.ListResourceSchemaResponse) {
	attributes := map[string]listschema.Attribute{
		"cluster_id": listschema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Id of the cluster, which is its name. Default: that of the provider's hosts. Where it is given, another cluster there is an error: " +
				"one provider block serves one cluster.",
			Validators: []validator.String{clusterIDRule},
		},
	}
	maps.Copy(attributes, l.more)
	resp.Schema = listschema.Schema{
		MarkdownDescription: "Lists " + l.what + ", also what other Terraform states have made, with the identity of each, so that `terraform query -generate-config-out=FILE` writes the configuration and " +
			"the import blocks that adopt them: see the guide [Adopt a mesh that exists](../guides/adopt). It needs Terraform 1.14; OpenTofu has no `terraform query`. " +
			"Terraform lists 100 unless `limit` says more.",
		Attributes: attributes,
	}
}

func (l *listing[M]) List(ctx context.Context, req fwlist.ListRequest, stream *fwlist.ListResultsStream) {
	q := &query{base: &l.base, config: req.Config}
	q.snap = l.clusterOf(ctx, q.text(ctx, "cluster_id"), &q.diags)
	var found []listed[M]
	if q.snap != nil && q.snap.Record != nil {
		found = l.find(ctx, q)
	}
	stream.Results = func(push func(fwlist.ListResult) bool) {
		if len(q.diags) > 0 && !push(fwlist.ListResult{Diagnostics: q.diags}) || q.diags.HasError() {
			return
		}
		for i, o := range found {
			if req.Limit > 0 && int64(i) >= req.Limit || !push(o.result(ctx, req)) {
				return
			}
		}
	}
}

func (o *listed[M]) result(ctx context.Context, req fwlist.ListRequest) fwlist.ListResult {
	result := req.NewListResult(ctx)
	result.DisplayName = o.id
	result.Diagnostics.Append(result.Identity.Set(ctx, o.identity)...)
	if !req.IncludeResource || result.Diagnostics.HasError() {
		return result
	}
	var m M
	result.Diagnostics.Append(result.Resource.SetAttribute(ctx, path.Root("id"), o.id)...)
	result.Diagnostics.Append(result.Resource.Get(ctx, &m)...)
	result.Diagnostics.Append(o.fill(ctx, &m)...)
	result.Diagnostics.Append(result.Resource.Set(ctx, &m)...)
	return result
}

// text is an attribute of the configuration, "" where it is not set.
func (q *query) text(ctx context.Context, attribute string) string {
	if q.config.Raw.IsNull() {
		return ""
	}
	var v types.String
	q.diags.Append(q.config.GetAttribute(ctx, path.Root(attribute), &v)...)
	return v.ValueString()
}

// cluster is the id of the cluster that was found.
func (q *query) cluster() string { return q.snap.Record.Cluster.Name }

// clusterOf returns what the nodes of the cluster say now that a list or an action names,
// or of that of the provider's hosts where it names none (""); nil with an error. There
// need not be a cluster.
func (b *base) clusterOf(ctx context.Context, id string, diags *diag.Diagnostics) *meshclient.Snapshot {
	ctx, cancel := context.WithTimeout(ctx, DefaultReadTimeout)
	defer cancel()
	client, err := b.client()
	var snap *meshclient.Snapshot
	if err == nil {
		snap, err = client.Snapshot(ctx)
	}
	if err == nil && id != "" && snap.Record != nil && snap.Record.Cluster.Name != id {
		err = anotherCluster(snap, "cluster_id", id)
	}
	if err != nil {
		addError(diags, subject{doing: "reading", what: "the cluster", attributes: []string{"cluster_id"}}, err)
		return nil
	}
	return snap
}

func anotherCluster(snap *meshclient.Snapshot, attribute, id string) error {
	return &mesh.Error{Object: mesh.ClusterRef, Attribute: attribute, Summary: "Hosts of another cluster", Detail: fmt.Sprintf(
		"The provider's hosts hold the cluster %q, not %q: one provider block serves one cluster. Name the hosts of %q in the provider block, or leave %s out.",
		snap.Record.Cluster.Name, id, id, attribute)}
}
