// Package tflint has a test only: modules/ and examples/ keep to the rules of tflint's terraform ruleset.
package tflint

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/terraform-linters/tflint-plugin-sdk/helper"
	"github.com/terraform-linters/tflint-plugin-sdk/tflint"
	"github.com/terraform-linters/tflint-ruleset-terraform/rules"
	"github.com/terraform-linters/tflint-ruleset-terraform/terraform"
)

const root = "../.."

// notForExamples are rules about modules for others to use. An example is a fragment of its page, or one file to read from top to bottom.
var notForExamples = []string{
	"terraform_documented_outputs", "terraform_documented_variables", "terraform_required_version", "terraform_required_providers",
	"terraform_standard_module_structure", "terraform_unused_declarations",
}

// TestConfigurations_Rules: every rule of the set that tflint brings along holds for modules/ and examples/. The rules are run as their own
// tests run them: tflint itself would take longer still to compile.
func TestConfigurations_Rules(t *testing.T) {
	dirs := configurations(t)
	for _, dir := range dirs {
		name, err := filepath.Rel(root, dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			for _, found := range lint(t, files(t, dir), !strings.HasPrefix(name, "modules")) {
				t.Error(found)
			}
		})
	}
}

// TestLint_FindsSomething: the rules are run at all.
func TestLint_FindsSomething(t *testing.T) {
	found := lint(t, map[string]string{"main.tf": `output "x" { value = "${local.y}" }`}, false)
	for _, rule := range []string{"terraform_deprecated_interpolation", "terraform_documented_outputs", "terraform_required_version", "terraform_standard_module_structure"} {
		if !slices.ContainsFunc(found, func(s string) bool { return strings.Contains(s, rule) }) {
			t.Errorf("%s found nothing:\n%s", rule, strings.Join(found, "\n"))
		}
	}
}

// configurations are the folders with a configuration.
func configurations(t *testing.T) (dirs []string) {
	t.Helper()
	for _, top := range []string{"modules", "examples"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() && entry.Name() == ".terraform" {
				return fs.SkipDir
			}
			if err == nil && filepath.Ext(path) == ".tf" && !slices.Contains(dirs, filepath.Dir(path)) {
				dirs = append(dirs, filepath.Dir(path))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(dirs) < 10 {
		t.Fatalf("only %d configurations", len(dirs))
	}
	return dirs
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.tf"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(path)] = string(text)
	}
	return all
}

func lint(t *testing.T, files map[string]string, example bool) (found []string) {
	t.Helper()
	for _, rule := range rules.PresetRules["all"] {
		if example && slices.Contains(notForExamples, rule.Name()) {
			continue
		}
		runner := helper.TestRunner(t, files)
		if err := check(rule, runner); err != nil {
			t.Errorf("%s: %v", rule.Name(), err)
		}
		for _, issue := range runner.Issues {
			found = append(found, fmt.Sprintf("%s: %s (%s)", issue.Range, issue.Message, rule.Name()))
		}
	}
	return found
}

// check runs one rule, on the runner that the rules of this set expect.
func check(rule tflint.Rule, runner tflint.Runner) error {
	return rule.Check(terraform.NewRunner(runner))
}
