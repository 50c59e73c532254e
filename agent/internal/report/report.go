// Package report tells people and programs how this node is: its status, what check
// finds, and the trace of a port.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/client"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/term"
)

// ErrBroken is that what was asked for is told, and something is broken: there is
// nothing more to say.
var ErrBroken = errors.New("something is wrong")

// Reporter makes the reports.
type Reporter struct {
	layout.Layout
	Stdout, Stderr io.Writer
	Log            *slog.Logger
}

func (r *Reporter) agent() *client.Client { return client.New(r.Socket()) }

func (r *Reporter) writeJSON(v any) error {
	e := json.NewEncoder(r.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// report is what check has found, in the order in which it looked.
type report struct {
	Node     string    `json:"node"` // "" for a host that is none
	Findings []finding `json:"findings"`
}

// finding is the outcome of one check: a sentence about what is well, or what is
// wrong with what to do about it.
type finding struct {
	Check   string  `json:"check"`
	Outcome outcome `json:"outcome"`
	Text    string  `json:"text"`
}

type outcome string

const (
	fine   outcome = "ok"
	unsure outcome = "warn" // nothing that fails, and worth knowing
	failed outcome = "fail"
)

func (r *report) add(check string, o outcome, format string, args ...any) {
	r.Findings = append(r.Findings, finding{check, o, fmt.Sprintf(format, args...)})
}

// failures adds sentences of what is wrong, or what is well when there are none.
func (r *report) failures(check, good string, problems []string) {
	const most = 20
	for i, text := range problems {
		if i == most {
			r.add(check, failed, "… and %d more of this kind.", len(problems)-most)
			return
		}
		r.add(check, failed, "%s", text)
	}
	if len(problems) == 0 {
		r.add(check, fine, "%s", good)
	}
}

// failed counts the findings of what is wrong.
func (r *report) failed() (n int) {
	for _, f := range r.Findings {
		if f.Outcome == failed {
			n++
		}
	}
	return n
}

// write shows a report to a person.
func (r *report) write(w io.Writer) error {
	const nameWidth = 17
	page := term.On(w)
	for _, f := range r.Findings {
		page.Fold([]term.Cell{f.Outcome.mark(), {Text: fmt.Sprintf("  %-*s", nameWidth, f.Check)}}, strings.Repeat(" ", 6+nameWidth), f.Text)
	}
	page.Line(term.Plain, "")
	switch n := r.failed(); {
	case n == 1:
		page.Line(term.Bad, "1 check failed.")
	case n > 1:
		page.Line(term.Bad, fmt.Sprintf("%d checks failed.", n))
	default:
		page.Line(term.Good, "All is well.")
	}
	return page.Show()
}

// mark is the outcome as the first word of a line.
func (o outcome) mark() term.Cell {
	switch o {
	case failed:
		return term.Cell{Text: "FAIL", Style: term.Bad}
	case unsure:
		return term.Cell{Text: "warn", Style: term.Worth}
	default:
		return term.Cell{Text: "ok  ", Style: term.Good}
	}
}
