package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
)

// The generated part of a page stands between these.
const (
	begin = "<!-- make bench: begin -->\n"
	end   = "<!-- make bench: end -->\n"
)

// Write puts the summary into the folder's performance.md and the whole table into its performance-full.md, each between
// the two comments that are there. It writes nothing if one of them has no such place.
func Write(folder string, figures []figure.Figure) error {
	files := map[string][]byte{}
	for name, table := range map[string]string{"performance.md": Summary(figures), "performance-full.md": Table(figures)} {
		text, err := fill(filepath.Join(folder, name), table)
		if err != nil {
			return err
		}
		files[name] = text
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// fill returns the page with the table in its place.
func fill(page, table string) ([]byte, error) {
	text, err := os.ReadFile(page)
	if err != nil {
		return nil, err
	}
	before, rest, found := bytes.Cut(text, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		return nil, fmt.Errorf("%s has no place for the table: it needs the lines %q and, below it, %q", page, begin, end)
	}
	table = "\n" + strings.TrimRight(table, "\n") + "\n\n"
	return bytes.Join([][]byte{before, []byte(begin), []byte(table), []byte(end), after}, nil), nil
}
