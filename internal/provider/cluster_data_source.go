package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

var _ datasource.DataSourceWithConfigure = (*clusterData)(nil)

type clusterData struct{ base }

func newClusterData() datasource.DataSource { return &clusterData{} }

func (d *clusterData) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_cluster"
}

func (d *clusterData) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.configure(req.ProviderData, &resp.Diagnostics)
}

func (d *clusterData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m clusterDataModel
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("name"), &m.Name)...)
	ctx, cancel := context.WithTimeout(ctx, DefaultReadTimeout)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	snap := d.observed(ctx, m.Name.ValueString(), &resp.Diagnostics)
	if snap == nil {
		return
	}
	m.fill(snap, d.counters(ctx, &resp.Diagnostics))
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// observed returns a snapshot that has the record of the named cluster, of any
// for ""; nil with an error.
func (b *base) observed(ctx context.Context, name string, diags *diag.Diagnostics) *meshclient.Snapshot {
	client, err := b.client()
	var snap *meshclient.Snapshot
	if err == nil {
		snap, err = client.Snapshot(ctx)
	}
	switch {
	case err != nil:
		addError(diags, subject{doing: "reading", what: strings.TrimSpace("the cluster " + name)}, err)
	case snap.Record == nil:
		diags.AddError("No cluster there", "The provider's hosts answer, and none has a record of a cluster. "+
			"If this configuration makes it, give the data source a depends_on to a resource of it, so that it is read afterwards.")
	case name != "" && snap.Record.Cluster.Name != name:
		diags.AddAttributeError(path.Root("name"), "Hosts of another cluster", fmt.Sprintf(
			"The provider's hosts hold the cluster %q, not %q: one provider block serves one cluster. Name the hosts of %q in the provider block, or leave name out.",
			snap.Record.Cluster.Name, name, name))
	default:
		return snap
	}
	return nil
}

// counters are those of the nodes that gave them; the others are a warning.
func (d *clusterData) counters(ctx context.Context, diags *diag.Diagnostics) map[string]*mesh.Counters {
	counters, silent := d.data.client.Counters(ctx)
	for _, node := range slices.Sorted(maps.Keys(silent)) {
		d.data.warnSilent(diags, node, silent[node])
	}
	return counters
}
