package mesh

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestProblemCodes_UniqueAndDocumented reads the source: a code that has a name and
// no comment, or the text of another one, would not be found in any other way.
func TestProblemCodes_UniqueAndDocumented(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "problem.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	form, names := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`), map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		name := spec.Names[0].Name
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if typ, _ := spec.Type.(*ast.Ident); !ok || typ == nil || typ.Name != "ProblemCode" {
			t.Errorf("%s is not a ProblemCode with a literal value", name)
			return true
		}
		code, _ := strconv.Unquote(literal.Value)
		if other := names[code]; other != "" {
			t.Errorf("%s and %s are both %q", name, other, code)
		}
		if names[code] = name; !form.MatchString(code) || !strings.HasPrefix(name, "Problem") {
			t.Errorf("%s = %q", name, code)
		}
		if doc := spec.Doc.Text(); !strings.HasPrefix(doc, name+": ") {
			t.Errorf("%s has the comment %q", name, doc)
		}
		return true
	})
	if len(names) < 20 {
		t.Errorf("only %d codes were found", len(names))
	}
	for _, code := range reachCodes {
		if names[string(code)] == "" {
			t.Errorf("Reach uses the code %q", code)
		}
	}
}

// An agent that is older than codes sends none; one that is newer may send fields
// and codes that are not known here. Both are read, and shown by their text.
func TestProblem_OtherVersions(t *testing.T) {
	for text, want := range map[string]Problem{
		`{"object":"node/n1","text":"Gone."}`:                                               {Object: NodeRef("n1"), Text: "Gone."},
		`{"code":"missing","object":"node/n1","part":"link vx0","text":"Gone."}`:            {Code: ProblemMissing, Object: NodeRef("n1"), Part: "link vx0", Text: "Gone."},
		`{"code":"new","object":"listener/a","since":1,"attribute":"port","text":"Later."}`: {Code: "new", Object: Ref{"listener", "a"}, Attribute: "port", Text: "Later."},
	} {
		var got Problem
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	old := struct { // the fields that a provider without codes reads
		Object, Attribute, Text string
	}{}
	sent, err := json.Marshal(Problem{Code: ProblemMissing, Object: NodeRef("n1"), Part: "link vx0", Attribute: "address", Text: "Gone."})
	if err != nil || json.Unmarshal(sent, &old) != nil || old.Object != "node/n1" || old.Attribute != "address" || old.Text != "Gone." {
		t.Errorf("%s is read as %+v, %v", sent, old, err)
	}
}

func TestProblem_ID(t *testing.T) {
	link := Problem{Code: ProblemMissing, Object: NodeRef("n1"), Part: "link vx0", Text: "The link vx0 is missing."}
	refused, route, extra := link, link, link
	refused.Text = "The link vx0 is missing: no memory."
	route.Part, extra.Code = "route", ProblemExtra
	if link.ID() != refused.ID() || link.ID() == route.ID() || link.ID() == extra.ID() {
		t.Error("problems are not told apart by code, object and part alone")
	}
	a, b := Problem{Object: NodeRef("n1"), Text: "A."}, Problem{Object: NodeRef("n1"), Text: "B."}
	if a.ID() == b.ID() || a.ID() != (&Problem{Object: NodeRef("n1"), Text: "A."}).ID() {
		t.Error("problems without a code are not told apart by their text")
	}
}
