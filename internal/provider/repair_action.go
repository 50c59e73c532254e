package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/action"
	actionschema "github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"golang.org/x/sync/errgroup"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

var _ action.ActionWithConfigure = (*repairAction)(nil)

// repairAction repairs drift of whatever Terraform state, without a plan.
type repairAction struct{ actionBase }

func newRepair() action.Action { return &repairAction{} }

type repairModel struct {
	ClusterID types.String         `tfsdk:"cluster_id"`
	Node      types.String         `tfsdk:"node"`
	Timeout   timetypes.GoDuration `tfsdk:"timeout"`
}

func (a *repairAction) Metadata(_ context.Context, req action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_repair"
}

func (a *repairAction) Schema(_ context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = actionschema.Schema{
		MarkdownDescription: "Repairs the drift of the whole cluster, or of one node, at once, and changes nothing else: what an apply does about `drift`, also for resources of other Terraform states. " +
			"Nodes that lack something are asked to repair it, one that is behind is sent the configuration, an agent that is missing is installed. What cannot be repaired fails the run. " +
			"Nodes that cannot be reached are a warning, unless one of them is the `node`, or `on_unreachable` of the provider is `fail`." + actionsNeed,
		Attributes: map[string]actionschema.Attribute{
			"cluster_id": actionClusterID(),
			"node": actionschema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Name of the node, as in `n1`: only what it lacks, and what others lack of the way to it. Default: everything.",
				Validators:          []validator.String{nameRule},
			},
			"timeout": actionTimeout("How long the repair may take."),
		},
	}
}

func (a *repairAction) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	var m repairModel
	resp.Diagnostics.Append(configOf(ctx, req.Config, &m)...)
	ctx, cancel := during(ctx, m.Timeout)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	snap := a.current(ctx, m.ClusterID.ValueString(), &resp.Diagnostics)
	if snap == nil {
		return
	}
	node, say := m.Node.ValueString(), progress(resp.SendProgress).say
	if node != "" && snap.Record.Nodes[node] == nil {
		addNoNode(&resp.Diagnostics, snap, node)
		return
	}
	objects := a.repairable(snap, node, &resp.Diagnostics)
	if len(objects) == 0 {
		say("Nothing to repair at generation %d.", snap.Record.Generation)
		return
	}
	say("Repairing %s.", wordsOf(objects))
	a.repair(ctx, snap.Record.Cluster.Name, objects, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	if snap = a.current(ctx, m.ClusterID.ValueString(), &resp.Diagnostics); snap == nil {
		return
	}
	var left []string
	for _, o := range objects {
		left = append(left, snap.Drift(o)...)
	}
	slices.Sort(left)
	if left = slices.Compact(left); len(left) > 0 {
		resp.Diagnostics.AddWarning("Not everything is repaired", atMost(maxBroken, left))
		return
	}
	say("Repaired %s.", wordsOf(objects))
}

func addNoNode(diags *diag.Diagnostics, snap *meshclient.Snapshot, node string) {
	s := subject{attributes: []string{"node"}}
	s.add(diags, mesh.Ref{}, "node", "No such node", "The cluster "+snap.Record.Cluster.Name+" has no node "+node+". It has "+strings.Join(snap.Record.NodeNames(), ", ")+".")
}

// repairable are the objects that have drift, without the nodes that cannot be asked:
// their hosts have to come back, or let us in, first.
func (a *repairAction) repairable(snap *meshclient.Snapshot, node string, diags *diag.Diagnostics) []mesh.Ref {
	var objects []mesh.Ref
	for _, o := range snap.Drifted(node) {
		if o.Kind == mesh.KindNode && cannotBeAsked(snap.Nodes[o.Name].Err) && o.Name != node && !a.data.failUnreachable {
			a.data.warnSilent(diags, o.Name, snap.Nodes[o.Name].Err)
			continue
		}
		objects = append(objects, o)
	}
	if node == "" && len(a.data.client.VotersDrift(snap)) > 0 && len(snap.Drift(mesh.ClusterRef)) == 0 {
		objects = append([]mesh.Ref{mesh.ClusterRef}, objects...)
	}
	return objects
}

// wordsOf names the first few.
func wordsOf(objects []mesh.Ref) string {
	const named = 5
	var words []string
	for i, o := range objects {
		if left := len(objects) - i; i == named-1 && left > 1 {
			words = append(words, fmt.Sprintf("and %d more", left))
			break
		}
		words = append(words, o.Words())
	}
	return strings.Join(words, ", ")
}

// repair repairs all at once: the client makes one request of each node of them.
func (a *repairAction) repair(ctx context.Context, cluster string, objects []mesh.Ref, diags *diag.Diagnostics) {
	var mu sync.Mutex
	var all errgroup.Group
	for _, o := range objects {
		all.Go(func() error {
			res, err := a.data.client.Repair(ctx, cluster, o)
			mu.Lock()
			defer mu.Unlock()
			a.addWarnings(diags, res)
			addError(diags, subject{doing: repairing, what: o.Words() + " of " + cluster, object: o}, err)
			return nil
		})
	}
	_ = all.Wait() // every error is in diags
}
