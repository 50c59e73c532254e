package provider

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func (r *clusterResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	attributes := map[string]schema.Attribute{
		"id": idAttribute("Id of the cluster: its name, as in `demo`."),
		"name": schema.StringAttribute{
			Required:            true,
			MarkdownDescription: "Name of the cluster: 1–63 of a–z, 0–9 and `-`, not starting or ending with `-`. Another name replaces the cluster and all that is in it.",
			Validators:          []validator.String{nameRule},
			PlanModifiers:       []planmodifier.String{stringplanmodifier.RequiresReplace()},
		},
		"force_remove": forceRemoveAttribute("Destroy the cluster even if hosts of the provider do not answer: they keep the agent and the record until `routingmesh-agent uninstall` is run there."),
		"host_keys": schema.MapAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "Public host keys of the provider's `hosts`, by `host:port`, in the form of authorized_keys. They are pinned here at the first connect: " +
				"a host that shows another one is refused, unless `host_key_policy` is `insecure`.",
			PlanModifiers: []planmodifier.Map{mapplanmodifier.UseNonNullStateForUnknown()},
		},
		"drift":    driftAttribute("What is not as the record asks and belongs to no node, service, port or network alone, as a host of the provider with an old record"),
		"timeouts": timeoutsAttribute(ctx),
	}
	maps.Copy(attributes, overlayAttributes())
	maps.Copy(attributes, behaviourAttributes())
	resp.Schema = schema.Schema{
		MarkdownDescription: "A cluster: one mesh, whose nodes share an overlay network and its published ports.\n\n" +
			"Its settings, nodes, services, ports and networks make up the cluster's record, of which the provider's `hosts` and every node have a copy. " +
			"A provider configuration serves one cluster; a second one takes an `alias`.",
		Attributes: attributes,
	}
}

// overlayAttributes say what the overlay is made of.
func overlayAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"address_pool": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(mesh.DefaultAddressPool.String()),
			MarkdownDescription: "IPv4 prefix of the overlay, of which every node gets a block. It must not overlap networks that the hosts use. " +
				"Default: `10.255.0.0/16`. Another one replaces the cluster and all that is in it.",
			Validators:    []validator.String{poolRule, publicPool},
			PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
		},
		"node_prefix_length": schema.Int64Attribute{
			CustomType: integerType{},
			Optional:   true, Computed: true, Default: int64default.StaticInt64(mesh.DefaultNodePrefixLength),
			MarkdownDescription: "Prefix length of a node's block, longer than the pool's and at most 29. With the pool it says how many nodes there may be: a /16 in blocks of /24 has room for 256. " +
				"Default: 24. Another one replaces the cluster and all that is in it.",
			Validators:    numbers(mesh.NodePrefixLengths),
			PlanModifiers: []planmodifier.Int64{int64planmodifier.RequiresReplace()},
		},
		"vxlan_port": schema.Int64Attribute{
			CustomType: integerType{},
			Optional:   true, Computed: true, Default: int64default.StaticInt64(mesh.DefaultVXLANPort),
			MarkdownDescription: "UDP port of the overlay between the nodes, 1–65535. Default: 4789. Changed in place; connections through other nodes stall until all nodes have changed.",
			Validators:          numbers(mesh.Ports),
		},
		"vni": schema.Int64Attribute{
			CustomType: integerType{},
			Optional:   true, Computed: true,
			MarkdownDescription: "VXLAN network identifier, 1–16777215. Default: made of the name, in 5000000–5999999. Changed in place, as `vxlan_port`.",
			Validators:          numbers(mesh.VNIs),
		},
		"mtu": schema.Int64Attribute{
			CustomType: integerType{},
			Optional:   true, Computed: true,
			MarkdownDescription: "MTU of the overlay in bytes, 576–65485. Default: the smallest MTU of the nodes' underlay links less 50 for VXLAN's header; " +
				"it is read back and follows the nodes (1450 while there are none). Changed in place.",
			Validators:    numbers(mesh.MTUs),
			PlanModifiers: []planmodifier.Int64{int64planmodifier.UseNonNullStateForUnknown()},
		},
	}
}

// behaviourAttributes say what the nodes do; they are changed in place.
func behaviourAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"published_port_range": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString("30000-32767"),
			MarkdownDescription: "Range `FIRST-LAST` from which a published port is taken that names none. Default: `30000-32767`, as in Swarm. Changed in place; ports that are published stay.",
			Validators:          []validator.String{rangeRule},
		},
		"repair": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(repairAutomatic),
			MarkdownDescription: "What the nodes do about what something else has removed or changed of the mesh (`iptables -F`, a deleted link): `automatic` repairs it at once and counts it in the nodes' `repairs`; " +
				"`report` leaves it as it is until an apply of the `drift`. Default: `automatic`. Changed in place.",
			Validators: []validator.String{stringvalidator.OneOf(repairAutomatic, string(mesh.RepairReport))},
		},
		"firewall": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(firewallManage),
			MarkdownDescription: "What the nodes do where firewalld runs: `manage` tells it at run time to accept VXLAN from the other nodes and what comes over `rmesh0`, again after each of its reloads, and takes it back in the end; " +
				"`report` changes nothing of it, and warns with the commands to run. Nothing is written to its configuration. Every other firewall's rules are left as they are, whatever this says: see the guide " +
				"[Firewalls](../guides/firewalls). Default: `manage`. Changed in place.",
			Validators: []validator.String{stringvalidator.OneOf(firewallManage, string(mesh.FirewallReport))},
		},
		"tcp_idle_timeout": durationAttribute("For how long a tcp connection without a packet is kept, in whole seconds up to `744h`. A packet that comes later is answered with a reset. "+
			"Default: `2h10m`, which is longer than Linux's keep-alive of two hours. Changed in place, for connections that exist, too.", new(mesh.DefaultTCPIdle), time.Second, time.Second),
		"udp_idle_timeout": durationAttribute("For how long a udp client without a packet keeps its endpoint, in whole seconds up to `744h`. Default: `5m`. Changed in place.",
			new(mesh.DefaultUDPIdle), time.Second, time.Second),
		"mark_bit": schema.Int64Attribute{
			CustomType: integerType{},
			Optional:   true, Computed: true, Default: int64default.StaticInt64(mesh.DefaultMarkBit),
			MarkdownDescription: "Bit of packets' and connections' marks that the nodes use, while a port has `client_address = \"preserve\"` and not otherwise, 1–31: choose one that no other program of the hosts uses (`iptables-save | grep -i mark`, `ip rule`). " +
				fmt.Sprintf("Default: %d, which is the mark 0x%x. Changed in place; open udp connections and those of containers on such ports end.", mesh.DefaultMarkBit, 1<<mesh.DefaultMarkBit),
			Validators: numbers(mesh.MarkBits),
		},
		"host_dns": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(hostDNSHosts),
			MarkdownDescription: "How processes of hosts that are members of networks find the services of these: `hosts` keeps the services' virtual IPs in a block of the host's `/etc/hosts`, as `NAME.CLUSTER.internal` and as `NAME` where no other line has it; " +
				"`off` leaves the file as it is. Hosts in no network are never touched, and containers ask the `resolver` in either case. Default: `hosts`. Changed in place.",
			Validators: []validator.String{stringvalidator.OneOf(hostDNSHosts, string(mesh.HostDNSOff))},
		},
		"health_address": listenAttribute("Where every node answers `GET /healthz` (200 while it is active and its mesh is whole, else 503) and `GET /healthz/SERVICE` " +
			"(200 while an endpoint of the service gets connections there), for an external load balancer"),
		"metrics_address": listenAttribute("Where every node answers `GET /metrics`, in the text format of Prometheus"),
	}
}

// listenAttribute is an address on which every agent listens.
func listenAttribute(what string) schema.Attribute {
	return schema.StringAttribute{
		Optional: true,
		MarkdownDescription: what + ": `:PORT` for that port of the node's own `address`, or `ADDRESS:PORT`, as in `0.0.0.0:10256`. " +
			"Default: nowhere. Whoever reaches it may read it: choose an address of a private network, or a firewall. Changed in place.",
		Validators: []validator.String{listenRule},
	}
}

// forceRemoveAttribute is read from the state when the resource is destroyed.
func forceRemoveAttribute(description string) schema.Attribute {
	return schema.BoolAttribute{
		Optional: true, Computed: true, Default: booldefault.StaticBool(false),
		MarkdownDescription: description + " It must be in the state before the destroy: set it from the start, or set it and apply first, which changes nothing on any host. Default: `false`.",
	}
}

func idAttribute(description string) schema.Attribute {
	return schema.StringAttribute{Computed: true, MarkdownDescription: description}
}
