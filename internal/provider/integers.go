package provider

import (
	"context"
	"fmt"
	"math/big"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// integerType is Int64Type with an error that the user can act on. Of 8080.5 the
// framework's own says that it "is always an error in the provider": it comes
// from the conversion, before anything is validated. So the conversion takes such
// a number for unknown, and the validation of the type refuses it.
type integerType struct{ basetypes.Int64Type }

var _ basetypes.Int64Typable = integerType{}

// Equal takes Int64Type, too: it is the type of the values.
func (t integerType) Equal(o attr.Type) bool {
	switch o.(type) {
	case integerType, basetypes.Int64Type:
		return true
	}
	return false
}

// ValueFromTerraform converts what is an integer.
func (t integerType) ValueFromTerraform(ctx context.Context, in tftypes.Value) (attr.Value, error) {
	if _, bad := notInteger(in); bad {
		return basetypes.NewInt64Unknown(), nil
	}
	return t.Int64Type.ValueFromTerraform(ctx, in)
}

// Validate refuses what is not.
func (t integerType) Validate(ctx context.Context, in tftypes.Value, at path.Path) diag.Diagnostics {
	if text, bad := notInteger(in); bad {
		return diag.Diagnostics{diag.NewAttributeErrorDiagnostic(at, "Invalid number", fmt.Sprintf("%s must be a whole number, not %s.", at, text))}
	}
	return t.Int64Type.Validate(ctx, in, at)
}

// notInteger tells whether in is a number that is no int64, and how it is written.
func notInteger(in tftypes.Value) (text string, bad bool) {
	var n *big.Float
	if !in.IsKnown() || in.IsNull() || !in.Type().Is(tftypes.Number) || in.As(&n) != nil || n == nil {
		return "", false
	}
	if i, accuracy := n.Int64(); accuracy == big.Exact && new(big.Float).SetInt64(i).Cmp(n) == 0 {
		return "", false
	}
	return n.Text('g', 12), true
}
