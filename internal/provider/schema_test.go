package provider

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

// TestEveryAttributeIsDescribed: the registry's pages are made of it.
func TestEveryAttributeIsDescribed(t *testing.T) {
	resp, err := providerserver.NewProtocol6(New("test")())().GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range resp.Diagnostics {
		t.Errorf("%s: %s", d.Summary, d.Detail)
	}
	var check func(where string, attributes []*tfprotov6.SchemaAttribute)
	check = func(where string, attributes []*tfprotov6.SchemaAttribute) {
		for _, a := range attributes {
			if len(a.Description) < 15 {
				t.Errorf("%s.%s has no description: %q", where, a.Name, a.Description)
			}
			if a.NestedType != nil {
				check(where+"."+a.Name, a.NestedType.Attributes)
			}
		}
	}
	check("provider", resp.Provider.Block.Attributes)
	if len(resp.ResourceSchemas) != 5 {
		t.Errorf("%d resources, want 5", len(resp.ResourceSchemas))
	}
	for name, s := range resp.ResourceSchemas {
		if len(s.Block.Description) < 30 {
			t.Errorf("%s has no description", name)
		}
		check(name, s.Block.Attributes)
	}
	if len(resp.DataSourceSchemas) != 2 {
		t.Errorf("%d data sources, want 2", len(resp.DataSourceSchemas))
	}
	for name, s := range resp.DataSourceSchemas {
		check("data "+name, s.Block.Attributes)
	}
	for name := range resp.ResourceSchemas {
		s := resp.ListResourceSchemas[name]
		if s == nil || len(s.Block.Description) < 30 {
			t.Errorf("%s cannot be listed, or its list has no description", name)
			continue
		}
		check("list "+name, s.Block.Attributes)
	}
	if len(resp.ActionSchemas) != 3 {
		t.Errorf("%d actions, want 3", len(resp.ActionSchemas))
	}
	for name, s := range resp.ActionSchemas {
		if len(s.Schema.Block.Description) < 30 {
			t.Errorf("action %s has no description", name)
		}
		check("action "+name, s.Schema.Block.Attributes)
	}
}
