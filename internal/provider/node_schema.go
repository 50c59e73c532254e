package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func (r *nodeResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "A node: a Linux host in the cluster. Creating it installs the node agent on the host over SSH and joins it to the overlay; " +
			"destroying it drains it (see `availability`), takes it out of the mesh, and then leaves the host as it was found. Nodes join, change and leave independently of each other.\n\n" +
			"A node that cannot be reached keeps its state, with a warning; changes of the cluster go on without it (see `on_unreachable` of the provider). What it then lacks is shown as its `drift`, " +
			"and it catches up with the next apply. A node that is gone for good is destroyed with `force_remove`.",
		Attributes: map[string]schema.Attribute{
			"id":         idAttribute("Id of the node: `CLUSTER/NAME`, as in `demo/n1`."),
			"cluster_id": clusterIDAttribute(),
			"name": schema.StringAttribute{
				Required: true,
				MarkdownDescription: "Name of the node in the cluster: 1–63 of a–z, 0–9 and `-`, not starting or ending with `-`. It need not be the host's name. " +
					"Another name replaces the node.",
				Validators:    []validator.String{nameRule},
				PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
			},
			"address": schema.StringAttribute{
				Required: true,
				MarkdownDescription: "Underlay address: the IPv4 address under which the other nodes reach this host, and the source of its VXLAN packets. " +
					"SSH goes there, too, unless `ssh` says otherwise. Changed in place.",
				Validators:    []validator.String{mockable{addressRule}},
				PlanModifiers: []planmodifier.String{mockable{addressRule}},
			},
			"ssh": schema.SingleNestedAttribute{
				Optional: true,
				MarkdownDescription: "How to reach this node over SSH where that differs from the provider's `ssh`. It becomes part of the record, which every node has: " +
					"it holds no secret. Changed in place.",
				Attributes: nodeSSHSchema(),
			},
			"labels": schema.MapAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Labels of the node, for people and tools to read. Changed in place.",
				Validators:          []validator.Map{mapvalidator.NoNullValues()},
			},
			"availability": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(availabilityActive),
				MarkdownDescription: "`active`, or `drain`: every node stops sending new connections to the endpoints on this one, and ends the old ones within the `drain_timeout` of their service; " +
					"its `health_address` answers 503. The apply ends when none is left, so that the processes may be stopped. Clients that still come in through the node are served, by endpoints elsewhere. " +
					"Default: `active`. Changed in place.",
				Validators: []validator.String{stringvalidator.OneOf(availabilityActive, string(mesh.AvailabilityDrain))},
			},
			"overlay_block":  allocatedAttribute("Block of the cluster's address pool that the node has, as in `10.255.0.0/24`. It keeps it for as long as it is in the cluster."),
			"mesh_address":   allocatedAttribute("The block's first address, on the mesh side: the source address that endpoints see of ingress connections that came in on this node."),
			"host_address":   allocatedAttribute("The block's second address, on the host side: where processes of this node are reached through the overlay."),
			"host_key":       allocatedAttribute("Public key that the host must show, in the form of authorized_keys: `ssh.host_key`, or the key pinned at the first connect."),
			"agent_version":  allocatedAttribute("Version of the node agent, as last read."),
			"kernel_release": allocatedAttribute("Kernel release of the host, as last read: `6.1.0-40-amd64`."),
			"repairs": schema.Int64Attribute{
				CustomType: integerType{},
				Computed:   true,
				MarkdownDescription: "How many objects the agent has repaired by itself since it was installed, as last read: rules, links, routes and the like that something else had removed or changed. " +
					"A number that keeps growing says that another program on the host fights the mesh. It is never a reason for an update.",
				PlanModifiers: []planmodifier.Int64{int64planmodifier.UseNonNullStateForUnknown()},
			},
			"force_remove": forceRemoveAttribute("Destroy the node even if its host does not answer, or is another one by now: the others stop sending to it, " +
				"and what it has stays there until `routingmesh-agent uninstall` is run on it."),
			"drift":    driftAttribute("What the node lacks of the mesh, what others lack of the way to it, that it is behind the cluster, or why it says nothing (not reached, another host key, no agent)"),
			"timeouts": timeoutsAttribute(ctx),
		},
	}
}

func nodeSSHSchema() map[string]schema.Attribute {
	text := func(description string, r rule) schema.Attribute {
		return schema.StringAttribute{
			Optional: true, MarkdownDescription: description,
			Validators: []validator.String{mockable{r}}, PlanModifiers: []planmodifier.String{mockable{r}},
		}
	}
	port := func(description string) schema.Attribute {
		return schema.Int64Attribute{
			CustomType: integerType{},
			Optional:   true, MarkdownDescription: description,
			Validators: portValidators(), PlanModifiers: portPlanModifiers(),
		}
	}
	return map[string]schema.Attribute{
		"host":         text("Name or address of sshd. Default: the node's `address`.", sshHostRule),
		"port":         port("Port of sshd, 1–65535. Default: the provider's."),
		"user":         text("User to log in as. Default: the provider's.", sshUserRule),
		"bastion_host": text("Host to go through. Default: the provider's.", bastionRule),
		"bastion_port": port("Port of sshd on the bastion, 1–65535. Default: the provider's."),
		"bastion_user": text("User on the bastion. Default: the provider's.", sshUserRule),
		"host_key":     text("Public key that the host must show, as in authorized_keys (`ssh-ed25519 AAAA…`). Default: what the provider knows, or the first one seen.", hostKeyRule),
	}
}

func clusterIDAttribute() schema.Attribute {
	return schema.StringAttribute{
		Required: true,
		MarkdownDescription: "Id of the cluster: `routingmesh_cluster.….id`. Refer to it rather than write it out, so that Terraform makes the cluster first. " +
			"Another one replaces the resource.",
		Validators:    []validator.String{mockable{clusterIDRule}},
		PlanModifiers: []planmodifier.String{mockable{clusterIDRule}, stringplanmodifier.RequiresReplace()},
	}
}

// allocatedAttribute is computed once, and no change of the configuration
// alters it, but for what ModifyPlan says.
func allocatedAttribute(description string) schema.Attribute {
	return schema.StringAttribute{
		Computed: true, MarkdownDescription: description,
		PlanModifiers: []planmodifier.String{stringplanmodifier.UseNonNullStateForUnknown()},
	}
}
