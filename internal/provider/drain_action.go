package provider

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/action"
	actionschema "github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

var _ action.ActionWithConfigure = (*drainAction)(nil)

// drainAction takes a node out of use, and ends when it is.
type drainAction struct{ actionBase }

func newDrain() action.Action { return &drainAction{} }

type drainModel struct {
	ClusterID types.String         `tfsdk:"cluster_id"`
	Node      types.String         `tfsdk:"node"`
	Timeout   timetypes.GoDuration `tfsdk:"timeout"`
}

func (a *drainAction) Metadata(_ context.Context, req action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_drain"
}

func (a *drainAction) Schema(_ context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = actionschema.Schema{
		MarkdownDescription: "Drains a node, as `availability = \"drain\"` of its `routingmesh_node` does, and waits until its connections are gone, so that its processes may be stopped, " +
			"for maintenance or before the host is replaced. Connections to its endpoints that are left at the end of `timeout` fail the run. " +
			"Then it waits until nobody comes in through the node any more, for no longer than the longest `drain_timeout`: connections that stay are served by endpoints on other nodes, and are a warning.\n\n" +
			"The node stays drained. The plan after that shows `availability` going back to what its resource says, which ends the maintenance." + actionsNeed,
		Attributes: map[string]actionschema.Attribute{
			"cluster_id": actionClusterID(),
			"node": actionschema.StringAttribute{
				Required: true, MarkdownDescription: "Name of the node, as in `n1`: `routingmesh_node.….name`.", Validators: []validator.String{nameRule},
			},
			"timeout": actionTimeout("How long to wait for connections to end. The nodes end them after the `drain_timeout` of their service."),
		},
	}
}

func (a *drainAction) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	var m drainModel
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
	cluster, node, say := snap.Record.Cluster.Name, m.Node.ValueString(), progress(resp.SendProgress).say
	res, err := a.data.client.DrainNode(ctx, cluster, node, openTold(node, say))
	a.addWarnings(&resp.Diagnostics, res)
	s := nodeSubject("draining", mesh.NodeID(cluster, node))
	s.attributes = []string{"cluster_id", "node", "timeout"}
	if open, ok := errors.AsType[*meshclient.StillOpenError](err); ok {
		s.add(&resp.Diagnostics, mesh.Ref{}, "timeout", "Node "+node+" still has connections", open.Error())
		return
	}
	addError(&resp.Diagnostics, s, err)
	if !resp.Diagnostics.HasError() {
		say("Node %s is drained: no connection leads to its endpoints.", node)
	}
}

// openTold tells people what is open: not each of a thousand connections that end.
func openTold(node string, say func(format string, args ...any)) func(meshclient.Open) {
	var mu sync.Mutex
	var p pace
	return func(o meshclient.Open) {
		mu.Lock()
		defer mu.Unlock()
		if !p.due(time.Now()) {
			return
		}
		switch {
		case o.Endpoints > 0:
			say("Node %s drains. Connections to its endpoints: %d.", node, o.Endpoints)
		case o.Entering > 0:
			say("Node %s drains. No connection leads to its endpoints any more. Connections that come in through it: %d.", node, o.Entering)
		}
	}
}
