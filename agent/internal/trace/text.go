package trace

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/term"
)

// Write shows a trace to a person.
func (t *Trace) Write(w io.Writer) error {
	page := term.On(w)
	title := fmt.Sprintf("Port %s on %s", t.Port.Plain(), cmp.Or(t.Node, "this host"))
	if t.Service != "" {
		title += fmt.Sprintf(": service %s, %s mode", t.Service, t.Mode)
	}
	page.Fold(term.Cells(""), "  ", title)
	space := ""
	for i := range t.Steps {
		s := &t.Steps[i]
		if s.Space != space {
			space = s.Space
			page.Line(term.Plain, "")
			page.Line(term.Head, titles()[space])
		}
		s.write(page)
	}
	for i, warning := range t.Warnings {
		if i == 0 {
			page.Line(term.Plain, "")
			page.Line(term.Head, "Warnings of the agent")
		}
		page.Fold(term.Cells("  - "), "    ", warning.Text)
	}
	page.Line(term.Plain, "")
	page.Fold(term.Cells(""), "", t.verdict())
	return page.Show()
}

func titles() map[string]string {
	return map[string]string{
		hostSpace:   "On the host",
		meshSpace:   "In the network namespace of the mesh",
		destination: "To one of these destinations, and back",
	}
}

func (s *Step) write(page *term.Page) {
	mark := term.Cell{Text: "ok  ", Style: term.Good}
	if s.Broken != "" {
		mark = term.Cell{Text: "FAIL", Style: term.Bad}
	}
	page.Fold([]term.Cell{{Text: fmt.Sprintf("%3d  ", s.Number)}, mark, {Text: "  "}}, indent, s.Text)
	var counts []string
	for _, c := range s.Counted {
		counts = append(counts, fmt.Sprintf("%d %s", c.Value, c.Name))
	}
	if len(counts) > 0 {
		page.Fold(term.Cells(indent), indent, strings.Join(counts, ", "))
	}
	for _, d := range s.Details {
		page.Fold(term.Cells(indent), indent, d)
	}
	if s.Broken != "" {
		page.Fold(term.Cells(indent), indent, s.Broken)
	}
}

const indent = "           "

func (t *Trace) verdict() string {
	if t.Explained != "" {
		return t.Explained
	}
	var broken []string
	all := 0
	for _, s := range t.Steps {
		if s.Space == destination {
			all++
		}
		if s.Broken == "" {
			continue
		}
		if s.Space != destination {
			return fmt.Sprintf("Broken at step %d: nothing gets further.", s.Number)
		}
		broken = append(broken, fmt.Sprint(s.Number))
	}
	switch {
	case len(broken) == 0 && len(t.Warnings) > 0:
		return "Every step on this node is as it should be, and traffic is disturbed all the same: see the warnings above."
	case len(broken) == 0:
		return "The way on this node is whole. Whether other nodes are reached: `routingmesh-agent check`; who listens there: trace on that node."
	case len(broken) == all:
		return fmt.Sprintf("Broken at every destination (step %s): no connection is answered.", strings.Join(broken, ", "))
	default:
		return fmt.Sprintf("Broken at step %s: %d of %d destinations get connections that are not answered.", strings.Join(broken, ", "), len(broken), all)
	}
}
