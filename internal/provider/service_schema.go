package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func (r *serviceResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "A service: a name for a set of endpoints that answer the same thing. It opens nothing by itself: " +
			"a `routingmesh_published_port` does, and publishing or removing one touches neither the service nor its endpoints.",
		Attributes: map[string]schema.Attribute{
			"id":         idAttribute("Id of the service: `CLUSTER/NAME`, as in `demo/web`."),
			"cluster_id": clusterIDAttribute(),
			"name": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: "Name of the service in the cluster: 1–63 of a–z, 0–9 and `-`, not starting or ending with `-`. Another name replaces the service and its published ports.",
				Validators:          []validator.String{nameRule},
				PlanModifiers:       []planmodifier.String{stringplanmodifier.RequiresReplace()},
			},
			"endpoints": schema.MapNestedAttribute{
				Required: true,
				MarkdownDescription: "The endpoints, by a name of your choice each; may be empty. New connections are balanced over them as `scheduler` says. " +
					"Changed in place, one endpoint at a time: the others keep their connections. The apply waits until one that is removed has none any more, `drain_timeout` at most.",
				Validators: []validator.Map{mapvalidator.NoNullValues(), mapvalidator.KeysAre(stringvalidator.LengthAtLeast(1))},
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"node": schema.StringAttribute{
						Required:            true,
						MarkdownDescription: "Name of the node on which the process listens, or the container runs: `routingmesh_node.….name`, so that Terraform makes the node first.",
						Validators:          []validator.String{nameRule},
					},
					"port": schema.Int64Attribute{
						CustomType: integerType{},
						Optional:   true,
						MarkdownDescription: "Port on which this endpoint listens, 1–65535, in place of the published port's `target_port`: " +
							"so that two processes on one node can serve.",
						Validators: portValidators(), PlanModifiers: portPlanModifiers(),
					},
					"weight": schema.Int64Attribute{
						CustomType: integerType{},
						Optional:   true, Computed: true, Default: int64default.StaticInt64(mesh.DefaultWeight),
						MarkdownDescription: "Share of the new connections beside the weights of the others, 0–65535; `rr` and `lc` heed it only in that 0 gets none. " +
							"With 0 an endpoint keeps the connections that it has. Default: 1. Changed in place.",
						Validators: numbers(mesh.Weights),
					},
					"container": containerAttribute(),
				}},
			},
			"scheduler": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(mesh.DefaultScheduler),
				MarkdownDescription: "How an endpoint is chosen for a new connection: `rr` in turn, `wrr` in turn by weight, `lc` and `wlc` the one with the fewest connections, `sed` the one that will have the shortest delay, " +
					"`nq` an idle one first, `sh` and `mh` by the client's address, the same on every node. See [Serving](../guides/serving#which-scheduler-when). Default: `rr`. Changed in place: connections stay where they are; those that begin in the milliseconds of the change are refused, for the kernel has no scheduler then.",
				Validators: []validator.String{stringvalidator.OneOf(mesh.Schedulers()...)},
			},
			"session_affinity": affinityAttribute(),
			"health_check":     healthCheckAttribute(),
			"drain_timeout": durationAttribute("How long the connections of an endpoint that is taken out may last (removed, or its node drains or leaves), in whole seconds up to `24h`; `0s` ends them at once. It gets no new ones meanwhile, and "+
				"the apply waits for it. Default: `30s`. Changed in place.", new(mesh.DefaultDrain), time.Second, 0),
			"networks":      networksAttribute(),
			"endpoint_mode": endpointModeAttribute(),
			"vip_ports":     vipPortsAttribute(),
			"vip": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Virtual IP of the service in its networks, the same on every node. It stays until the service leaves its last network or gets `endpoint_mode = \"dnsrr\"`. Null for those.",
			},
			"drift":    driftAttribute("What the nodes lack of the service itself (what they lack for its endpoints is drift of its published ports)"),
			"timeouts": timeoutsAttribute(ctx),
		},
	}
}

// containerAttribute is what makes an endpoint containers instead of a process.
func containerAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Which containers of the node answer, in place of a process of the host: Docker's or Podman's, started by whatever starts them. The node's agent gives each that fits a link into the mesh, with an overlay address of its own: " +
			"their engine's networks and published ports have no part in it, and `target_port` is the port inside of the container. One that starts, restarts or ends is seen at once, on all nodes. See [Containers](../guides/containers). Changed in place.",
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Name of the container. Exactly one of `name` and `labels`.",
				Validators:          []validator.String{stringvalidator.ExactlyOneOf(path.MatchRelative().AtParent().AtName("labels")), stringvalidator.LengthAtLeast(1)},
			},
			"labels": schema.MapAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Labels that the containers have, all of them, as in `{ \"com.docker.compose.service\" = \"web\" }`.",
				Validators:          []validator.Map{mapvalidator.SizeAtLeast(1), mapvalidator.NoNullValues()},
			},
			"slots": schema.Int64Attribute{
				CustomType: integerType{},
				Optional:   true, Computed: true, Default: int64default.StaticInt64(1),
				MarkdownDescription: fmt.Sprintf("How many such containers the node may have: each has an overlay address, which stays when the container is restarted or replaced. 1–%d; default: 1. Each has the endpoint's `weight`.", mesh.MaxSlots),
				Validators:          []validator.Int64{int64validator.Between(1, mesh.MaxSlots)},
			},
		},
	}
}
