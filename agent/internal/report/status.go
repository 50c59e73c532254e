package report

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/term"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Status shows what the agent says of its node.
func (r *Reporter) Status(ctx context.Context, asJSON bool) error {
	st, err := r.agent().Status(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return r.writeJSON(st)
	}
	var leaving mesh.Drains
	unknown := r.agent().Ask(ctx, http.MethodGet, mesh.PathDrains, nil, &leaving)
	page := term.On(r.Stdout)
	writeStatus(page, st, leaving.Drains)
	fine := unknown != nil || writeVerdict(page, st)
	switch err := errors.Join(page.Show(), unknown); {
	case err != nil:
		return err
	case !fine:
		return ErrBroken
	}
	return nil
}

// writeStatus shows a status, and what drains, to a person.
func writeStatus(page *term.Page, st *mesh.Status, drains []mesh.Drain) {
	rows := [][]term.Cell{term.Cells("Agent", fmt.Sprintf("%s (%.12s), Linux %s %s", st.Version, st.BinarySHA256, st.Host.KernelRelease, st.Host.Arch))}
	if st.Record == nil {
		rows = append(rows, term.Cells("Cluster", "none: this host has no record"))
	} else {
		rows = append(rows, recordRows(st)...)
	}
	if len(st.Problems) == 0 && st.Record != nil {
		rows = append(rows, term.Cells("Kernel", "as the record asks"+yet(st.Warnings)))
	}
	page.Table(nil, rows)
	writeProblems(page, st.Problems)
	writeWarnings(page, st.Warnings)
	writeServing(page, st, drains)
	if st.Record != nil && len(st.Record.Ports) > 0 {
		writePorts(page, st.Record)
	}
}

// yet tells a kernel that is as the record asks from traffic that flows.
func yet(warnings []mesh.Warning) string {
	if len(warnings) == 0 {
		return ""
	}
	return "; traffic is disturbed all the same, see WARNINGS"
}

// writeProblems shows what differs, the sentences of each object together.
func writeProblems(page *term.Page, problems []mesh.Problem) {
	for i, p := range problems {
		if i == 0 {
			page.Line(term.Plain, "")
			page.Line(term.Bad, fmt.Sprintf("PROBLEMS (%d)", len(problems)))
		}
		if i == 0 || problems[i-1].Object != p.Object {
			page.Line(term.Head, p.Object.String())
		}
		page.Fold(term.Cells("  - "), "    ", p.Text)
	}
}

func recordRows(st *mesh.Status) [][]term.Cell {
	rec := st.Record
	rows := [][]term.Cell{term.Cells("Cluster", fmt.Sprintf("%s (%s), %d nodes", rec.Cluster.Name, rec.UID, len(rec.Nodes)))}
	if n := rec.Nodes[st.Node]; n != nil {
		rows = append(rows, term.Cells("Node", fmt.Sprintf("%s, %s, overlay %s", n.Name, n.Address, n.Block)))
	} else {
		rows = append(rows, term.Cells("Node", "none: this host only keeps the record"))
	}
	applied := "applied"
	if st.AppliedGeneration != st.Generation {
		applied = fmt.Sprintf("last applied whole: %d", st.AppliedGeneration)
	}
	how := "automatic: what something else breaks is repaired at once"
	if rec.Cluster.Repair == mesh.RepairReport {
		how = "report: what something else breaks is only reported; terraform apply repairs it"
	}
	return append(rows,
		term.Cells("Generation", fmt.Sprintf("%d (%.12s), %s", st.Generation, st.Hash, applied)),
		term.Cells("Repair", how),
		term.Cells("Repairs", fmt.Sprintf("%d since the agent was installed", st.Repairs)),
	)
}
