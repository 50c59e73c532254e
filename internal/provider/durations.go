package provider

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// durationAttribute is a duration that the record keeps in whole units. Its
// default is given, or it is required; one that is only spelled in another way
// than in the state ("120s", "2m") changes nothing.
func durationAttribute(description string, fallback *time.Duration, unit, least time.Duration) schema.Attribute {
	a := schema.StringAttribute{
		CustomType:          timetypes.GoDurationType{},
		MarkdownDescription: description,
		Validators:          []validator.String{wholeDuration{unit, least}},
		PlanModifiers:       []planmodifier.String{keepSpelling{}},
		Required:            fallback == nil,
	}
	if fallback != nil {
		a.Optional, a.Computed = true, true
		a.Default = stringdefault.StaticString(durationText(*fallback))
	}
	return a
}

// wholeDuration is a duration of whole units, and no shorter than least. That
// it is a duration at all is its type's to say, how long it may be mesh's.
type wholeDuration struct{ unit, least time.Duration }

func (v wholeDuration) Description(context.Context) string {
	return fmt.Sprintf("a duration of %s or more, in whole multiples of %s", durationText(v.least), durationText(v.unit))
}

func (v wholeDuration) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (v wholeDuration) ValidateString(ctx context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	d, err := time.ParseDuration(req.ConfigValue.ValueString())
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() || err != nil {
		return
	}
	if d < v.least || d%v.unit != 0 {
		// Of a path into an attribute Terraform shows the resource; of the attribute, the line.
		at := path.Empty().AtName(req.Path.Steps()[0].String())
		resp.Diagnostics.AddAttributeError(at, "Invalid duration",
			fmt.Sprintf("%s: %q cannot be used: want %s.", req.Path, req.ConfigValue.ValueString(), v.Description(ctx)))
	}
}

// positiveTimeout is a duration in which something can be done: with 0s every
// operation has timed out when it begins. That it is a duration has been checked.
type positiveTimeout struct{}

func (positiveTimeout) Description(context.Context) string { return "a duration longer than 0s" }
func (v positiveTimeout) MarkdownDescription(ctx context.Context) string {
	return v.Description(ctx)
}

func (positiveTimeout) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	d, err := time.ParseDuration(req.ConfigValue.ValueString())
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() || err != nil || d > 0 {
		return
	}
	resp.Diagnostics.AddAttributeError(req.Path, "Invalid timeout", fmt.Sprintf(
		"%q gives the operation no time: want a duration longer than 0s, as in 90s or 5m. Leave it out for the default.", req.ConfigValue.ValueString()))
}

// keepSpelling plans the state's spelling of an equal duration: the framework
// compares meanings when it reads, and texts when it plans.
type keepSpelling struct{}

func (keepSpelling) Description(context.Context) string {
	return "Another spelling of the same duration changes nothing."
}
func (m keepSpelling) MarkdownDescription(ctx context.Context) string { return m.Description(ctx) }

func (keepSpelling) PlanModifyString(_ context.Context, req planmodifier.StringRequest, resp *planmodifier.StringResponse) {
	was, err1 := time.ParseDuration(req.StateValue.ValueString())
	is, err2 := time.ParseDuration(req.PlanValue.ValueString())
	if err1 == nil && err2 == nil && was == is {
		resp.PlanValue = req.StateValue
	}
}

// durationOr is the value, or fallback while there is none.
func durationOr(v timetypes.GoDuration, fallback time.Duration) time.Duration {
	if d, err := time.ParseDuration(v.ValueString()); err == nil {
		return d
	}
	return fallback
}

func durationValue(d time.Duration) timetypes.GoDuration {
	return timetypes.GoDuration{StringValue: types.StringValue(durationText(d))}
}

// durationText is how people write it: 10m, not 10m0s.
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
