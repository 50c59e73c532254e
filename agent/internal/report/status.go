package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

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
	if err := errors.Join(writeStatus(r.Stdout, st, leaving.Drains), unknown); err != nil {
		return err
	}
	return writeVerdict(r.Stdout, st)
}

// writeStatus shows a status, and what drains, to a person.
func writeStatus(out io.Writer, st *mesh.Status, drains []mesh.Drain) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Agent\t%s (%.12s), Linux %s %s\n", st.Version, st.BinarySHA256, st.Host.KernelRelease, st.Host.Arch)
	if st.Record == nil {
		fmt.Fprintf(w, "Cluster\tnone: this host has no record\n")
	} else {
		writeRecord(w, st)
	}
	if len(st.Problems) == 0 && st.Record != nil {
		fmt.Fprintf(w, "Kernel\tas the record asks%s\n", yet(st.Warnings))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := writeProblems(out, st.Problems); err != nil {
		return err
	}
	if err := writeWarnings(out, st.Warnings); err != nil {
		return err
	}
	if err := writeServing(out, st, drains); err != nil {
		return err
	}
	if st.Record == nil || len(st.Record.Ports) == 0 {
		return nil
	}
	return writePorts(out, st.Record)
}

// yet tells a kernel that is as the record asks from traffic that flows.
func yet(warnings []mesh.Warning) string {
	if len(warnings) == 0 {
		return ""
	}
	return "; traffic is disturbed all the same, see WARNINGS"
}

// writeProblems shows what differs, the sentences of each object together.
func writeProblems(out io.Writer, problems []mesh.Problem) error {
	var b strings.Builder
	for i, p := range problems {
		if i == 0 {
			fmt.Fprintf(&b, "\nPROBLEMS (%d)\n", len(problems))
		}
		if i == 0 || problems[i-1].Object != p.Object {
			fmt.Fprintf(&b, "%s\n", p.Object)
		}
		term.Fold(&b, "  - ", "    ", p.Text)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func writeRecord(w io.Writer, st *mesh.Status) {
	rec := st.Record
	fmt.Fprintf(w, "Cluster\t%s (%s), %d nodes\n", rec.Cluster.Name, rec.UID, len(rec.Nodes))
	if n := rec.Nodes[st.Node]; n != nil {
		fmt.Fprintf(w, "Node\t%s, %s, overlay %s\n", n.Name, n.Address, n.Block)
	} else {
		fmt.Fprintf(w, "Node\tnone: this host only keeps the record\n")
	}
	applied := "applied"
	if st.AppliedGeneration != st.Generation {
		applied = fmt.Sprintf("last applied whole: %d", st.AppliedGeneration)
	}
	fmt.Fprintf(w, "Generation\t%d (%.12s), %s\n", st.Generation, st.Hash, applied)
	how := "automatic: what something else breaks is repaired at once"
	if rec.Cluster.Repair == mesh.RepairReport {
		how = "report: what something else breaks is only reported; terraform apply repairs it"
	}
	fmt.Fprintf(w, "Repair\t%s\n", how)
	fmt.Fprintf(w, "Repairs\t%d since the agent was installed\n", st.Repairs)
}
