// Package report makes of the lines of `make bench` what a person reads: a table and a plot.
package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
)

// Read takes JSON lines, one figure each. The error names the line.
func Read(r io.Reader) ([]figure.Figure, error) {
	var figures []figure.Figure
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		var f figure.Figure
		d := json.NewDecoder(strings.NewReader(lines.Text()))
		d.DisallowUnknownFields()
		if err := d.Decode(&f); err != nil {
			return nil, fmt.Errorf("line %d is no figure of `make bench`: %w", n, err)
		}
		figures = append(figures, f)
	}
	return figures, lines.Err()
}

// Table is Markdown that can be read as text as well: a part each, its figures in their order.
func Table(figures []figure.Figure) string {
	var out strings.Builder
	for _, part := range Parts(figures) {
		rows := [][]string{{"Measured", "Of", "Value", "Against", "Compared", "Goal", ""}}
		for _, f := range figures {
			if f.Part == part {
				rows = append(rows, row(f))
			}
		}
		fmt.Fprintf(&out, "### %s\n\n%s\n", part, markdown(rows))
	}
	return out.String()
}

// Parts are the parts that the figures are of, in their order.
func Parts(figures []figure.Figure) []string {
	var out []string
	for _, f := range figures {
		if !slices.Contains(out, f.Part) {
			out = append(out, f.Part)
		}
	}
	return out
}

func row(f figure.Figure) []string {
	base, compared, met := "", "", ""
	if f.Base != nil {
		base, compared = number(*f.Base), number(f.Compared)
	}
	if f.Met != nil {
		met = map[bool]string{true: "met", false: "**missed**"}[*f.Met]
	}
	return []string{f.Name, Conditions(f.Case), number(f.Value) + " " + f.Unit, base, compared, f.Goal, met}
}

// Conditions is a case in words, sorted by the names of its conditions: "100 ports, other node".
func Conditions(of map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(of)) {
		if _, err := strconv.Atoi(of[k]); err == nil {
			out = append(out, of[k]+" "+k)
		} else {
			out = append(out, of[k])
		}
	}
	return strings.Join(out, ", ")
}

// number has three digits that count.
func number(x float64) string {
	if x >= 1000 || x <= -1000 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

func markdown(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var out strings.Builder
	for n, r := range rows {
		for i, cell := range r {
			fmt.Fprintf(&out, "| %-*s ", widths[i], cell)
		}
		out.WriteString("|\n")
		if n == 0 {
			for _, w := range widths {
				out.WriteString("|-" + strings.Repeat("-", w) + "-")
			}
			out.WriteString("|\n")
		}
	}
	return out.String()
}
