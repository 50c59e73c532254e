package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

func (r *networkResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "An overlay network: services in it find each other by name and reach each other by address and by virtual IP, on whatever nodes they run; members of other networks do not. " +
			"A service says itself which networks it is in (`networks`). A network is a group, not a subnet: a container has one overlay address, in however many networks its service is. " +
			"See the guide [Networks](../guides/networks).\n\n" +
			"The first network of a cluster, and the removal of its last one, make the overlay again on each node: connections between nodes stall for about a second. " +
			"A network that is destroyed while services are in it, or replaced, stays in force for them until they have left it.",
		Attributes: map[string]schema.Attribute{
			"id":         idAttribute("Id of the network: `CLUSTER/NAME`, as in `demo/backend`."),
			"cluster_id": clusterIDAttribute(),
			"name": schema.StringAttribute{
				Required: true,
				MarkdownDescription: "Name of the network in the cluster: 1–63 of a–z, 0–9 and `-`, not starting or ending with `-`. Another name replaces the network. " +
					"Refer to it as the key of a service's `networks` (`(routingmesh_network.backend.name) = {}`), so that Terraform creates the network first.",
				Validators:    []validator.String{nameRule},
				PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
			},
			"hosts": schema.SetAttribute{
				ElementType: types.StringType,
				Optional:    true,
				MarkdownDescription: "Names of the nodes whose own processes are members (`routingmesh_node.….name`), or `[\"*\"]` for every node: they reach the network's services, and find their names as `host_dns` of the cluster says. " +
					"A network knows a host, not its single processes. A node with a process that is an endpoint of a service in the network is a member in any case. Default: none. Changed in place.",
				Validators: []validator.Set{setvalidator.ValueStringsAre(hostRule)},
			},
			"identity": schema.Int64Attribute{
				Computed: true,
				MarkdownDescription: "Number of the network on the wire (VXLAN group policy), 1–32766, which packets of members carry that are in this network only. " +
					"Members of several networks have another number for each combination.",
				PlanModifiers: []planmodifier.Int64{int64planmodifier.UseNonNullStateForUnknown()},
			},
			"resolver": allocatedAttribute("Address at which members ask for names, the same on every node and for all networks of the cluster: for `docker run --dns`, `dns:` of a Compose file and `podman run --dns`. " +
				"It stays for as long as the cluster has a network."),
			"drift":    driftAttribute("What the nodes lack of the network itself (what they lack of a service in it is drift of the service)"),
			"timeouts": timeoutsAttribute(ctx),
		},
	}
}
