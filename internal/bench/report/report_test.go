package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/bench/figure"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/bench/report"
)

func figures() []figure.Figure {
	return []figure.Figure{
		figure.Plain("datapath", "requests", map[string]string{"way": "other node"}, 1204.4, "1/s").Ratio(2000).Want(">= 0.65"),
		figure.Plain("datapath", "requests", map[string]string{"way": "entry node"}, 1700, "1/s").Ratio(2000).Want(">= 0.8"),
		figure.Plain("agent", "one port", map[string]string{"ports": "100", "nodes": "10"}, 1.25, "ms").Want("<= 50"),
		figure.Plain("agent", "one port", map[string]string{"ports": "5000", "nodes": "10"}, 20.5, "ms").Want("<= 50"),
		figure.Plain("agent", "binary", nil, 11.8, "MiB"),
	}
}

const table = `### datapath

| Measured | Of         | Value    | Against | Compared | Goal    |            |
|----------|------------|----------|---------|----------|---------|------------|
| requests | other node | 1204 1/s | 2000    | 0.602    | >= 0.65 | **missed** |
| requests | entry node | 1700 1/s | 2000    | 0.85     | >= 0.8  | met        |

### agent

| Measured | Of                   | Value    | Against | Compared | Goal  |     |
|----------|----------------------|----------|---------|----------|-------|-----|
| one port | 10 nodes, 100 ports  | 1.25 ms  |         |          | <= 50 | met |
| one port | 10 nodes, 5000 ports | 20.5 ms  |         |          | <= 50 | met |
| binary   |                      | 11.8 MiB |         |          |       |     |

`

func TestReadAndTable(t *testing.T) {
	t.Parallel()
	var lines bytes.Buffer
	for _, f := range figures() {
		if err := f.Write(&lines); err != nil {
			t.Fatal(err)
		}
	}
	read, err := report.Read(&lines)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(table, report.Table(read)); diff != "" {
		t.Error(diff)
	}
	if _, err := report.Read(strings.NewReader("{\"part\":\"agent\"}\nbench: busy\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("of what is no figure: %v", err)
	}
}

func TestPlot(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := report.Plot(&out, figures()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"other node", "entry node", "requests", "one port, 10 nodes", "agent: ms over ports"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the plot", want)
		}
	}
	if strings.Contains(out.String(), "over nodes") {
		t.Error("a panel over the nodes, though there is one number of them only")
	}
	d := xml.NewDecoder(&out)
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := report.Plot(io.Discard, figures()[4:]); err == nil {
		t.Error("an empty plot is no error")
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	page := filepath.Join(dir, "performance.md")
	if err := os.WriteFile(page, []byte("# Performance\n<!-- make bench: begin -->\nold\n<!-- make bench: end -->\nMore.\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again changes nothing
		if err := report.Write(dir, figures()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if want := "# Performance\n<!-- make bench: begin -->\n\n" + table + "<!-- make bench: end -->\nMore.\n"; err != nil || string(got) != want {
		t.Errorf("%v\n%s", err, cmp.Diff(want, string(got)))
	}
	if _, err := os.Stat(filepath.Join(dir, "performance.svg")); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(page, []byte("# Performance\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := report.Write(dir, figures()); err == nil {
		t.Error("no error of a page without a place for the table")
	}
}
