package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/action"
	actionschema "github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

var _ action.ActionWithConfigure = (*checkAction)(nil)

// checkAction fails a run that is not to go on while the mesh is broken.
type checkAction struct{ actionBase }

func newCheck() action.Action { return &checkAction{} }

type checkModel struct {
	ClusterID types.String `tfsdk:"cluster_id"`
	Endpoints types.Bool   `tfsdk:"endpoints"`
}

func (a *checkAction) Metadata(_ context.Context, req action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_check"
}

func (a *checkAction) Schema(_ context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = actionschema.Schema{
		MarkdownDescription: "Asks every node how it is, and fails the run with what is broken, in the sentences of `drift`, `warnings` and `unhealthy` of the data source `routingmesh_cluster`: " +
			"what a node lacks of the mesh, nodes that cannot be reached, what keeps traffic from flowing, endpoints that fail their health checks. It changes nothing." + actionsNeed,
		Attributes: map[string]actionschema.Attribute{
			"cluster_id": actionClusterID(),
			"endpoints": actionschema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether endpoints that fail their health checks fail this one, too. Default: `true`.",
			},
		},
	}
}

func (a *checkAction) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	var m checkModel
	resp.Diagnostics.Append(configOf(ctx, req.Config, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	snap := a.current(ctx, m.ClusterID.ValueString(), &resp.Diagnostics)
	if snap == nil {
		return
	}
	cluster := snap.Record.Cluster.Name
	found := []struct {
		summary   string
		sentences []string
	}{
		{"Drift in the cluster " + cluster, a.drift(snap)},
		{"Traffic does not flow in the cluster " + cluster, trafficSentences(snap)},
		{"Endpoints fail their health checks in the cluster " + cluster, snap.Unhealthy()},
	}
	if !m.Endpoints.IsNull() && !m.Endpoints.ValueBool() {
		found = found[:2]
	}
	for _, f := range found {
		if len(f.sentences) > 0 {
			resp.Diagnostics.AddError(f.summary, atMost(maxBroken, f.sentences))
		}
	}
	if !resp.Diagnostics.HasError() {
		progress(resp.SendProgress).say("The cluster %s is well (nodes: %d, generation %d).", cluster, len(snap.Record.Nodes), snap.Record.Generation)
	}
}

// maxBroken is the most sentences of one kind: a thousand ports may lack the same route.
const maxBroken = 20

// drift is all that there is, each sentence once.
func (a *actionBase) drift(snap *meshclient.Snapshot) []string {
	all := a.data.client.VotersDrift(snap)
	for _, o := range snap.Drifted("") {
		all = append(all, snap.Drift(o)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func atMost(n int, sentences []string) string {
	lines := make([]string, 0, n)
	for i, s := range sentences {
		if left := len(sentences) - i; i == n-1 && left > 1 {
			lines = append(lines, fmt.Sprintf("… and %d more: the data source routingmesh_cluster has all of them.", left))
			break
		}
		lines = append(lines, s)
	}
	return strings.Join(lines, "\n")
}
