package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

func (d *clusterData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "The cluster that the provider's hosts have, as it is at this moment: settings, nodes, services, published ports with live counters, networks, and all drift. " +
			"It has what other Terraform states have put into the cluster, too.\n\n" +
			"It is read while planning. In the configuration that also makes the cluster, give it a `depends_on`, so that the first apply reads it after it has made one.",
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{
				Optional: true, Computed: true,
				MarkdownDescription: "Name of the cluster. Default: that of the provider's hosts. Where it is given, another cluster there is an error.",
				Validators:          []validator.String{nameRule},
			},
			"id":         readText("Id of the cluster: its name, as in `demo`."),
			"uid":        readText("Made once with the cluster: one that was destroyed and made again under the same name has another."),
			"generation": readNumber("Version of the cluster's record: one higher with every change."),
			"settings": schema.SingleNestedAttribute{
				Computed: true, MarkdownDescription: "Settings of the cluster, as in `routingmesh_cluster`.",
				Attributes: map[string]schema.Attribute{
					"address_pool":         readText("IPv4 prefix of the overlay."),
					"node_prefix_length":   readNumber("Prefix length of a node's block."),
					"vxlan_port":           readNumber("UDP port of the overlay."),
					"vni":                  readNumber("VXLAN network identifier."),
					"mtu":                  readNumber("MTU of the overlay in bytes."),
					"published_port_range": readText("Range from which published ports are taken that name none."),
					"repair":               readText("`automatic` or `report`."),
					"firewall":             readText("`manage` or `report`."),
					"tcp_idle_timeout":     readText("For how long a tcp connection without a packet is kept."),
					"udp_idle_timeout":     readText("For how long a udp client without a packet keeps its endpoint."),
					"health_address":       readText("Where every node answers `GET /healthz`. Null for nowhere."),
					"metrics_address":      readText("Where every node answers `GET /metrics`. Null for nowhere."),
					"mark_bit":             readNumber("Bit of packets' and connections' marks that the nodes may use."),
					"host_dns":             readText("`hosts` or `off`."),
				},
			},
			"nodes": schema.MapNestedAttribute{
				Computed: true, MarkdownDescription: "The nodes, by name.",
				NestedObject: schema.NestedAttributeObject{Attributes: nodeDataSchema()},
			},
			"services": schema.MapNestedAttribute{
				Computed: true, MarkdownDescription: "The services, by name.",
				NestedObject: schema.NestedAttributeObject{Attributes: serviceDataSchema()},
			},
			"ports": schema.MapNestedAttribute{
				Computed: true, MarkdownDescription: "The published ports, by port and protocol: `8080/tcp`. Where several services have one at different addresses, the further ones are `8080/tcp/1` and so on.",
				NestedObject: schema.NestedAttributeObject{Attributes: portDataSchema()},
			},
			"networks": schema.MapNestedAttribute{
				Computed: true, MarkdownDescription: "The networks, by name. One that was destroyed is there for as long as a service is still in it.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"hosts":    schema.ListAttribute{ElementType: types.StringType, Computed: true, MarkdownDescription: "Nodes whose own processes are members, `*` for every node; empty for none."},
					"identity": readNumber("Number of the network on the wire."),
					"services": schema.ListAttribute{ElementType: types.StringType, Computed: true, MarkdownDescription: "The services in the network, of all Terraform states."},
				}},
			},
			"resolver": readText("Address at which members of networks ask for names, the same on every node. Null where the cluster has no network."),
			"unhealthy": readDrift("The endpoints that fail health checks, in sentences that say whose and why: `endpoint n2 of service web fails the checks of n1 and n3 (connection refused); it works from n2 only.`; " +
				"empty when all pass. It is as the nodes that answer see it now."),
			"warnings": readDrift("What keeps traffic from flowing although every node's kernel is as the record asks, in sentences that name the nodes: `node n2: …`, `nodes n1, n2 and 97 others: …`; empty when nothing is known to. " +
				"No apply can repair it, so it is not drift: a plan shows it as a warning, see [What a plan warns of](../guides/drift-and-failures#what-a-plan-warns-of)."),
			"drift": readDrift("What is not as the record asks, anywhere in the cluster, in sentences that begin with the node's name; empty when all is well."),
		},
	}
}

func nodeDataSchema() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"address":        readText("Underlay address."),
		"labels":         readLabels(),
		"mesh_address":   readText("Address on the mesh side: what endpoints see as the client of ingress connections that came in on this node."),
		"host_address":   readText("Address on the host side: where the node's own processes are reached."),
		"availability":   readText("`active` or `drain`."),
		"reachable":      schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the node's agent answers now."},
		"generation":     readNumber("Version of the record that the node has; lower than the cluster's where it lags. Null where it does not answer."),
		"agent_version":  readText("Version of the node agent. Null where it does not answer."),
		"kernel_release": readText("Kernel release of the host. Null where it does not answer."),
		"repairs":        readNumber("How many objects the agent has repaired by itself since it was installed. Null where it does not answer."),
		"drift":          readDrift("As `drift` of `routingmesh_node`."),
	}
}

func readText(description string) schema.Attribute {
	return schema.StringAttribute{Computed: true, MarkdownDescription: description}
}

func readLabels() schema.Attribute {
	return schema.MapAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "Labels of the node; empty for none."}
}

func readNumber(description string) schema.Attribute {
	return schema.Int64Attribute{Computed: true, MarkdownDescription: description}
}

func readDrift(description string) schema.Attribute {
	return schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: description}
}
