// Package changesdocs has a test only: the guide "What a change does" says of every attribute of every resource what its schema says.
package changesdocs

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	fwprovider "github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/provider"
)

var update = flag.Bool("update", false, "write the template of the guide")

const (
	file = "../../../templates/guides/changes.md.tmpl"
	head = `---
page_title: "What a change does"
description: |-
  For every attribute of every resource: whether a change of it is made in place or replaces the resource, and what clients notice.
---

# What a change does

A change is made in place wherever that is possible: no other resource notices it, and connections go on unless this page says otherwise. What replaces a resource closes its ports, and what depends on it is replaced with it:
a node leaves the mesh and joins again, a service goes with its published ports, a cluster with all that is in it. A resource whose key or name in the configuration changes is kept with a ` + "`moved`" + ` block
([A key is renamed](drift-and-failures#a-key-is-renamed)).

Read-only attributes cannot be set. This page is made from the schemas.
`
)

func TestGuide(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(head)
	for _, r := range resources(t) {
		fmt.Fprintf(&b, "\n## %s\n\n| attribute | a change is made | what else |\n|---|---|---|\n", r.name)
		for _, a := range r.attributes {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", a.path, a.change, strings.ReplaceAll(a.note, "|", `\|`))
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Errorf("%s is not what the schemas say: make generate writes it", file)
	}
}

// TestDescriptions: an attribute's own description agrees with what its plan modifiers do.
func TestDescriptions(t *testing.T) {
	t.Parallel()
	silent := []string{"timeouts", "force_remove"} // which change nothing on any host
	for _, r := range resources(t) {
		for _, a := range r.attributes {
			saysPlace, saysReplace := strings.Contains(a.description, inPlace), strings.Contains(a.description, "replaces the ")
			switch {
			case a.change == replaces && (!saysReplace || saysPlace):
				t.Errorf("%s.%s replaces the resource, and its description does not say so: %s", r.name, a.path, a.description)
			case a.change == place && saysReplace:
				t.Errorf("%s.%s is changed in place, and its description says something else: %s", r.name, a.path, a.description)
			case a.change == place && !saysPlace && !strings.ContainsAny(a.path, ".[") && !slices.Contains(silent, a.path):
				t.Errorf("%s.%s does not say that it is changed in place: %s", r.name, a.path, a.description)
			}
		}
	}
}

// What a change of an attribute does.
const (
	replaces = "by a **replacement**"
	place    = "in place"
	readOnly = "read-only"
)

type attributes struct {
	name       string
	attributes []attribute
}

type attribute struct{ path, change, note, description string }

func resources(t *testing.T) (all []attributes) {
	t.Helper()
	p := provider.New("dev")()
	var meta fwprovider.MetadataResponse
	p.Metadata(t.Context(), fwprovider.MetadataRequest{}, &meta)
	for _, create := range p.Resources(t.Context()) {
		r := create()
		var name resource.MetadataResponse
		r.Metadata(t.Context(), resource.MetadataRequest{ProviderTypeName: meta.TypeName}, &name)
		var s resource.SchemaResponse
		r.Schema(t.Context(), resource.SchemaRequest{}, &s)
		if s.Diagnostics.HasError() {
			t.Fatal(s.Diagnostics)
		}
		all = append(all, attributes{name.TypeName, flat("", s.Schema.Attributes, "")})
	}
	slices.SortFunc(all, func(a, b attributes) int { return cmp.Compare(a.name, b.name) })
	return all
}

// flat lists attributes and those within them. What replaces with its parent does so itself.
func flat(prefix string, in map[string]schema.Attribute, parent string) (all []attribute) {
	for _, name := range slices.Sorted(maps.Keys(in)) {
		a := in[name]
		one := attribute{path: prefix + name, change: parent, description: a.GetMarkdownDescription()}
		switch {
		case !a.IsOptional() && !a.IsRequired():
			one.change = readOnly
		case parent == "" && replacing(a):
			one.change = replaces
		case parent == "":
			one.change = place
		}
		one.note = note(one, name)
		all = append(all, one)
		if name == "timeouts" {
			continue // create, update, delete
		}
		switch nested := a.(type) {
		case schema.SingleNestedAttribute:
			all = append(all, flat(one.path+".", nested.Attributes, one.change)...)
		case schema.MapNestedAttribute:
			all = append(all, flat(one.path+"[…].", nested.NestedObject.Attributes, one.change)...)
		}
	}
	return all
}

const inPlace = "Changed in place"

var replacement = regexp.MustCompile(`(Another [^.]* replaces [^.]*)\.`)

// note is what an attribute's description says of a change.
func note(a attribute, name string) string {
	if m := replacement.FindStringSubmatch(a.description); a.change == replaces && m != nil {
		return m[1]
	}
	if _, what, ok := strings.Cut(a.description, inPlace); ok && a.change == place {
		what, _, _ = strings.Cut(what, " See ")
		return strings.TrimSuffix(strings.TrimLeft(what, ",;:. "), ".")
	}
	return map[string]string{
		"timeouts":     "of Terraform alone: nothing is changed on any host",
		"force_remove": "of the state alone: nothing is changed on any host",
		"drift":        "where there is some, the plan is an update in place that repairs it",
		"host_keys":    "pinned at the first connect",
	}[name]
}

// replacing asks the plan modifiers, which have no other name for it than their description.
func replacing(a schema.Attribute) bool {
	var all []interface{ Description(context.Context) string }
	switch a := a.(type) {
	case interface{ StringPlanModifiers() []planmodifier.String }:
		for _, m := range a.StringPlanModifiers() {
			all = append(all, m)
		}
	case interface{ Int64PlanModifiers() []planmodifier.Int64 }:
		for _, m := range a.Int64PlanModifiers() {
			all = append(all, m)
		}
	case interface{ BoolPlanModifiers() []planmodifier.Bool }:
		for _, m := range a.BoolPlanModifiers() {
			all = append(all, m)
		}
	case interface{ SetPlanModifiers() []planmodifier.Set }:
		for _, m := range a.SetPlanModifiers() {
			all = append(all, m)
		}
	case interface{ MapPlanModifiers() []planmodifier.Map }:
		for _, m := range a.MapPlanModifiers() {
			all = append(all, m)
		}
	case interface{ ObjectPlanModifiers() []planmodifier.Object }:
		for _, m := range a.ObjectPlanModifiers() {
			all = append(all, m)
		}
	}
	return slices.ContainsFunc(all, func(m interface{ Description(context.Context) string }) bool {
		return strings.Contains(m.Description(context.Background()), "destroy and recreate the resource")
	})
}
