package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// loadBalancerFunction writes one upstream in the words of one load balancer.
type loadBalancerFunction struct {
	name, summary, description string
	text                       func(*upstream) string
}

var (
	_ function.Function = (*loadBalancerFunction)(nil)
	_ function.Function = (*parseIDFunction)(nil)
)

func newHAProxyBackend() function.Function {
	return &loadBalancerFunction{
		name: "haproxy_backend", text: (*upstream).haproxy,
		summary: "The backend section of HAProxy for a published port",
		description: "Returns the text of an HAProxy `backend` section, named `SERVICE_PORT`, that balances over all nodes and checks each at the mesh's health address, `GET /healthz/SERVICE`: " +
			"a node that drains, or through which nobody answers for the service, gets no new connections. The servers are in the order of their names. " +
			"The section has no `mode`, so that it takes that of `defaults`, and ends with a line break: lines of your own may follow, as may the next section. It needs HAProxy 2.2 or newer.\n\n" +
			"Arguments that would break the syntax of the configuration are refused.",
	}
}

func newNginxUpstream() function.Function {
	return &loadBalancerFunction{
		name: "nginx_upstream", text: (*upstream).nginx,
		summary: "The upstream block of nginx for a published port",
		description: "Returns the text of an nginx `upstream` block, named `SERVICE_PORT`, that balances over all nodes, for `http` and for `stream`. The servers are in the order of their names. " +
			"Open source nginx notices by clients' connections only that a node does not answer (`max_fails`): set `proxy_connect_timeout` to a few seconds. " +
			"With `health_address`, a comment above the block has the `health_check` directive of NGINX Plus, which asks `GET /healthz/SERVICE` of each node and belongs into a `location`.\n\n" +
			"Arguments that would break the syntax of the configuration are refused.",
	}
}

func (f *loadBalancerFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = f.name
}

func (f *loadBalancerFunction) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary: f.summary, MarkdownDescription: f.description,
		Parameters: []function.Parameter{
			function.StringParameter{Name: "service", MarkdownDescription: "Name of the service: `routingmesh_service.….name`."},
			function.Int64Parameter{Name: "port", MarkdownDescription: "The published port, 1–65535: `routingmesh_published_port.….published_port`."},
			function.MapParameter{Name: "nodes", ElementType: types.StringType,
				MarkdownDescription: "Addresses of the nodes, as the load balancer reaches them, by name: IPv4 addresses, or names of hosts that the load balancer can resolve. At least one."},
			function.StringParameter{Name: "health_address", AllowNullValue: true,
				MarkdownDescription: "`health_address` of the cluster: `:PORT` or `0.0.0.0:PORT`. Null or `\"\"` for a cluster without one: then a node counts as up while it accepts connections. (OpenTofu 1.12 cannot pass null to a function.)"},
		},
		Return: function.StringReturn{},
	}
}

func (f *loadBalancerFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var service string
	var port int64
	var nodes map[string]string
	var healthAddress *string
	if resp.Error = req.Arguments.Get(ctx, &service, &port, &nodes, &healthAddress); resp.Error != nil {
		return
	}
	u, err := newUpstream(service, port, nodes, healthAddress)
	if err != nil {
		resp.Error = err
		return
	}
	resp.Error = resp.Result.Set(ctx, f.text(u))
}
