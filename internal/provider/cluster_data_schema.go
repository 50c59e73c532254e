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
		MarkdownDescription: "The cluster that the provider's hosts have, as it is at this moment: settings, nodes, services, published ports with live counters, and all drift. " +
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
				},
			},
			"nodes": schema.MapNestedAttribute{
				Computed: true, MarkdownDescription: "The nodes, by name.",
				NestedObject: schema.NestedAttributeObject{Attributes: nodeDataSchema()},
			},
			"services": schema.MapNestedAttribute{
				Computed: true, MarkdownDescription: "The services, by name.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"endpoints": schema.MapNestedAttribute{
						Computed: true, MarkdownDescription: "The endpoints of the service, by their names in it.",
						NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
							"node": readText("Node on which the process listens."),
							"port": readNumber("Port on which it listens, null where it is the published port's `target_port`."),
						}},
					},
				}},
			},
			"ports": schema.MapNestedAttribute{
				Computed: true, MarkdownDescription: "The published ports, by port and protocol: `8080/tcp`.",
				NestedObject: schema.NestedAttributeObject{Attributes: portDataSchema()},
			},
			"drift": readDrift("What is not as the record asks, anywhere in the cluster, in sentences that begin with the node's name; empty when all is well."),
		},
	}
}

func nodeDataSchema() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"address":        readText("Underlay address."),
		"mesh_address":   readText("Address on the mesh side: what endpoints see as the client of ingress connections that came in on this node."),
		"host_address":   readText("Address on the host side: where the node's own processes are reached."),
		"reachable":      schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the node's agent answers now."},
		"generation":     readNumber("Version of the record that the node has; lower than the cluster's where it lags. Null where it does not answer."),
		"agent_version":  readText("Version of the node agent. Null where it does not answer."),
		"kernel_release": readText("Kernel release of the host. Null where it does not answer."),
		"repairs":        readNumber("How many objects the agent has mended by itself since it was installed. Null where it does not answer."),
		"drift":          readDrift("As `drift` of `routingmesh_node`."),
	}
}

func portDataSchema() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"service":     readText("Service that it is published for."),
		"mode":        readText("`ingress` or `host`."),
		"target_port": readNumber("Port on which the endpoints listen that name none of their own."),
		"endpoints": schema.MapNestedAttribute{
			Computed: true,
			MarkdownDescription: "The service's endpoints, by their names in it, with what IPVS counts: sums over the nodes that answer, each since it has the endpoint. " +
				"They fall back to 0 on a node that is rebooted.",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"node":                 readText("Node on which the process listens."),
				"weight":               readNumber("Share of new connections in IPVS, the lowest of all nodes. Null where no node that answers sends it any."),
				"connections":          readNumber("Connections that were led to it (for udp: clients)."),
				"active_connections":   readNumber("Connections that are established now; 0 for udp."),
				"inactive_connections": readNumber("Connections that are opening or closing now; for udp: clients heard lately."),
				"bytes_in":             readNumber("Bytes from clients to it."),
				"bytes_out":            readNumber("Bytes from it to clients."),
			}},
		},
	}
}

func readText(description string) schema.Attribute {
	return schema.StringAttribute{Computed: true, MarkdownDescription: description}
}

func readNumber(description string) schema.Attribute {
	return schema.Int64Attribute{Computed: true, MarkdownDescription: description}
}

func readDrift(description string) schema.Attribute {
	return schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: description}
}
