package provider

import (
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func networksAttribute() schema.Attribute {
	return schema.MapNestedAttribute{
		Optional: true,
		MarkdownDescription: "The networks that the service is in, by name (`(routingmesh_network.backend.name) = {}`): its containers and hosts find the services of these networks by name, and are found by them. " +
			"A container of a service in networks is closed to all others, but for its published and checked ports. See the guide [Networks](../guides/networks). Default: none. Changed in place: connections to members of a network that is left end.",
		Validators: []validator.Map{mapvalidator.NoNullValues(), mapvalidator.KeysAre(nameRule)},
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"aliases": schema.SetAttribute{
				ElementType:         types.StringType,
				Optional:            true,
				MarkdownDescription: "Further names of the service in this network, as in `[\"database\"]`. Names and aliases are unique in a network. Default: none.",
				Validators:          []validator.Set{setvalidator.ValueStringsAre(nameRule)},
			},
		}},
	}
}

func endpointModeAttribute() schema.Attribute {
	return schema.StringAttribute{
		Optional: true, Computed: true, Default: stringdefault.StaticString(endpointVIP),
		MarkdownDescription: "What the service's name leads to in its networks: `vip`, a virtual IP that balances connections over the endpoints as published ports do (`scheduler`, `health_check`, weights, drains); " +
			"`dnsrr`, the addresses of the healthy containers, in turn, for clients that choose themselves. `tasks.NAME` leads to the containers in either case. Default: `vip`. Changed in place; another mode ends connections to the VIP.",
		Validators: []validator.String{stringvalidator.OneOf(endpointVIP, string(mesh.EndpointDNSRR))},
	}
}

func vipPortsAttribute() schema.Attribute {
	return schema.MapAttribute{
		ElementType: integerType{},
		Optional:    true,
		MarkdownDescription: "Ports of the VIP, and the ports of the endpoints that they lead to: `{ \"80/tcp\" = 8080 }`. Needed where an endpoint is a process of a host, of which nothing else is to be reachable. " +
			"Default: every port leads to the same one of the containers, as in Swarm. Changed in place.",
		Validators: []validator.Map{mapvalidator.NoNullValues(), mapvalidator.KeysAre(vipPortRule), mapvalidator.ValueInt64sAre(anyPort)},
	}
}
