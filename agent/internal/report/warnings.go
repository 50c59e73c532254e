package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/term"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// writeWarnings shows what keeps traffic from flowing and no apply can repair.
func writeWarnings(page *term.Page, warnings []mesh.Warning) {
	for i, w := range warnings {
		if i == 0 {
			page.Line(term.Plain, "")
			page.Line(term.Bad, fmt.Sprintf("WARNINGS (%d)", len(warnings)))
		}
		if i == 0 || warnings[i-1].Code != w.Code || warnings[i-1].Object != w.Object {
			page.Line(term.Head, fmt.Sprintf("%s, %s", checkOfWarning(w.Code), w.Object))
		}
		page.Fold(term.Cells("  - "), "    ", w.Text)
	}
}

// writeVerdict ends a status that is not fine, and says whether it is.
func writeVerdict(page *term.Page, st *mesh.Status) (fine bool) {
	var what []string
	for _, w := range []struct {
		n    int
		noun string
	}{{len(st.Problems), "problem"}, {len(st.Warnings), "warning"}} {
		switch {
		case w.n == 1:
			what = append(what, "1 "+w.noun)
		case w.n > 1:
			what = append(what, fmt.Sprintf("%d %ss", w.n, w.noun))
		}
	}
	if len(what) == 0 {
		return true
	}
	page.Line(term.Plain, "")
	page.Line(term.Bad, fmt.Sprintf("Not all is well: %s.", strings.Join(what, ", ")))
	return false
}

// checkOfWarning is under which check a warning is reported.
func checkOfWarning(code mesh.WarningCode) string {
	if code == mesh.WarnHost {
		return "host settings"
	}
	return string(code)
}

// warnings reports what the agent warns of, each under its own check. What check
// has found by itself is not said twice: the same text, or for the overlay, of
// which check words what it sees at this moment, the same object.
func (c *checker) warnings() {
	if c.status == nil {
		return
	}
	for _, w := range c.status.Warnings {
		said := slices.ContainsFunc(c.report.Findings, func(f finding) bool { return f.Text == w.Text })
		if said || w.Code == mesh.WarnOverlay && c.unreached[w.Object] {
			continue
		}
		c.report.add(checkOfWarning(w.Code), failed, "%s", w.Text)
	}
}
