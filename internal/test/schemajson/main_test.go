package main

import (
	"encoding/json"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"
)

// What tfplugindocs reads with has to be able to read it, and it has to hold what docs are made of.
func TestDump(t *testing.T) {
	t.Parallel()
	dumped, err := dump(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(object{"format_version": "1.0", "provider_schemas": object{"routingmesh": dumped}})
	if err != nil {
		t.Fatal(err)
	}
	var got tfjson.ProviderSchemas
	if err := got.UnmarshalJSON(b); err != nil {
		t.Fatal(err)
	}
	p := got.Schemas["routingmesh"]
	if a := p.ConfigSchema.Block.Attributes["ssh"]; a.AttributeNestedType.NestingMode != tfjson.SchemaNestingModeSingle ||
		!a.AttributeNestedType.Attributes["private_key"].Sensitive {
		t.Errorf("the provider's ssh: %+v", a)
	}
	port := p.ResourceSchemas["routingmesh_published_port"]
	if port == nil || port.Block.Attributes["target_port"].AttributeType.FriendlyName() != "number" || port.Block.Attributes["target_port"].Description == "" {
		t.Errorf("the published port's schema: %+v", port)
	}
	if id := p.ResourceIdentitySchemas["routingmesh_node"]; id == nil || !id.Attributes["name"].RequiredForImport {
		t.Errorf("the node's identity: %+v", id)
	}
	if f := p.Functions["haproxy_backend"]; f == nil || f.ReturnType.FriendlyName() != "string" || len(f.Parameters) != 4 || !f.Parameters[3].IsNullable {
		t.Errorf("the function haproxy_backend: %+v", f)
	}
	if l := p.ListResourceSchemas["routingmesh_published_port"]; l == nil || l.Block.Attributes["service_id"] == nil {
		t.Errorf("the list of published ports: %+v", l)
	}
	if a := p.ActionSchemas["routingmesh_drain"]; a == nil || !a.Block.Attributes["node"].Required {
		t.Errorf("the action drain: %+v", a)
	}
}
