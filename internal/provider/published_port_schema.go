package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func (r *portResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	ports := portNumbers()
	resp.Schema = schema.Schema{
		MarkdownDescription: "A published port: opened for a service on every node (`mode = \"ingress\"`), or only on the nodes with an endpoint (`mode = \"host\"`). " +
			"Connections to it are balanced over the endpoints of the service.\n\n" +
			"Publishing and removing a port is an in-place change of one set member and one IPVS service per node, for a range of ports too: no service, no endpoint and no other port notices. " +
			"A port belongs to one service of a cluster, for each protocol, unless `listen_addresses` tells several apart. 22/tcp, the nodes' SSH ports, the cluster's VXLAN port and the ports of its `health_address` and `metrics_address` cannot be published.\n\n" +
			"A port that is removed is closed at once, with its connections.",
		Attributes: map[string]schema.Attribute{
			"id": idAttribute("Id of the published port: `CLUSTER/SERVICE/PORT/PROTOCOL`, as in `demo/web/8080/tcp`."),
			"service_id": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: "Id of the service: `routingmesh_service.….id`. Another one replaces the port.",
				Validators:          []validator.String{mockable{serviceIDRule}},
				PlanModifiers:       []planmodifier.String{mockable{serviceIDRule}, stringplanmodifier.RequiresReplace()},
			},
			"published_port": ports["published_port"], "last_port": ports["last_port"], "target_port": ports["target_port"],
			"protocol": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(string(mesh.TCP)),
				MarkdownDescription: "`tcp` or `udp`. Default: `tcp`. Another one replaces the port.",
				Validators:          []validator.String{stringvalidator.OneOf(string(mesh.TCP), string(mesh.UDP))},
				PlanModifiers:       []planmodifier.String{stringplanmodifier.RequiresReplace()},
			},
			"mode": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(string(mesh.Ingress)),
				MarkdownDescription: "`ingress` opens the port on every node and balances over all endpoints; which address they see as the client's, `client_address` says. " +
					"`host` opens it only on nodes with an endpoint, which answer themselves and, for tcp, see the client's own address (for udp it is the node's `mesh_address`). Default: `ingress`. Changed in place.",
				Validators: []validator.String{stringvalidator.OneOf(string(mesh.Ingress), string(mesh.Host))},
			},
			"locality": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(localityAny),
				MarkdownDescription: "Which endpoints a node sends connections to, in ingress mode: `any` of them; `prefer_local`, those on the node itself while one of them serves, else all, which saves the second hop; " +
					"`local_only`, those on the node itself, so that a node without one refuses (let a load balancer ask its `health_address`). Default: `any`. Changed in place.",
				Validators: []validator.String{stringvalidator.OneOf(localityAny, string(mesh.PreferLocal), string(mesh.LocalOnly))},
			},
			"one_packet": schema.BoolAttribute{
				Optional: true, Computed: true, Default: booldefault.StaticBool(false),
				MarkdownDescription: "Send every packet of a udp port to the endpoint whose turn it is, also those of one client and source port. One way only: what an endpoint answers does not reach the client, " +
					"so it is for syslog, statsd, NetFlow and the like, not for DNS. Default: `false`. Changed in place, for clients that come from then on.",
			},
			"allowed_cidrs": schema.SetAttribute{
				ElementType: types.StringType,
				Optional:    true,
				MarkdownDescription: fmt.Sprintf("IPv4 networks from which clients may connect (`192.0.2.0/24`, `192.0.2.7/32`), at most %d; new connections from elsewhere are refused, on every node. ", mesh.MaxPrefixes) +
					"The addresses are those that the node sees: behind a load balancer or NAT they are its own. Clients on the node itself may always connect, containers on it count as outside. " +
					"Default: everybody. Changed in place, for new connections; those that are open go on.",
				Validators:    []validator.Set{setvalidator.SizeBetween(1, mesh.MaxPrefixes), mockableSet{networkRule}},
				PlanModifiers: []planmodifier.Set{mockableSet{networkRule}},
			},
			"nodes": schema.SetAttribute{
				ElementType: types.StringType,
				Optional:    true,
				MarkdownDescription: fmt.Sprintf("Names of the nodes on which the port is open (`routingmesh_node.….name`), at most %d: the entry nodes, of those on which `mode` opens it. On the others it stays closed, and free for another program. ", mesh.MaxListedNodes) +
					"By labels: `nodes = [for n in routingmesh_node.this : n.name if n.labels.side == \"public\"]`. Endpoints may be on any node. A node that leaves the cluster may stay in the list. Default: all nodes. Changed in place; on a node that is taken out the port is closed at once, with its connections.",
				Validators: []validator.Set{setvalidator.SizeBetween(1, mesh.MaxListedNodes), setvalidator.ValueStringsAre(nameRule)},
			},
			"listen_addresses": schema.SetAttribute{
				ElementType: types.StringType,
				Optional:    true,
				MarkdownDescription: fmt.Sprintf("Addresses and networks of the nodes (`192.0.2.7`, `10.0.0.0/8`), at most %d: the port is open only for what is sent to those of them that a node has, and at its others it is free for another program, or for the port of another service. ", mesh.MaxPrefixes) +
					"Up to 16 services may have one port number at addresses that do not overlap, a public and a private one for example. Clients on the node that connect to 127.0.0.1 need `127.0.0.0/8` in the list. A node that has none of them is closed, and a plan says so. " +
					"Not with `client_address = \"preserve\"`. Default: all addresses. Changed in place; an address that is taken out is closed at once, with its connections, and what stays is not touched.",
				Validators:    []validator.Set{setvalidator.SizeBetween(1, mesh.MaxPrefixes), mockableSet{listenAddressRule}},
				PlanModifiers: []planmodifier.Set{mockableSet{listenAddressRule}},
			},
			"client_address": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(clientEntryNode),
				MarkdownDescription: "Which address endpoints see as the client's: `entry_node`, the entry node's `mesh_address`; or `preserve`, the client's own, whichever node it comes in by and wherever the endpoint is. Answers go back through the entry node in either case, so nothing is asked of the network. " +
					"With `preserve` the endpoints must listen on `0.0.0.0`, and those of a udp port answer from the node's `address` where they leave the choice to the kernel; clients on a node itself are seen as the node they come in by. In host mode the client of a tcp port is preserved in any case. Not with `listen_addresses`. " +
					fmt.Sprintf("Not for clusters with an address pool of more than %d blocks. ", mesh.MaxPreserveNodes) +
					"Default: `entry_node`. Changed in place: new connections are seen so, open tcp connections go on for the service's `drain_timeout`. See the guide [The client's address](../guides/client-address).",
				Validators: []validator.String{stringvalidator.OneOf(clientEntryNode, string(mesh.Preserve))},
			},
			"drift":    driftAttribute("What the nodes lack of the published port (IPVS services and destinations, members of sets)"),
			"timeouts": timeoutsAttribute(ctx),
		},
	}
}

// portNumbers are the attributes that say which ports are published, and where they lead.
func portNumbers() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"published_port": schema.Int64Attribute{
			CustomType: integerType{},
			Optional:   true, Computed: true,
			MarkdownDescription: "Port to open on the nodes, 1–65535. Default: the next free one of the cluster's `published_port_range`, which then stays. Another one replaces the port.",
			Validators:          portValidators(),
			PlanModifiers:       []planmodifier.Int64{anyPort, int64planmodifier.UseNonNullStateForUnknown(), int64planmodifier.RequiresReplace()},
		},
		"last_port": schema.Int64Attribute{
			CustomType: integerType{},
			Optional:   true,
			MarkdownDescription: "Last port of a range that begins at `published_port`: all of them are one published port, of one service, and as cheap on the nodes as a single one. The first leads to `target_port` of the endpoints, and each further one to the port after it. " +
				"The endpoints must not have ports of their own, and a health check that names no `port` asks at `target_port`. Not with `listen_addresses` or `one_packet`. A process of a node that listens on one of the ports is in the way, as with a single port: for udp leave out `net.ipv4.ip_local_port_range`, from which clients on the node get their ports. " +
				"Default: a single port. Changed in place: what stays in the range is not touched, with its connections, and what leaves it is closed at once. A range that becomes a single port is closed with its connections; a single port that becomes a range keeps open tcp connections for the service's `drain_timeout`.",
			Validators:    portValidators(),
			PlanModifiers: portPlanModifiers(),
		},
		"target_port": schema.Int64Attribute{
			CustomType: integerType{},
			Optional:   true, Computed: true,
			MarkdownDescription: "Port on which the endpoints listen, 1–65535, but for those that name their own; of a range, the target of its first port. Default: the `published_port`. Changed in place.",
			Validators:          portValidators(),
			PlanModifiers:       portPlanModifiers(),
		},
	}
}
