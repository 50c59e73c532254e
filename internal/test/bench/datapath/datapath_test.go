package datapath

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
)

const wrkOutput = `Running 5s test @ http://192.168.200.10:8080/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     9.00ms    1.72ms  30.92ms   90.33%
    Req/Sec     1.78k   170.05     2.01k    82.00%
  Latency Distribution
     50%    8.72ms
     75%    9.31ms
     90%  950.00us
     99%    1.02s 
  8878 requests in 5.01s, 1.37MB read
  Socket errors: connect 1, read 2, write 0, timeout 3
  Non-2xx or 3xx responses: 4
Requests/sec:   1771.34
Transfer/sec:    280.24KB
`

func TestParseWrk(t *testing.T) {
	t.Parallel()
	got, err := parseWrk(wrkOutput)
	if want := (result{Requests: 8878, PerSec: 1771.34, P50: 8.72, P99: 1020, Errors: 10}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, out := range []string{
		"unable to connect to 192.168.200.10:8080 Connection refused\n",
		strings.ReplaceAll(wrkOutput, "8878 requests", "0 requests"),
		strings.ReplaceAll(wrkOutput, "8.72ms", "8.72 ms"),
	} {
		if got, err := parseWrk(out); err == nil {
			t.Errorf("%+v of\n%s", got, out)
		}
	}
}

func TestParseCurl(t *testing.T) {
	t.Parallel()
	got, err := parseCurl(fmt.Sprintf("200 %d 2.000000", bulkBytes))
	if err != nil || math.Abs(got.PerSec-134.217728) > 1e-9 || got.Requests != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, out := range []string{"", "200", fmt.Sprintf("404 %d 1.0", bulkBytes), "200 146 1.0", fmt.Sprintf("200 %d 0.000000", bulkBytes), fmt.Sprintf("200 %d NaN", bulkBytes)} {
		if got, err := parseCurl(out); err == nil {
			t.Errorf("%+v of %q", got, out)
		}
	}
}

const (
	statBefore = "cpu  100 1 200 5000 7 0 300 0 0 0"
	statAfter  = "cpu  140 1 230 5300 9 1 380 2 0 0"
)

func TestParseRunTakesTheTimeBetween(t *testing.T) {
	t.Parallel()
	got, err := parseRun(statBefore+"\n-- cut --\n"+wrkOutput+"\n-- cut --\n"+statAfter+"\n", parseWrk)
	if want := (cpuTime{busy: 1510, softirq: 800}); err != nil || got.cpu != want || got.Requests != 8878 {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, out := range []string{
		"", statBefore, statBefore + "-- cut --" + wrkOutput, "cpu 1-- cut --" + wrkOutput + "-- cut --" + statAfter,
		statBefore + "-- cut --" + wrkOutput + "-- cut --cpu0 1 2 3 4 5 6 7", statBefore + "-- cut --" + wrkOutput + "-- cut --cpu -1 2 3 4 5 6 7 8",
		statBefore + "-- cut ---- cut --" + statAfter,
	} {
		if got, err := parseRun(out, parseWrk); err == nil {
			t.Errorf("%+v of %q", got, out)
		}
	}
}

func TestFiguresCompareMedians(t *testing.T) {
	t.Parallel()
	ways := []Way{{Name: Direct}, {Name: OtherNode}, {Name: preferLocal}}
	var runs []run
	for i, f := range []float64{1, 3, 2, 50} { // the median is that of 2 and 3
		for _, l := range loads(short) {
			runs = append(runs,
				run{l.name, Direct, result{Requests: 1000, PerSec: 1000 * f, P99: 10, P50: 5}, cpuTime{1000, 400}},
				run{l.name, OtherNode, result{Requests: 500, PerSec: 660 * f, P99: 16, P50: 5}, cpuTime{1500, 1000 + 100*float64(i%2)}},
				run{l.name, preferLocal, result{Requests: 500, PerSec: 700 * f, P99: 14, P50: 5}, cpuTime{1000, 500}})
		}
	}
	type outcome struct {
		value, compared float64
		met             string
	}
	want := map[string]outcome{
		"requests direct":                {2500, 2500, ""},
		"requests other node":            {1650, 0.66, "true"},
		"requests prefer_local":          {1750, 0.7, "false"},
		"new connections other node":     {1650, 0.66, "false"},
		"download other node":            {1650, 0.66, "true"},
		"p99 other node":                 {16, 1.6, "false"},
		"p99 prefer_local":               {14, 1.4, "true"},
		"CPU per request other node":     {3, 2, ""},
		"CPU per request direct":         {1, 1, ""},
		"softirq per request direct":     {0.4, 0.4, ""},
		"softirq per request other node": {2.1, 1.7, ""},
	}
	seen := map[string]bool{}
	for _, f := range figures(runs, ways) {
		name := f.Name + " " + f.Case["way"]
		if seen[name] || f.Runs != 4 || f.Part != "datapath" {
			t.Errorf("%s twice, or of %d runs: %+v", name, f.Runs, f)
		}
		seen[name] = true
		w, ok := want[name]
		if !ok {
			continue
		}
		met := ""
		if f.Met != nil {
			met = fmt.Sprint(*f.Met)
		}
		if math.Abs(f.Value-w.value) > 1e-9 || math.Abs(f.Compared-w.compared) > 1e-9 || met != w.met {
			t.Errorf("%s: %v, %v, met %q; want %+v", name, f.Value, f.Compared, met, w)
		}
	}
	if len(seen) != len(metrics())*len(ways) {
		t.Errorf("%d figures", len(seen))
	}
}

// A figure's name and case are unique in a run of all phases, and every goal is one that figures know.
func TestPhasesHaveDifferentWays(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, p := range phases(false) {
		for _, f := range figures(nil, p.ways) {
			key := f.Name + " " + f.Case["way"]
			if seen[key] {
				t.Errorf("%s is there twice", key)
			}
			seen[key] = true
		}
	}
	for _, m := range []string{"requests", "new connections", "download", "p99"} {
		for _, w := range []string{Local, OtherNode, preferLocal} {
			if goal(m, w) == "" || !seen[m+" "+w] {
				t.Errorf("%s of %s is measured against no goal", m, w)
			}
		}
	}
}

// One that fell by less than is allowed is noise, one that rose is none of the gate's concern.
func TestCompare(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "shares.json")
	measured := func(share float64) []figure.Figure {
		return []figure.Figure{
			figure.Plain("datapath", "requests", map[string]string{"way": OtherNode}, 1000*share, "1/s").Ratio(1000),
			figure.Plain("datapath", "p99", map[string]string{"way": OtherNode}, 9, "ms").Ratio(1),
			figure.Plain("datapath", "requests", map[string]string{"way": Direct}, 1000, "1/s"),
		}
	}
	if err := Compare(file, measured(0.5), false); err == nil {
		t.Error("no error without a file")
	}
	if err := Compare(file, measured(0.5004), true); err != nil {
		t.Fatal(err)
	}
	for share, want := range map[float64]string{0.5: "", 0.9: "", 0.471: "", 0.469: "requests, other node: 0.469 of direct's, and was 0.500"} {
		if err := Compare(file, measured(share), false); (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%g: %v", share, err)
		}
	}
	if err := Compare(file, nil, false); err == nil || !strings.Contains(err.Error(), "was not measured") {
		t.Errorf("of nothing: %v", err)
	}
}

// What leads through another node is also compared with a plain router's share, metric by metric.
func TestOfTheLimit(t *testing.T) {
	t.Parallel()
	share := func(way, metric string, value float64) figure.Figure {
		return figure.Plain("datapath", metric, map[string]string{"way": way}, value, "1/s").Ratio(1)
	}
	got := ofTheLimit([]figure.Figure{share(Router, "requests", 0.8), share(OtherNode, "requests", 0.6), share(OtherNode, "p99", 0.6), share(Router, "p99", 0.8), share(Local, "requests", 0.7)})
	if len(got) != 1 || math.Abs(got[0].Compared-0.75) > 1e-9 || got[0].Value != 0.6 {
		t.Errorf("%+v", got)
	}
}

func FuzzParseRun(f *testing.F) {
	f.Add(statBefore + "\n-- cut --\n" + wrkOutput + "\n-- cut --\n" + statAfter)
	f.Add(statBefore + "\n-- cut --\n" + fmt.Sprintf("200 %d 2.0", bulkBytes) + "\n-- cut --\n" + statAfter)
	f.Fuzz(func(t *testing.T, out string) {
		for _, parse := range []func(string) (result, error){parseWrk, parseCurl} {
			r, err := parseRun(out, parse)
			if err == nil && (r.Requests <= 0 || !(r.PerSec > 0)) {
				t.Errorf("%+v without an error", r)
			}
		}
	})
}
