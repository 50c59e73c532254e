package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func affinityAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Keep a client at the endpoint that it had, by its address. Each node keeps its own list: through another node the client may get another endpoint " +
			"(schedulers `sh` and `mh` give it the same one). Default: no affinity. Changed in place.",
		Attributes: map[string]schema.Attribute{
			"timeout": durationAttribute("For how long after its last connection has ended, in whole seconds, `1s`–`744h`.", nil, time.Second, time.Second),
			"netmask": schema.Int64Attribute{
				CustomType: integerType{},
				Optional:   true, Computed: true, Default: int64default.StaticInt64(mesh.DefaultAffinityPrefixLength),
				MarkdownDescription: "How many bits of its address make a client, 1–32: with 24 all addresses of a /24 go to one endpoint. Default: 32, each address by itself.",
				Validators:          numbers(mesh.AffinityPrefixLengths),
			},
		},
	}
}

func healthCheckAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Check every endpoint, from every node, over the way that traffic takes. An endpoint that fails the checks of a node gets no new connections from it, until it passes again; " +
			"if all fail, they are all used. One that stops answering is out within `interval` × `fall`. What the checks say is in the data source `routingmesh_cluster`, and never a reason for a plan to change anything. " +
			"`{}` checks by tcp. Default: no checks. Changed in place.",
		Attributes: map[string]schema.Attribute{
			"type": choice("`tcp` opens a connection and closes it; `http` and `https` make a GET request (a certificate is not verified).",
				string(mesh.CheckTCP), string(mesh.CheckHTTP), string(mesh.CheckHTTPS)),
			"port": schema.Int64Attribute{
				CustomType:          integerType{},
				Optional:            true,
				MarkdownDescription: "Port to check, 1–65535. Default: those on which the endpoint answers the service's published tcp ports. A service that publishes udp only is not checked without it.",
				Validators:          portValidators(),
				PlanModifiers:       portPlanModifiers(),
			},
			"path":            webText("Path to ask for.", mesh.DefaultCheckPath),
			"host":            schema.StringAttribute{Optional: true, MarkdownDescription: "Host header, and for `https` the server name. Default: the endpoint's address. Not for `tcp`.", Validators: []validator.String{stringvalidator.LengthAtLeast(1)}},
			"expected_status": webText("Status codes that pass, and ranges of them, as in `200,204,300-399`.", mesh.DefaultCheckStatus),
			"interval":        durationAttribute("From one check to the next, in whole milliseconds, `200ms`–`1h`. Default: `5s`.", new(mesh.DefaultCheckInterval), time.Millisecond, time.Millisecond),
			"timeout": durationAttribute("How long a check may take, in whole milliseconds; no longer than `interval`, nor than half of `interval` × `fall`. Default: `2s`.",
				new(mesh.DefaultCheckTimeout), time.Millisecond, time.Millisecond),
			"rise": count("How many checks in a row must pass for an endpoint to be healthy again, 1–100.", mesh.DefaultRise),
			"fall": count("How many checks in a row must fail for an endpoint to be unhealthy, 1–100.", mesh.DefaultFall),
			"on_unhealthy": choice("`drain` gives an unhealthy endpoint no new connections and leaves it the old ones; `cut` ends them, too.",
				string(mesh.KeepConnections), string(mesh.CutConnections)),
		},
	}
}

// choice is one of the words; the first is the default.
func choice(description string, words ...string) schema.Attribute {
	return schema.StringAttribute{
		Optional: true, Computed: true, Default: stringdefault.StaticString(words[0]),
		MarkdownDescription: fmt.Sprintf("%s Default: `%s`.", description, words[0]),
		Validators:          []validator.String{stringvalidator.OneOf(words...)},
	}
}

func count(description string, fallback int64) schema.Attribute {
	return schema.Int64Attribute{
		CustomType: integerType{},
		Optional:   true, Computed: true, Default: int64default.StaticInt64(fallback),
		MarkdownDescription: fmt.Sprintf("%s Default: %d.", description, fallback),
		Validators:          numbers(mesh.RiseFall),
	}
}

// webText is for http and https, and has no default but there.
func webText(description, fallback string) schema.Attribute {
	return schema.StringAttribute{
		Optional: true, Computed: true,
		MarkdownDescription: fmt.Sprintf("%s Default: `%s`. Not for `tcp`.", description, fallback),
		PlanModifiers:       []planmodifier.String{webDefault{fallback}},
	}
}

type webDefault struct{ text string }

func (d webDefault) Description(context.Context) string {
	return fmt.Sprintf("The default is %q, and none for a check by tcp.", d.text)
}
func (d webDefault) MarkdownDescription(ctx context.Context) string { return d.Description(ctx) }

func (d webDefault) PlanModifyString(ctx context.Context, req planmodifier.StringRequest, resp *planmodifier.StringResponse) {
	if !req.ConfigValue.IsNull() {
		return
	}
	var kind types.String
	resp.Diagnostics.Append(req.Plan.GetAttribute(ctx, req.Path.ParentPath().AtName("type"), &kind)...)
	switch {
	case kind.IsUnknown():
		resp.PlanValue = types.StringUnknown()
	case kind.ValueString() == string(mesh.CheckTCP):
		resp.PlanValue = types.StringNull()
	default:
		resp.PlanValue = types.StringValue(d.text)
	}
}
