package report_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure/figuretest"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/report"
)

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
	for _, f := range figuretest.Figures() {
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

func summaryFigures() []figure.Figure {
	plain := func(part, name string, value float64, unit string, conditions ...string) figure.Figure {
		of := map[string]string{}
		for i := 0; i < len(conditions); i += 2 {
			of[conditions[i]] = conditions[i+1]
		}
		return figure.Plain(part, name, of, value, unit)
	}
	return []figure.Figure{
		plain("swarm", "requests", 741, "1/s", "by", "Swarm", "way", "other node").Ratio(1370),
		plain("swarm", "requests", 737, "1/s", "by", "routingmesh", "way", "other node").Ratio(1296),
		plain("swarm", "requests", 958, "1/s", "by", "routingmesh", "way", "local endpoint").Ratio(1296), // Swarm's is not there
		plain("swarm", "seconds until all nodes serve, Swarm's over ours", 23.2, "s", "change", "one more port").Ratio(3.06),
		plain("swarm", "failed requests of the port that was there", 600, "requests", "by", "Swarm").Ratio(701),
		plain("swarm", "failed requests of the port that was there", 0, "requests", "by", "routingmesh").Ratio(166).Want("<= 0"),
		plain("agent", "memory", 13, "MiB", "endpoints", "10", "kernel", "real", "nodes", "10", "ports", "100").Want("<= 30"),
		plain("agent", "memory", 99.8, "MiB", "endpoints", "10", "kernel", "real", "nodes", "10", "ports", "5000").Want("<= 120"),
		plain("control", "plan", 6.36, "s", "nodes", "3", "ports", "1000").Over(5.92),
	}
}

const summary = `| Measured                                                           | routingmesh | Compared with            |
|--------------------------------------------------------------------|-------------|--------------------------|
| requests/s through another node, as a share of a direct client's   | 0.569       | Docker Swarm: 0.541      |
| one more port of a service answers on all nodes after              | 3.06 s      | Docker Swarm: 23.2 s     |
| requests of the service's other port that fail meanwhile           | 0 of 166    | Docker Swarm: 600 of 701 |
| memory of the agent, 5,000 ports of 10 endpoints                   | 99.8 MiB    | goal: <= 120 MiB         |
| the provider's part of a ` + "`terraform plan`" + `, 3 nodes and 1,000 ports | 0.44 s      | Terraform itself: 5.92 s |
`

func TestSummary(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(summary, report.Summary(summaryFigures())); diff != "" {
		t.Error(diff)
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	short, full := filepath.Join(dir, "performance.md"), filepath.Join(dir, "performance-full.md")
	page := func(table string) string {
		return "# Performance\n<!-- make bench: begin -->\n" + table + "<!-- make bench: end -->\nMore.\n"
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(short, page("old\n"))
	write(full, page("old\n"))
	all := append(figuretest.Figures(), summaryFigures()...)
	for range 2 { // again changes nothing
		if err := report.Write(dir, all); err != nil {
			t.Fatal(err)
		}
	}
	for path, table := range map[string]string{short: "\n" + summary + "\n", full: "\n" + report.Table(all)} {
		got, err := os.ReadFile(path)
		if want := page(table); err != nil || string(got) != want {
			t.Errorf("%s: %v\n%s", path, err, cmp.Diff(want, string(got)))
		}
	}
	write(full, "# Performance\n")
	write(short, page("old\n"))
	if err := report.Write(dir, all); err == nil {
		t.Error("no error of a page without a place for the table")
	}
	if got, err := os.ReadFile(short); err != nil || string(got) != page("old\n") {
		t.Errorf("one page was written although the other cannot be: %v\n%s", err, got)
	}
}
