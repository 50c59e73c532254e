// Package faults breaks a real mesh in the lab, one thing after another, while probes (package load) ask it all the time, and writes down for
// each fault how long nobody was served, how many requests failed, and what terraform plan said (TestAccLabFaults, make testacc).
package faults

import (
	"fmt"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
)

// Row is a line of the fault table.
type Row struct {
	Fault string
	Node  string
	// Firewall is whose rules are on the node besides the mesh's.
	Firewall string
	load.Outage
	// Repaired says how long it took until the node was again as before, in words; "" where nothing was to repair.
	Repaired string
	// Said is what terraform plan said while the fault was there.
	Said []string
}

// Table is what the tests print: one line per fault, the sentences of the plan below each other.
func Table(rows []Row) string {
	cells := [][]string{{"fault", "node", "firewall", "s to serve", "failed of N", "repaired", "plan said"}}
	for _, r := range rows {
		said := r.Said
		if len(said) == 0 {
			said = []string{"–"}
		}
		cells = append(cells, []string{r.Fault, r.Node, dash(r.Firewall), seconds(r.Seconds), fmt.Sprintf("%d of %d", r.Failed, r.Asked), dash(r.Repaired), said[0]})
		for _, more := range said[1:] {
			cells = append(cells, []string{"", "", "", "", "", "", more})
		}
	}
	widths := make([]int, len(cells[0])-1)
	for _, row := range cells {
		for i := range widths {
			widths[i] = max(widths[i], len([]rune(row[i])))
		}
	}
	var b strings.Builder
	for _, row := range cells {
		for i, w := range widths {
			b.WriteString(row[i] + strings.Repeat(" ", w-len([]rune(row[i]))) + " | ")
		}
		b.WriteString(row[len(row)-1] + "\n")
	}
	return b.String()
}

func seconds(s float64) string {
	if s == 0 {
		return "0"
	}
	return fmt.Sprintf("%.1f", s)
}

func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// Sentences are the quoted strings of a plan that begin with "node", each once, in order: what drift says there.
func Sentences(plan string) []string {
	var all []string
	for line := range strings.Lines(plan) {
		_, quoted, found := strings.Cut(line, `"node `)
		text, _, closed := cutString(quoted)
		if found && closed && !slices.Contains(all, "node "+text) {
			all = append(all, "node "+text)
		}
	}
	return all
}

// cutString reads an HCL string up to its closing quote.
func cutString(s string) (text, rest string, closed bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			i++
			if i < len(s) {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}
