// Package serving proves, on the lab, that a mesh serves without dropping a request while everything about it changes: many clients (package
// load) ask all the time, and a table says for each change how many requests there were and how many of them failed
// (TestAccLabServing and the other lab tests here, make testacc).
package serving

import (
	"fmt"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
)

// Row is a line of the table: what was asked while one thing changed.
type Row struct {
	Change string
	// Seconds is how long the change took, as the load saw it.
	Seconds float64
	load.Report
	// Note says what else was measured, "" for nothing.
	Note string
}

// Table is what the tests print: a line per change.
func Table(rows []Row) string {
	cells := [][]string{{"change", "s", "requests", "new conn.", "keep-alive", "connections", "failed", "p99 new, kept (ms)", "note"}}
	var all Row
	for _, r := range rows {
		cells = append(cells, r.cells())
		all.Seconds += r.Seconds
		all.Report = all.Plus(r.Report)
	}
	all.Change = "all"
	cells = append(cells, all.cells())
	widths := make([]int, len(cells[0]))
	for _, row := range cells {
		for i, c := range row {
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	var b strings.Builder
	for _, row := range cells {
		var line strings.Builder
		for i, c := range row {
			line.WriteString(c + strings.Repeat(" ", widths[i]-len([]rune(c))) + " | ")
		}
		b.WriteString(strings.TrimRight(line.String(), " |") + "\n")
	}
	return b.String()
}

func (r Row) cells() []string {
	return []string{
		r.Change, fmt.Sprintf("%.1f", r.Seconds), fmt.Sprint(r.Requests()), fmt.Sprint(r.New.Requests), fmt.Sprint(r.Keep.Requests),
		fmt.Sprint(r.New.Connections + r.Keep.Connections), fmt.Sprint(r.Failed()), fmt.Sprintf("%.0f, %.0f", r.New.P99, r.Keep.P99), r.Note,
	}
}
