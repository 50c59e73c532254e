// Modules writes the tables of the modules' READMEs: what terraform-docs says of a module, between the marks that it uses itself
// (`terraform-docs markdown table --output-file README.md`). It uses terraform-docs as a library: the program has gRPC and plugins to compile.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/terraform-docs/terraform-docs/format"
	"github.com/terraform-docs/terraform-docs/print"
	"github.com/terraform-docs/terraform-docs/terraform"
)

const root = "../.."

const begin, end = "<!-- BEGIN_TF_DOCS -->\n", "<!-- END_TF_DOCS -->"

var errNoMarks = errors.New("lacks the lines BEGIN_TF_DOCS and END_TF_DOCS")

func main() {
	if err := writeAll(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func writeAll() error {
	dirs, err := moduleDirs()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		_, want, err := readme(dir)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte(want), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// moduleDirs are the modules that are for others to use.
func moduleDirs() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(root, "modules", "*", "versions.tf"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no modules (%w)", err)
	}
	for i, file := range files {
		files[i] = filepath.Dir(file)
	}
	return files, nil
}

// readme is a module's README as it is, and as it should be.
func readme(dir string) (got, want string, err error) {
	text, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		return "", "", err
	}
	head, rest, found := strings.Cut(string(text), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		return "", "", fmt.Errorf("%s/README.md %w", dir, errNoMarks)
	}
	tables, err := tables(dir)
	return string(text), head + begin + tables + end + tail, err
}

// tables is what terraform-docs' `markdown table` prints.
func tables(dir string) (string, error) {
	config := print.DefaultConfig()
	config.ModuleRoot, config.Formatter = dir, "markdown table"
	config.Settings.LockFile = false // of a provider that somebody has tried here
	config.Parse()
	module, err := terraform.LoadWithOptions(config)
	if err != nil {
		return "", err
	}
	formatter, err := format.New(config)
	if err != nil {
		return "", err
	}
	if err := formatter.Generate(module); err != nil {
		return "", err
	}
	text, err := formatter.Render("")
	return strings.TrimSpace(text) + "\n", err
}
