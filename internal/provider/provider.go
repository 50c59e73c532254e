// Package provider is the Terraform side: schemas, models, plan-time checks
// and diagnostics. What a plan or an apply needs from the nodes it asks of
// meshclient; what is right or wrong it asks of mesh.
package provider

import (
	"context"
	"strings"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

var _ provider.ProviderWithFunctions = (*meshProvider)(nil)

type meshProvider struct {
	version string
	// connect makes the client; tests put their own agent and clean-up here.
	connect func(meshclient.Config) (*meshclient.Client, error)
}

// New returns the provider's factory.
func New(version string) func() provider.Provider {
	return func() provider.Provider {
		return &meshProvider{version: version, connect: meshclient.New}
	}
}

// providerData is what one Configure leaves to its resources. It is never
// shared between two: what a plan has seen says nothing about the apply.
type providerData struct {
	// client is nil while hosts or ssh are unknown: the hosts may be made by
	// the same apply.
	client *meshclient.Client
	// pins tells that host keys in the state bind (all but "insecure").
	pins bool
	// failUnreachable is on_unreachable = "fail".
	failUnreachable bool
	// hosts are the provider's, as configured.
	hosts []string
	walk  *walk
	known knownTexts

	mu sync.Mutex
	// said has the warnings that this walk has shown.
	said map[string]bool
}

// first tells whether a warning is the first of its kind in this walk: what a
// node has to be said of would otherwise be said by every resource.
func (d *providerData) first(kind string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.said[kind]
	d.said[kind] = true
	return !was
}

func (p *meshProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "routingmesh"
	resp.Version = p.version
}

func (p *meshProvider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var model providerModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	data := &providerData{walk: newWalk(), said: map[string]bool{}}
	resp.ResourceData, resp.DataSourceData, resp.ListResourceData, resp.ActionData = data, data, data, data
	if model.unknown() {
		tflog.Debug(ctx, "hosts or ssh are not known yet: reading nothing")
		return
	}
	cfg, diags := model.clientConfig(ctx)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	cfg.Version = p.version
	cfg.Log = func(ctx context.Context, msg string, fields map[string]any) { tflog.Debug(ctx, msg, fields) }
	client, err := p.connect(cfg)
	if err != nil {
		addConfigError(&resp.Diagnostics, err)
		return
	}
	if passed := client.Warnings(); len(passed) > 0 {
		resp.Diagnostics.AddAttributeWarning(path.Root("ssh").AtName("use_ssh_config"), "Parts of ~/.ssh/config are passed over", strings.Join(passed, "\n"))
	}
	data.client, data.pins = client, cfg.SSH.HostKeyPolicy != sshdial.HostKeyInsecure
	data.hosts = cfg.Hosts
	data.walk.sshPort, data.failUnreachable = cfg.SSH.Port, cfg.OnUnreachable == meshclient.UnreachableFail
}

func (p *meshProvider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{newCluster, newNode, newService, newPublishedPort, newNetwork}
}

func (p *meshProvider) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{newClusterData, newNodesData}
}

func (p *meshProvider) Functions(context.Context) []func() function.Function {
	return []func() function.Function{newParseID, newHAProxyBackend, newNginxUpstream}
}
