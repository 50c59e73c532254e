// Package moduledocs has a test only: the README of each module below modules/ says what the module's files say.
package moduledocs

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-config-inspect/tfconfig"
)

const root = "../../.."

// What is between them is in the layout of terraform-docs, which takes the same marks.
const begin, end = "<!-- BEGIN_TF_DOCS -->\n", "<!-- END_TF_DOCS -->\n"

var update = flag.Bool("update", false, "write the tables into the READMEs")

func TestREADME_Tables(t *testing.T) {
	t.Parallel()
	modules, err := filepath.Glob(filepath.Join(root, "modules", "*", "versions.tf"))
	if err != nil || len(modules) == 0 {
		t.Fatalf("no modules (%v)", err)
	}
	for _, file := range modules {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			module, diags := tfconfig.LoadModule(dir)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			describedAndTyped(t, module)
			check(t, filepath.Join(dir, "README.md"), tables(module))
		})
	}
}

// describedAndTyped: a table has no gaps.
func describedAndTyped(t *testing.T, m *tfconfig.Module) {
	t.Helper()
	for name, v := range m.Variables {
		if v.Type == "" || v.Description == "" {
			t.Errorf("variable %s has no type or no description", name)
		}
	}
	for name, o := range m.Outputs {
		if o.Description == "" {
			t.Errorf("output %s has no description", name)
		}
	}
}

func check(t *testing.T, readme, want string) {
	t.Helper()
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(text), begin)
	got, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s lacks the lines %s and %s", readme, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("The tables of %s are not those of the module's files. make generate writes them. They should be:\n%s", readme, want)
	}
	if err := os.WriteFile(readme, []byte(head+begin+want+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

func tables(m *tfconfig.Module) string {
	return strings.Join([]string{requirements(m), providers(m), modules(m), resources(m), inputs(m), outputs(m)}, "\n")
}

// table is a section; without rows it says that there is nothing of the kind.
func table(title string, head string, rows []string) string {
	if len(rows) == 0 {
		return fmt.Sprintf("## %s\n\nNo %s.\n", title, strings.ToLower(title))
	}
	return fmt.Sprintf("## %s\n\n%s\n%s\n", title, head, strings.Join(rows, "\n"))
}

func requirements(m *tfconfig.Module) string {
	rows := []string{row(named("requirement", "terraform"), strings.Join(m.RequiredCore, ", "))}
	for _, name := range slices.Sorted(maps.Keys(m.RequiredProviders)) {
		rows = append(rows, row(named("requirement", name), strings.Join(m.RequiredProviders[name].VersionConstraints, ", ")))
	}
	return table("Requirements", "| Name | Version |\n|------|---------|", rows)
}

// providers are those of resources and data sources; functions need no configured provider.
func providers(m *tfconfig.Module) string {
	used := map[string]string{}
	for _, r := range allResources(m) {
		if required := m.RequiredProviders[r.Provider.Name]; required != nil {
			used[r.Provider.Name] = strings.Join(required.VersionConstraints, ", ")
		}
	}
	var rows []string
	for _, name := range slices.Sorted(maps.Keys(used)) {
		rows = append(rows, row(named("provider", name), used[name]))
	}
	return table("Providers", "| Name | Version |\n|------|---------|", rows)
}

func modules(m *tfconfig.Module) string {
	var rows []string
	for _, name := range slices.Sorted(maps.Keys(m.ModuleCalls)) {
		call := m.ModuleCalls[name]
		rows = append(rows, row(named("module", name), call.Source, call.Version))
	}
	return table("Modules", "| Name | Source | Version |\n|------|--------|---------|", rows)
}

func resources(m *tfconfig.Module) string {
	var rows []string
	for _, r := range allResources(m) {
		provider, kind, _ := strings.Cut(r.Type, "_")
		folder, what := "resources", "resource"
		if r.Mode == tfconfig.DataResourceMode {
			folder, what = "data-sources", "data source"
		}
		source := m.RequiredProviders[provider].Source
		rows = append(rows, row(fmt.Sprintf("[%s.%s](https://registry.terraform.io/providers/%s/latest/docs/%s/%s)", r.Type, r.Name, source, folder, kind), what))
	}
	return table("Resources", "| Name | Type |\n|------|------|", rows)
}

func allResources(m *tfconfig.Module) (all []*tfconfig.Resource) {
	for _, resources := range []map[string]*tfconfig.Resource{m.ManagedResources, m.DataResources} {
		for _, key := range slices.Sorted(maps.Keys(resources)) {
			all = append(all, resources[key])
		}
	}
	return all
}

func inputs(m *tfconfig.Module) string {
	var rows []string
	for _, name := range slices.Sorted(maps.Keys(m.Variables)) {
		v := m.Variables[name]
		fallback, required := "n/a", "yes"
		if !v.Required {
			fallback, required = code(asJSON(v.Default)), "no"
		}
		rows = append(rows, row(named("input", name), escaped(v.Description), code(v.Type), fallback, required))
	}
	return table("Inputs", "| Name | Description | Type | Default | Required |\n|------|-------------|------|---------|:--------:|", rows)
}

func outputs(m *tfconfig.Module) string {
	var rows []string
	for _, name := range slices.Sorted(maps.Keys(m.Outputs)) {
		rows = append(rows, row(named("output", name), escaped(m.Outputs[name].Description)))
	}
	return table("Outputs", "| Name | Description |\n|------|-------------|", rows)
}

func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |" }

// named is a name that links to itself.
func named(kind, name string) string {
	return fmt.Sprintf(`<a name="%s_%s"></a> [%s](#%s)`, kind, name, escaped(name), escaped(kind+"_"+name))
}

// code is a value within a cell, which takes no line breaks.
func code(text string) string {
	if !strings.Contains(text, "\n") {
		return "`" + text + "`"
	}
	return "<pre>" + strings.ReplaceAll(strings.TrimSpace(text), "\n", "<br/>") + "</pre>"
}

func asJSON(v any) string {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// escaped is text whose underscores do not emphasize, but for what is in `code`.
func escaped(text string) string {
	parts := strings.Split(text, "`")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = strings.NewReplacer("_", `\_`, "*", `\*`, "|", `\|`).Replace(parts[i])
	}
	return strings.Join(parts, "`")
}
