package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

// base is what the resources and the data source have in common.
type base struct{ data *providerData }

func (b *base) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	b.configure(req.ProviderData, &resp.Diagnostics)
}

func (b *base) configure(provided any, diags *diag.Diagnostics) {
	if provided == nil { // validate runs on a provider that was not configured
		return
	}
	data, ok := provided.(*providerData)
	if !ok {
		diags.AddError("Unexpected provider data", "This is a bug in the provider: please report it.")
		return
	}
	b.data = data
}

// client returns the client, or an error where an apply has come without one.
func (b *base) client() (*meshclient.Client, error) {
	if b.data == nil || b.data.client == nil {
		return nil, errNoHosts
	}
	return b.data.client, nil
}

var errNoHosts = errors.New("the provider's hosts or ssh settings are still unknown, so there is nobody to ask: " +
	"they must not come from a resource that is made after this one")

// errStillLost is a *meshclient.LostError that another resource of this walk has
// shown already.
var errStillLost = errors.New("the provider's hosts do not have the record of the cluster: another error of this run says which and what to do")

// snapshot returns what the nodes of a cluster say, and whether there is
// authoritatively no cluster. Both are zero when the state is to be kept as it
// is; err then says why, unless the hosts are merely unknown.
func (b *base) snapshot(ctx context.Context, cluster string) (snap *meshclient.Snapshot, gone bool, err error) {
	if b.data == nil || b.data.client == nil {
		return nil, false, nil
	}
	snap, err = b.data.client.Snapshot(ctx)
	if asType[*meshclient.LostError](err) && !b.data.first("lost") {
		err = errStillLost
	}
	if err != nil {
		return nil, false, err
	}
	if snap.Record == nil {
		return nil, true, nil
	}
	if snap.Record.Cluster.Name != cluster {
		return nil, false, &otherClusterError{want: cluster, have: snap.Record.Cluster.Name}
	}
	b.data.walk.observe(snap.Record)
	b.data.walk.observeHosts(cluster, addressesOf(snap))
	return snap, false, nil
}

// addressesOf are the addresses of the nodes that have answered.
func addressesOf(snap *meshclient.Snapshot) map[string][]netip.Addr {
	all := make(map[string][]netip.Addr, len(snap.Nodes))
	for name, view := range snap.Nodes {
		if view.Status == nil {
			continue
		}
		for _, link := range view.Status.Host.Interfaces {
			for _, a := range link.Addresses {
				all[name] = append(all[name], a.Addr())
			}
		}
	}
	return all
}

// absent judges that the record lacks an object. Without a majority of the voters it may
// be an old record, from before the object was made: that is an error. A record that no
// majority vouches for may lose to the one before it, which has the object: then the state
// is kept as it is, or Terraform would forget what still serves.
func (b *base) absent(diags *diag.Diagnostics, snap *meshclient.Snapshot, o mesh.Ref) (gone bool, err error) {
	switch {
	case !snap.Quorate():
		return false, fmt.Errorf("the record of the voters that have one (generation %d) does not have %s, but it may be an old one: most of the cluster's voters have lost theirs",
			snap.Record.Generation, o.Words())
	case snap.Certain():
		return true, nil
	}
	if b.data.first("uncertain") {
		diags.AddWarning("It is not certain what is gone", fmt.Sprintf("Generation %d of the record does not have %s, and is not known to have reached a majority of the cluster's voters: "+
			"a writer was cut off, or voters that have it do not answer. What it lacks is kept in the state. An apply settles it.", snap.Record.Generation, o.Words()))
	}
	return false, nil
}

// otherClusterError is a state whose cluster is not the one that the
// provider's hosts hold. That is no removal: the cluster may be well, elsewhere.
type otherClusterError struct{ want, have string }

func (e *otherClusterError) Error() string {
	return "the provider's hosts belong to cluster " + e.have + ", not to " + e.want
}

// Default timeouts of the resources. A change may have to install the agent
// over a slow link and wait for its turn behind other writers.
const (
	DefaultCreateTimeout = 10 * time.Minute
	DefaultReadTimeout   = 2 * time.Minute
	DefaultUpdateTimeout = 10 * time.Minute
	DefaultDeleteTimeout = 10 * time.Minute
)

func timeoutsAttribute(ctx context.Context) schema.Attribute {
	const as = " as a duration with a unit (`90s`, `5m`)."
	a := timeouts.Attributes(ctx, timeouts.Opts{
		Create: true, Read: true, Update: true, Delete: true,
		CreateDescription: "How long creating may take," + as + " Default: `10m`.",
		ReadDescription:   "How long reading may take, on every refresh," + as + " Default: `2m`.",
		UpdateDescription: "How long updating may take," + as + " Default: `10m`.",
		DeleteDescription: "How long destroying may take," + as + " Default: `10m`. It must be in the state before the destroy.",
	})
	if nested, ok := a.(schema.SingleNestedAttribute); ok {
		nested.MarkdownDescription = "How long each operation may take before it is given up."
		for name, a := range nested.Attributes {
			if text, ok := a.(schema.StringAttribute); ok {
				text.Validators = append(text.Validators, positiveTimeout{})
				nested.Attributes[name] = text
			}
		}
		return nested
	}
	return a
}

// within bounds ctx by one of the resource's timeouts.
func within(ctx context.Context, timeout func(context.Context, time.Duration) (time.Duration, diag.Diagnostics), fallback time.Duration, diags *diag.Diagnostics) (context.Context, context.CancelFunc) {
	d, ds := timeout(ctx, fallback)
	diags.Append(ds...)
	return context.WithTimeout(ctx, d)
}

// A replacement is planned twice, the second time without a prior state. The
// first leaves word in the private state, which Terraform hands on, so that
// the second is not taken for another resource that wants the same thing.
const instanceKey = "instance"

// instanceOf returns the id that the planned resource has in the state, ""
// for one that is to be created.
func instanceOf(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) (id string) {
	if !req.State.Raw.IsNull() {
		id = stateID(ctx, req.State, &resp.Diagnostics)
		if word, err := json.Marshal(id); err == nil {
			resp.Diagnostics.Append(resp.Private.SetKey(ctx, instanceKey, word)...)
		}
		return id
	}
	word, diags := req.Private.GetKey(ctx, instanceKey)
	resp.Diagnostics.Append(diags...)
	if word == nil || json.Unmarshal(word, &id) != nil {
		return ""
	}
	return id
}

func stateID(ctx context.Context, state tfsdk.State, diags *diag.Diagnostics) string {
	var id types.String
	diags.Append(state.GetAttribute(ctx, path.Root("id"), &id)...)
	return id.ValueString()
}
