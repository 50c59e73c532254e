package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// parseIDFunction takes apart what idAttribute makes.
type parseIDFunction struct{}

func newParseID() function.Function { return &parseIDFunction{} }

// parsedID has null for what the id does not contain.
type parsedID struct {
	Kind     string  `tfsdk:"kind"`
	Cluster  string  `tfsdk:"cluster"`
	Name     *string `tfsdk:"name"`
	Service  *string `tfsdk:"service"`
	Port     *int64  `tfsdk:"port"`
	Protocol *string `tfsdk:"protocol"`
}

// Ids of nodes, services and networks look the same.
const (
	kindCluster = "cluster"
	kindNamed   = "node_service_or_network"
	kindPort    = "published_port"
)

func (parseIDFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "parse_id"
}

func (parseIDFunction) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary: "What an id of this provider is made of",
		MarkdownDescription: "Takes apart the id of any resource of this provider. Returns an object; what the id does not contain is null:\n\n" +
			"| attribute | of `demo` | of `demo/web` | of `demo/web/8080/tcp` |\n|---|---|---|---|\n" +
			"| `kind` | `\"cluster\"` | `\"node_service_or_network\"` | `\"published_port\"` |\n" +
			"| `cluster` | `\"demo\"` | `\"demo\"` | `\"demo\"` |\n" +
			"| `name`, of the node, service or network | null | `\"web\"` | null |\n" +
			"| `service` | null | null | `\"web\"` |\n" +
			"| `port`, a number | null | null | `8080` |\n" +
			"| `protocol` | null | null | `\"tcp\"` |\n\n" +
			"An id does not tell whether it is a node's, a service's or a network's. Anything that is not an id is an error.",
		Parameters: []function.Parameter{
			function.StringParameter{Name: "id", MarkdownDescription: "`id` of a cluster, node, service, network or published port."},
		},
		Return: function.ObjectReturn{AttributeTypes: map[string]attr.Type{
			"kind": types.StringType, "cluster": types.StringType, "name": types.StringType,
			"service": types.StringType, "port": types.Int64Type, "protocol": types.StringType,
		}},
	}
}

func (parseIDFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var id string
	if resp.Error = req.Arguments.Get(ctx, &id); resp.Error != nil {
		return
	}
	parsed, err := parseID(id)
	if err != nil {
		resp.Error = badArgument(0, "%w", err)
		return
	}
	resp.Error = resp.Result.Set(ctx, parsed)
}

func parseID(id string) (parsedID, error) {
	switch strings.Count(id, "/") {
	case 0:
		if mesh.CheckName(id) == nil {
			return parsedID{Kind: kindCluster, Cluster: id}, nil
		}
	case 1:
		if cluster, name, err := mesh.SplitID(id); err == nil {
			return parsedID{Kind: kindNamed, Cluster: cluster, Name: &name}, nil
		}
	case 3:
		if cluster, service, k, err := mesh.SplitPortID(id); err == nil {
			return parsedID{Kind: kindPort, Cluster: cluster, Service: &service, Port: new(int64(k.Port)), Protocol: new(string(k.Protocol))}, nil
		}
	}
	return parsedID{}, fmt.Errorf("%q is not a valid id: it must be CLUSTER, CLUSTER/NODE, CLUSTER/SERVICE, CLUSTER/NETWORK or CLUSTER/SERVICE/PORT/PROTOCOL, as in demo, demo/n1, demo/web, demo/backend and demo/web/8080/tcp", id)
}
