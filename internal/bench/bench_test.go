package main

import (
	"math"
	"testing"
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
	if want := (Measure{RPS: 1771.34, P50: 8.72, P99: 1020, Errors: 10}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if _, err := parseWrk("unable to connect to 192.168.200.10:8080 Connection refused\n"); err == nil {
		t.Error("no error without a result")
	}
}

func TestRatios(t *testing.T) {
	t.Parallel()
	var lines []line
	for i, f := range []float64{1, 3, 2} {
		lines = append(lines,
			line{"keepalive-bare", "direct", i + 1, Measure{RPS: 100}},
			line{"keepalive-bare", "mesh", i + 1, Measure{RPS: 30}},
			line{"keepalive", "direct", i + 1, Measure{RPS: 1000 * f, P99: 10}},
			line{"keepalive", "mesh", i + 1, Measure{RPS: 550 * f, P99: 21}},
			line{"newconn", "direct", i + 1, Measure{RPS: 100}},
			line{"newconn", "mesh", i + 1, Measure{RPS: 45}})
	}
	want := map[string]struct {
		ratio float64
		met   bool
	}{"rps": {0.55, true}, "newconn": {0.45, true}, "p99": {2.1, false}, "rps-bare": {0.3, true}}
	for _, r := range ratios(lines) {
		if w := want[r.Metric]; math.Abs(r.MeshVsDirect-w.ratio) > 0.001 || r.Met != w.met {
			t.Errorf("%s: %v, met %v; want %v, %v", r.Metric, r.MeshVsDirect, r.Met, w.ratio, w.met)
		}
	}
	if failures(lines) != nil {
		t.Error("failures where there are none")
	}
	lines[2].Errors = 1
	if failures(lines) == nil {
		t.Error("a failed request is not reported")
	}
}
