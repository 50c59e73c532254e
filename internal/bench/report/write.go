package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/bench/figure"
)

// The table stands in the page between these.
const (
	begin = "<!-- make bench: begin -->\n"
	end   = "<!-- make bench: end -->\n"
)

// Write puts the table into performance.md of the folder, between the two comments that are there, and the plot
// beside it into performance.svg.
func Write(folder string, figures []figure.Figure) error {
	page := filepath.Join(folder, "performance.md")
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(text, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		return fmt.Errorf("%s has no place for the table: %q, and %q below it", page, begin, end)
	}
	text = bytes.Join([][]byte{before, []byte(begin + "\n" + Table(figures)), append([]byte(end), after...)}, nil)
	var plot bytes.Buffer
	if err := Plot(&plot, figures); err != nil {
		return err
	}
	if err := os.WriteFile(page, text, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "performance.svg"), plot.Bytes(), 0o644)
}
