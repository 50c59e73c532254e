package provider

import (
	"context"
	"errors"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

// driftAttribute is what the nodes lack of a resource.
func driftAttribute(what string) schema.Attribute {
	return schema.ListAttribute{
		Computed: true, ElementType: types.StringType,
		MarkdownDescription: what + ", in sentences that begin with the node they are about; empty when all is well. " +
			"Where there is some, the plan is an in-place update, and the apply repairs exactly that.",
		PlanModifiers: []planmodifier.List{plannedDrift{}},
	}
}

// plannedDrift plans the repair: drift that there is becomes unknown, which
// alone makes an update. Where there is none, other changes leave it so.
type plannedDrift struct{}

func (plannedDrift) Description(context.Context) string {
	return "Drift is planned to be repaired."
}

func (d plannedDrift) MarkdownDescription(ctx context.Context) string { return d.Description(ctx) }

func (plannedDrift) PlanModifyList(_ context.Context, req planmodifier.ListRequest, resp *planmodifier.ListResponse) {
	switch {
	case req.StateValue.IsNull(): // created, or of a state from before there was drift
	case len(req.StateValue.Elements()) > 0:
		resp.PlanValue = types.ListUnknown(types.StringType)
	default:
		resp.PlanValue = req.StateValue
	}
}

// driftOf is what a snapshot says of an object.
func driftOf(snap *meshclient.Snapshot, o mesh.Ref) types.List { return driftList(snap.Drift(o)) }

// leftUndone is the drift after a change: what err says is missing.
func leftUndone(err error) types.List {
	if problems, ok := errors.AsType[*meshclient.ProblemsError](err); ok {
		return driftList(sentences(problems))
	}
	return driftList(nil)
}

func driftList(sentences []string) types.List {
	values := make([]attr.Value, 0, len(sentences))
	for _, s := range sentences {
		values = append(values, types.StringValue(s))
	}
	return types.ListValueMust(types.StringType, values)
}
