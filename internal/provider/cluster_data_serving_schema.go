package provider

import (
	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

func serviceDataSchema() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"scheduler": readText("How an endpoint is chosen for a new connection."),
		"session_affinity": schema.SingleNestedAttribute{
			Computed: true, MarkdownDescription: "How a client is kept at its endpoint. Null where it is not.",
			Attributes: map[string]schema.Attribute{
				"timeout": readDuration("For how long after its last connection has ended."),
				"netmask": readNumber("How many bits of its address make a client."),
			},
		},
		"health_check": schema.SingleNestedAttribute{
			Computed: true, MarkdownDescription: "How the endpoints are checked. Null where they are not.",
			Attributes: map[string]schema.Attribute{
				"type":            readText("`tcp`, `http` or `https`."),
				"port":            readNumber("Port that is checked. Null for those on which the endpoints answer."),
				"path":            readText("Path that is asked for. Null for tcp."),
				"host":            readText("Host header. Null where none is set."),
				"expected_status": readText("Status codes that pass. Null for tcp."),
				"interval":        readDuration("From one check to the next."),
				"timeout":         readDuration("How long a check may take."),
				"rise":            readNumber("How many checks in a row make an endpoint healthy."),
				"fall":            readNumber("How many checks in a row make an endpoint unhealthy."),
				"on_unhealthy":    readText("`drain` or `cut`."),
			},
		},
		"drain_timeout": readText("How long the connections of an endpoint that is taken out may last."),
		"networks": schema.MapAttribute{ElementType: types.ListType{ElemType: types.StringType}, Computed: true,
			MarkdownDescription: "The networks that the service is in, and its aliases in each; empty for none."},
		"endpoint_mode": readText("What its name leads to in its networks: `vip` or `dnsrr`."),
		"vip_ports":     schema.MapAttribute{ElementType: types.Int64Type, Computed: true, MarkdownDescription: "Ports of its VIP, and the ports of the endpoints that they lead to; empty for all."},
		"vip":           readText("Its virtual IP. Null for a service in no network, and with `dnsrr`."),
		"endpoints": schema.MapNestedAttribute{
			Computed: true, MarkdownDescription: "The endpoints of the service, by their names in it.",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"node":   readText("Node on which the process listens, or the containers run."),
				"port":   readNumber("Port on which it listens, null where it is the published port's `target_port`."),
				"weight": readNumber("Its share of the new connections, as the service has it."),
				"container": schema.SingleNestedAttribute{
					Computed: true, MarkdownDescription: "Which containers of the node answer. Null for a process of the host.",
					Attributes: map[string]schema.Attribute{
						"name":   readText("Name of the container. Null where labels tell."),
						"labels": schema.MapAttribute{ElementType: types.StringType, Computed: true, MarkdownDescription: "Labels that the containers have. Null where the name tells."},
					},
				},
				"addresses": schema.ListAttribute{ElementType: types.StringType, Computed: true, MarkdownDescription: "Its overlay addresses: the node's own for a process, one for each slot of containers. Empty where its node has left."},
			}},
		},
	}
}

func portDataSchema() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"service":          readText("Service that it is published for."),
		"mode":             readText("`ingress` or `host`."),
		"last_port":        readNumber("Last port of a range of ports, null for a single one."),
		"target_port":      readNumber("Port on which the endpoints listen that name none of their own; of a range of ports, the target of its first one."),
		"locality":         readText("`any`, `prefer_local` or `local_only`."),
		"nodes":            schema.ListAttribute{ElementType: types.StringType, Computed: true, MarkdownDescription: "Nodes on which the port is open, of those that the mode says; null for all."},
		"listen_addresses": schema.ListAttribute{ElementType: types.StringType, Computed: true, MarkdownDescription: "Addresses and networks of the nodes at which the port is open; null for all."},
		"allowed_cidrs":    schema.ListAttribute{ElementType: types.StringType, Computed: true, MarkdownDescription: "Networks from which clients may connect; null for everybody."},
		"one_packet":       schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether an endpoint is chosen for every packet."},
		"client_address":   readText("`entry_node` or `preserve`."),
		"endpoints": schema.MapNestedAttribute{
			Computed: true,
			MarkdownDescription: "The service's endpoints, by their names in it, with what IPVS counts: sums over the nodes that answer, each since it has the endpoint. " +
				"They fall back to 0 on a node that is rebooted. An endpoint that was removed is there by its address for as long as it drains.",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"node":                 readText("Node on which the process listens."),
				"weight":               readNumber("Share of new connections in IPVS, the lowest of all nodes. Null where no node that answers sends it any."),
				"health":               readText("The worst of what the nodes' checks say: `healthy`, `unhealthy_kept` (fails like all others of its port, and is used all the same) or `unhealthy`. Null where there are no checks."),
				"draining":             schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether some node is waiting for its connections to end."},
				"connections":          readNumber("Connections that were led to it (for udp: clients)."),
				"active_connections":   readNumber("Connections that are established now; 0 for udp."),
				"inactive_connections": readNumber("Connections that are opening or closing now; for udp: clients heard lately."),
				"bytes_in":             readNumber("Bytes from clients to it."),
				"bytes_out":            readNumber("Bytes from it to clients."),
				"seen_by": schema.MapNestedAttribute{
					Computed: true, MarkdownDescription: "The endpoint as each node has it, by the node's name; nodes that do not answer, or that send it nothing, are not there.",
					NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
						"weight":             readNumber("Share of new connections."),
						"health":             readText("What this node's checks say: `healthy`, `unhealthy` or `unhealthy_kept`. Null where there are none."),
						"reason":             readText("Why it fails: `connection refused`. Null where it does not."),
						"draining":           schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether this node is waiting for its connections to end."},
						"active_connections": readNumber("Connections from this node that are established now."),
					}},
				},
			}},
		},
	}
}

func readDuration(description string) schema.Attribute {
	return schema.StringAttribute{Computed: true, CustomType: timetypes.GoDurationType{}, MarkdownDescription: description}
}
