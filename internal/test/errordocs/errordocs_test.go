// Package errordocs has a test only: the guide Errors has every code, and every headline that Terraform shows.
package errordocs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../../../"

// page is the template of the guide.
func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(root + "templates/guides/errors.md.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestErrors_EveryCode(t *testing.T) {
	t.Parallel()
	guide, found := page(t), 0
	for _, file := range parsed(t, "internal/mesh") {
		for _, decl := range file.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				kind, ok := v.Type.(*ast.Ident)
				if !ok || !slices.Contains([]string{"ProblemCode", "WarningCode", "RefusalCode"}, kind.Name) {
					continue
				}
				found++
				if code := literal(v.Values[0]); !strings.Contains(guide, "\n| `"+code+"` |") {
					t.Errorf("the guide has no row of the code %s (%s)", code, v.Names[0])
				}
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d codes: the test does not find them", found)
	}
}

// summaryOf is which argument of a function is a headline.
var summaryOf = map[string]int{
	"AddError": 0, "AddWarning": 0, "NewErrorDiagnostic": 0, "NewWarningDiagnostic": 0,
	"AddAttributeError": 1, "AddAttributeWarning": 1, "NewAttributeErrorDiagnostic": 1, "NewAttributeWarningDiagnostic": 1,
	"add": 3, // subject.add
}

// summaries are functions whose results are headlines, all or the first.
var summaries = []string{"explain", "ruleSummary", "trafficSummary"}

func TestErrors_EveryHeadline(t *testing.T) {
	t.Parallel()
	guide := page(t)
	all := map[string]bool{}
	for _, dir := range []string{"internal/provider", "internal/meshclient", "internal/mesh"} {
		for _, file := range parsed(t, dir) {
			for _, e := range headlines(file) {
				if p := pattern(e); strings.Trim(p, name) != "" {
					all[p] = true
				}
			}
		}
	}
	for _, p := range slices.Sorted(maps.Keys(all)) {
		if !regexp.MustCompile("\n\\| `" + p + "` \\|").MatchString(guide) {
			t.Errorf("the guide has no row of the headline %s", strings.ReplaceAll(p, name, "NAME"))
		}
	}
	if len(all) < 50 {
		t.Errorf("only %d headlines: the test does not find them", len(all))
	}
}

// headlines are the expressions of a file that become headlines.
func headlines(file *ast.File) (all []ast.Expr) {
	var f *ast.FuncDecl // that the node is in
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			f = n
		case *ast.ValueSpec:
			if strings.HasSuffix(n.Names[0].Name, "Summary") && len(n.Values) == 1 {
				all = append(all, n.Values[0])
			}
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok {
				if i, ok := summaryOf[s.Sel.Name]; ok && i < len(n.Args) {
					all = append(all, n.Args[i])
				}
			}
		case *ast.CompositeLit:
			all = append(all, ofLiteral(n, f)...)
		case *ast.AssignStmt:
			for i, to := range n.Lhs {
				name, _ := to.(*ast.Ident)
				field, _ := to.(*ast.SelectorExpr)
				if name != nil && name.Name == "summary" || field != nil && field.Sel.Name == "Summary" {
					all = append(all, n.Rhs[min(i, len(n.Rhs)-1)])
				}
			}
		case *ast.ReturnStmt:
			if f != nil && slices.Contains(summaries, f.Name.Name) && len(n.Results) > 0 {
				all = append(all, n.Results[0])
			}
		}
		return true
	})
	return all
}

// ofLiteral is the Summary of a mesh.Error or a validator, and what ruleSummary has in its table of tables.
func ofLiteral(lit *ast.CompositeLit, f *ast.FuncDecl) (all []ast.Expr) {
	name, _ := lit.Type.(*ast.Ident)
	selector, _ := lit.Type.(*ast.SelectorExpr)
	if name != nil && slices.Contains([]string{"rule", "caution"}, name.Name) && len(lit.Elts) > 1 { // a validator begins with its headline
		return lit.Elts[:1]
	}
	isError := name != nil && name.Name == "Error" || selector != nil && selector.Sel.Name == "Error"
	for _, element := range lit.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		key, _ := pair.Key.(*ast.Ident)
		inTable := lit.Type == nil && f != nil && f.Name.Name == "ruleSummary"
		if isError && key != nil && key.Name == "Summary" || inTable {
			all = append(all, pair.Value)
		}
	}
	return all
}

// name stands for a name in a headline.
const name = "[^`]+"

// pattern is an expression as it is in the guide, which has words like NODE for names.
func pattern(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		var parts []string
		for _, part := range regexp.MustCompile(`%[sdqv]`).Split(literal(e), -1) {
			parts = append(parts, regexp.QuoteMeta(part))
		}
		return strings.Join(parts, name)
	case *ast.BinaryExpr:
		return pattern(e.X) + pattern(e.Y)
	case *ast.CallExpr:
		if s, ok := e.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Sprintf" {
			return pattern(e.Args[0])
		}
	}
	return name
}

func literal(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return text
}

// parsed is the Go files of a folder, without its tests.
func parsed(t *testing.T, dir string) (files []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(root + dir + "/*.go")
	if err != nil || len(names) == 0 {
		t.Fatalf("no files in %s (%v)", dir, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}
