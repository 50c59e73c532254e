package provider

import (
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// orNull is the null value for "", since Terraform tells them apart and the
// record does not.
func orNull(s string) types.String {
	if s == "" {
		return types.StringNull()
	}
	return types.StringValue(s)
}

func portOrNull(p uint16) types.Int64 {
	if p == 0 {
		return types.Int64Null()
	}
	return types.Int64Value(int64(p))
}

// settled is false where a state has no value yet: after an import, or from
// before there was the attribute.
func settled(v types.Bool) types.Bool { return types.BoolValue(v.ValueBool()) }

// known returns v, or null where it is still unknown: a state must not hold
// unknown values, not even next to an error.
func known(v types.String) types.String {
	if v.IsUnknown() {
		return types.StringNull()
	}
	return v
}
