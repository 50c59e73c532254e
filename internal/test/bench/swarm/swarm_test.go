package swarm

import (
	"math"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/datapath"
)

func parsed(t *testing.T, lines ...string) (all []request) {
	t.Helper()
	for _, line := range lines {
		r, err := parseRequest(line)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func TestRequests(t *testing.T) {
	t.Parallel()
	const a, b = "192.0.2.1:80", "192.0.2.2:80"
	// in the order in which they ended: the one of 0.2 hung
	all := parsed(t, "0.100 192.0.2.1:80 200", "0.300 192.0.2.1:80 502", "0.100 192.0.2.2:80 0", "0.400 192.0.2.1:80 200", "0.200 192.0.2.1:80 0", "0.500 192.0.2.1:80 200", "0.600 192.0.2.1:80 200")
	if got := outageOf(all, a); got.asked != 6 || got.failed != 2 || math.Abs(got.seconds-0.2) > 1e-9 {
		t.Errorf("outage %+v", got)
	}
	if got := outageOf(all[:1], a); got != (outage{asked: 1}) {
		t.Errorf("outage %+v without a failure", got)
	}
	if !answered(all, []string{a}) || answered(all, []string{a, b}) {
		t.Error("b has not answered, and a has")
	}
	if !steady(all, []string{a}, 0, true) || steady(all, []string{a}, 0.4, true) || steady(all[:6], []string{a}, 0, false) || steady(all, []string{b}, 0, false) {
		t.Error("three answers in a row are steady, and nothing else is")
	}
	if got := latest(all); got != 0.6 {
		t.Errorf("the latest request is that of %g", got)
	}
	for _, line := range []string{"", "0.1 192.0.2.1:80", "x 192.0.2.1:80 200"} {
		if got, err := parseRequest(line); err == nil {
			t.Errorf("%+v of %q", got, line)
		}
	}
}

func TestFiguresPutOursBesideSwarms(t *testing.T) {
	t.Parallel()
	loads := func(direct, local float64) (all []datapath.Median) {
		for _, metric := range []string{"requests", "p99"} {
			all = append(all, datapath.Median{Metric: metric, Way: datapath.Direct, Value: direct}, datapath.Median{Metric: metric, Way: datapath.Local, Value: local})
		}
		return all
	}
	swarm := turn{loads(100, 50), map[string][]float64{publish: {9, 1, 5}, addPort: {20}}, outage{100, 40, 4}, 200}
	ours := turn{loads(110, 66), map[string][]float64{publish: {10}, addPort: {2}, savedPlan: {4, 6}}, outage{90, 0, 0}, 20}
	want := map[string]struct {
		compared float64
		met      bool
	}{
		"requests, ours over Swarm's local endpoint":                    {1.32, true},
		"p99, ours over Swarm's local endpoint":                         {1.32, false},
		"seconds until all nodes serve, Swarm's over ours " + publish:   {0.5, false},
		"seconds until all nodes serve, Swarm's over ours " + addPort:   {10, true},
		"seconds until all nodes serve, Swarm's over ours " + savedPlan: {4, false},
		"failed requests of the port that was there " + mine:            {0, true},
		"longest time without the port that was there " + mine:          {0, true},
		"memory of the daemons, ours over Swarm's " + datapath.Entry:    {0.1, true},
		"requests " + datapath.Local + swarms:                           {0.5, false},
		"requests " + datapath.Local + mine:                             {0.6, false},
		"failed requests of the port that was there " + swarms:          {0.4, false},
	}
	seen := map[string]bool{}
	for _, f := range figures(swarm, ours, 3) {
		name := f.Name + " " + f.Case["way"] + f.Case["change"] + f.Case["by"] + f.Case["node"]
		if seen[name] || f.Part != part {
			t.Errorf("%s is there twice, or of another part", name)
		}
		seen[name] = true
		w, ok := want[name]
		if ok && (math.Abs(f.Compared-w.compared) > 1e-9 || (f.Met != nil && *f.Met) != w.met) {
			t.Errorf("%s: %+v; want %+v", name, f, w)
		}
	}
	for name := range want {
		if !seen[name] {
			t.Errorf("no figure %q", name)
		}
	}
}

// Whatever comes over the login, a line is a request or an error.
func FuzzParseRequest(f *testing.F) {
	f.Add("0.100 192.0.2.1:80 200")
	f.Fuzz(func(t *testing.T, line string) {
		if r, err := parseRequest(line); err == nil && r.target == "" {
			t.Errorf("%+v of %q", r, line)
		}
	})
}
