package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/action"
	actionschema "github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

var _ provider.ProviderWithActions = (*meshProvider)(nil)

func (p *meshProvider) Actions(context.Context) []func() action.Action {
	return []func() action.Action{newCheck, newDrain, newRepair}
}

// actionBase is what the actions have in common.
type actionBase struct{ base }

func (a *actionBase) Configure(_ context.Context, req action.ConfigureRequest, resp *action.ConfigureResponse) {
	a.configure(req.ProviderData, &resp.Diagnostics)
}

// DefaultActionTimeout is that of an update: what an action does is what an update does.
const DefaultActionTimeout = DefaultUpdateTimeout

const actionsNeed = "\n\nActions need Terraform 1.14; OpenTofu has none. Run it by itself (`terraform apply -invoke=action.TYPE.NAME`), " +
	"or before and after changes of other resources (`action_trigger` in their `lifecycle`)."

func actionClusterID() actionschema.Attribute {
	return actionschema.StringAttribute{
		Optional:            true,
		MarkdownDescription: "Id of the cluster, which is its name. Default: that of the provider's hosts. Where it is given, another cluster there is an error.",
		Validators:          []validator.String{clusterIDRule},
	}
}

func actionTimeout(description string) actionschema.Attribute {
	return actionschema.StringAttribute{
		CustomType: timetypes.GoDurationType{}, Optional: true,
		MarkdownDescription: description + " As a duration with a unit (`90s`, `5m`). Default: `10m`.",
		Validators:          []validator.String{positiveTimeout{}},
	}
}

// during bounds ctx by the action's timeout.
func during(ctx context.Context, timeout timetypes.GoDuration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, durationOr(timeout, DefaultActionTimeout))
}

// configOf reads the config block into the model. Of an action that has none, Terraform
// sends null, and the model stays as it is.
func configOf(ctx context.Context, config tfsdk.Config, model any) diag.Diagnostics {
	if config.Raw.IsNull() {
		return nil
	}
	return config.Get(ctx, model)
}

// current is the cluster as the nodes say it now: what was asked before in this run is
// from before what the run has changed elsewhere. nil with an error.
func (a *actionBase) current(ctx context.Context, id string, diags *diag.Diagnostics) *meshclient.Snapshot {
	if client, err := a.client(); err == nil {
		client.AskAgain()
	}
	snap := a.clusterOf(ctx, id, diags)
	if snap != nil && snap.Record == nil {
		diags.AddError("No cluster there", "The provider's hosts answer, and none has a record of a cluster.")
		return nil
	}
	return snap
}

// progress is what people read while an action runs.
type progress func(action.InvokeProgressEvent)

func (p progress) say(format string, args ...any) {
	p(action.InvokeProgressEvent{Message: fmt.Sprintf(format, args...)})
}

// pace lets a message through at most once in an interval, and the first one always.
type pace struct{ last time.Time }

const progressInterval = 2 * time.Second

func (p *pace) due(now time.Time) bool {
	if now.Sub(p.last) < progressInterval {
		return false
	}
	p.last = now
	return true
}
