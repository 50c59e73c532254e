// Command floor is the provider with all that is ours taken out: the same schemas, and resources that keep in
// the state what is planned. What Terraform and the plugin framework cost by themselves is measured with it.
package main

import (
	"context"
	"log"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	ours "github.com/routingmesh/terraform-provider-routingmesh/internal/provider"
)

func main() {
	err := providerserver.Serve(context.Background(), func() provider.Provider { return floor{ours.New("floor")()} },
		providerserver.ServeOpts{Address: "registry.terraform.io/routingmesh/routingmesh"})
	if err != nil {
		log.Fatal(err)
	}
}

type floor struct{ provider.Provider }

func (floor) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {}
func (floor) DataSources(context.Context) []func() datasource.DataSource                        { return nil }

func (f floor) Resources(ctx context.Context) []func() resource.Resource {
	all := f.Provider.Resources(ctx)
	for i, create := range all {
		all[i] = func() resource.Resource { return kept{create()} }
	}
	return all
}

// kept has the name and the schema of a resource, and none of its behaviour.
type kept struct{ of resource.Resource }

func (k kept) Metadata(ctx context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	k.of.Metadata(ctx, req, resp)
}

func (k kept) Schema(ctx context.Context, req resource.SchemaRequest, resp *resource.SchemaResponse) {
	k.of.Schema(ctx, req, resp)
}

func (kept) Create(_ context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	resp.Diagnostics.Append(keep(req.Plan, &resp.State)...)
}

func (kept) Read(context.Context, resource.ReadRequest, *resource.ReadResponse) {}

func (kept) Update(_ context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	resp.Diagnostics.Append(keep(req.Plan, &resp.State)...)
}

func (kept) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}
