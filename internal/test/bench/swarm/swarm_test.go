package swarm

import (
	"math"
	"net/netip"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/datapath"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
)

func TestRequests(t *testing.T) {
	t.Parallel()
	target := func(address string) load.Target {
		return load.Target{Network: load.HTTP, Address: netip.MustParseAddrPort(address), Every: every}
	}
	a, b := target("192.0.2.1:80"), target("192.0.2.2:80")
	request := func(at float64, t load.Target, err string) load.Request {
		return load.Request{At: at, Target: t.Name(), Error: err}
	}
	// in the order in which they ended: the one of 0.2 hung
	all := []load.Request{
		request(0.1, a, ""), request(0.3, a, "status 502"), request(0.1, b, "refused"), request(0.4, a, ""), request(0.2, a, "not within 4s"),
		request(0.5, a, ""), request(0.6, a, ""),
	}
	if !answered(all, []load.Target{a}) || answered(all, []load.Target{a, b}) {
		t.Error("b has not answered, and a has")
	}
	one, two := []load.Target{a}, []load.Target{b}
	if !steady(all, one, 0, true) || steady(all, one, 0.4, true) || steady(all[:6], one, 0, false) || steady(all, two, 0, false) {
		t.Error("three answers in a row are steady, and nothing else is")
	}
	if got := latest(all); got != 0.6 {
		t.Errorf("the latest request is that of %g", got)
	}
	if got := load.OutageOf(all, a); got.Asked != 6 || got.Failed != 2 || math.Abs(got.Seconds-0.2) > 1e-9 {
		t.Errorf("outage %+v", got)
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
	swarm := turn{loads(100, 50), map[string][]float64{publish: {9, 1, 5}, addPort: {20}}, load.Outage{Asked: 100, Failed: 40, Seconds: 4}, 200}
	ours := turn{loads(110, 66), map[string][]float64{publish: {10}, addPort: {2}, savedPlan: {4, 6}}, load.Outage{Asked: 90}, 20}
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
