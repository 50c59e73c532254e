package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// memberIdentity is what nodes and services are identified by.
type memberIdentity struct {
	Cluster types.String `tfsdk:"cluster"`
	Name    types.String `tfsdk:"name"`
}

func memberIdentitySchema(what string) identityschema.Schema {
	return identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"cluster": identityschema.StringAttribute{RequiredForImport: true, Description: "Name of the cluster."},
		"name":    identityschema.StringAttribute{RequiredForImport: true, Description: "Name of the " + what + "."},
	}}
}

func memberIdentityOf(id string) memberIdentity {
	cluster, name, _ := mesh.SplitID(id)
	return memberIdentity{types.StringValue(cluster), types.StringValue(name)}
}

// importMember imports a node or a service.
func importMember(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse, example string) {
	id := req.ID
	if id == "" {
		var identity memberIdentity
		resp.Diagnostics.Append(req.Identity.Get(ctx, &identity)...)
		id = identity.Cluster.ValueString() + "/" + identity.Name.ValueString()
	}
	cluster, name, err := mesh.SplitID(id)
	if err != nil {
		resp.Diagnostics.AddError("Invalid import id", sentence(err.Error())+" For example: terraform import "+example)
		return
	}
	setImported(ctx, &resp.State, &resp.Diagnostics, map[string]any{"id": id, "cluster_id": cluster, "name": name})
	resp.Diagnostics.Append(resp.Identity.Set(ctx, memberIdentityOf(id))...)
}
