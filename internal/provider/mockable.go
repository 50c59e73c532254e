package provider

import (
	"context"
	"regexp"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Attributes that take what another resource computes (an id, an address, a port)
// get random words and 0 where that resource is mocked (mock_provider in terraform
// test). Terraform asks the real provider to validate them, and the mock to plan.
// So their rules pass over what a mock may have made when validating, and hold
// for everything when planning.

// mockWord is what a mock makes of a computed string, alone or with a prefix length
// that a configuration has appended to it.
var mockWord = regexp.MustCompile(`^[A-Za-z0-9]+(/[0-9]+)?$`)

// mockable is a rule of such an attribute.
type mockable struct{ rule }

func (m mockable) ValidateString(ctx context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if !mockWord.MatchString(req.ConfigValue.ValueString()) {
		m.rule.ValidateString(ctx, req, resp)
	}
}

func (m mockable) PlanModifyString(_ context.Context, req planmodifier.StringRequest, resp *planmodifier.StringResponse) {
	resp.Diagnostics.Append(m.verdict(req.Path, req.ConfigValue)...)
}

// mockableSet is a set of strings that each have to obey the rule.
type mockableSet struct{ rule }

func (m mockableSet) ValidateSet(ctx context.Context, req validator.SetRequest, resp *validator.SetResponse) {
	setvalidator.ValueStringsAre(mockable(m)).ValidateSet(ctx, req, resp)
}

func (m mockableSet) PlanModifySet(_ context.Context, req planmodifier.SetRequest, resp *planmodifier.SetResponse) {
	for _, e := range req.ConfigValue.Elements() {
		if s, ok := e.(types.String); ok {
			resp.Diagnostics.Append(m.verdict(req.Path.AtSetValue(e), s)...)
		}
	}
}

// mockablePort is a port; a mock makes 0 of a computed number.
type mockablePort struct{ limited }

var anyPort = mockablePort{limited{mesh.Ports}}

func (m mockablePort) ValidateInt64(ctx context.Context, req validator.Int64Request, resp *validator.Int64Response) {
	if req.ConfigValue.ValueInt64() != 0 {
		m.limited.ValidateInt64(ctx, req, resp)
	}
}

func (m mockablePort) PlanModifyInt64(_ context.Context, req planmodifier.Int64Request, resp *planmodifier.Int64Response) {
	resp.Diagnostics.Append(m.verdict(req.Path, req.ConfigValue)...)
}

func portValidators() []validator.Int64       { return []validator.Int64{anyPort} }
func portPlanModifiers() []planmodifier.Int64 { return []planmodifier.Int64{anyPort} }
