package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/term"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// writeWarnings shows what keeps traffic from flowing and no apply can repair.
func writeWarnings(out io.Writer, warnings []mesh.Warning) error {
	var b strings.Builder
	for i, w := range warnings {
		if i == 0 {
			fmt.Fprintf(&b, "\nWARNINGS (%d)\n", len(warnings))
		}
		if i == 0 || warnings[i-1].Code != w.Code || warnings[i-1].Object != w.Object {
			fmt.Fprintf(&b, "%s, %s\n", checkOfWarning(w.Code), w.Object)
		}
		term.Fold(&b, "  - ", "    ", w.Text)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// writeVerdict ends a status that is not fine.
func writeVerdict(out io.Writer, st *mesh.Status) error {
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
		return nil
	}
	if _, err := fmt.Fprintf(out, "\nNot all is well: %s.\n", strings.Join(what, ", ")); err != nil {
		return err
	}
	return ErrBroken
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
