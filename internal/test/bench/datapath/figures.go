package datapath

import (
	"context"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/rig"
)

// A metric is a figure per way: what of a load's runs it is the median of.
type metric struct {
	name, unit, load string
	of               func(run) float64
	over             bool // compared with the base by difference, not by ratio
}

func metrics() []metric {
	perSec := func(r run) float64 { return r.PerSec }
	cpu := func(r run) float64 { return r.cpu.busy / float64(r.Requests) }
	softirq := func(r run) float64 { return r.cpu.softirq / float64(r.Requests) }
	return []metric{
		{"requests", "1/s", keptConnections, perSec, false},
		{"new connections", "1/s", newConnections, perSec, false},
		{"download", "MB/s", download, perSec, false},
		{"p50", "ms", keptConnections, func(r run) float64 { return r.P50 }, false},
		{"p99", "ms", keptConnections, func(r run) float64 { return r.P99 }, false},
		{"CPU per request", "ms", keptConnections, cpu, true},
		{"softirq per request", "ms", keptConnections, softirq, true},
		{"CPU per new connection", "ms", newConnections, cpu, true},
		{"softirq per new connection", "ms", newConnections, softirq, true},
	}
}

// goal of a metric on a way, as a ratio to direct, "" for none. They were set above what Docker Swarm once had in a lab of
// this shape, with another server; what it has in the same run is the part swarm's.
func goal(metric, way string) string {
	switch way {
	case OtherNode:
		return map[string]string{"requests": ">= 0.65", "new connections": ">= 0.7", "download": ">= 0.45", "p99": "<= 1.5"}[metric]
	case Local, preferLocal:
		return map[string]string{"requests": ">= 0.8", "new connections": ">= 0.9", "download": ">= 0.6", "p99": "<= 1.5"}[metric]
	}
	return ""
}

// A Median is a metric of a way.
type Median struct {
	Metric, Unit, Way string
	Value             float64
	Runs              int
}

// Measure is for other parts: the medians, over so many rounds, of all metrics that ratios say something of. Somebody has
// to Serve.
func Measure(ctx context.Context, lab *rig.Lab, ways []Way, rounds int) ([]Median, error) {
	runs, err := measure(ctx, lab, ways, loads(long), rounds)
	if err != nil {
		return nil, err
	}
	var all []Median
	for _, m := range metrics() {
		for _, w := range ways {
			if value, n := m.median(runs, w.Name); !m.over {
				all = append(all, Median{m.name, m.unit, w.Name, value, n})
			}
		}
	}
	return all, nil
}

// figures are the medians over the runs, each way's compared with the first one's. What a way has more CPU time than
// another is the price of the hops between them.
func figures(runs []run, ways []Way) []figure.Figure {
	var all []figure.Figure
	for _, m := range metrics() {
		base, n := m.median(runs, ways[0].Name)
		for i, w := range ways {
			value, _ := m.median(runs, w.Name)
			f := figure.Plain("datapath", m.name, map[string]string{"way": w.Name}, value, m.unit)
			f.Runs = n
			switch {
			case i == 0:
			case m.over:
				f = f.Over(base)
			default:
				f = f.Ratio(base)
			}
			if g := goal(m.name, w.Name); g != "" {
				f = f.Want(g)
			}
			all = append(all, f)
		}
	}
	return all
}

// ofTheLimit are the shares of other nodes once more, as shares of what a plain router has.
func ofTheLimit(all []figure.Figure) []figure.Figure {
	var out []figure.Figure
	for _, f := range all {
		for _, limit := range all {
			if f.Base != nil && f.Case["way"] == OtherNode && limit.Name == f.Name && limit.Case["way"] == Router && isShare(f) {
				share := figure.Plain("datapath", f.Name+", share of direct's", map[string]string{"way": OtherNode, "of": "the limit"}, f.Compared, "")
				out = append(out, share.Ratio(limit.Compared))
			}
		}
	}
	return out
}

// isShare says that the figure is a rate, compared with that of a client that goes to the endpoint itself.
func isShare(f figure.Figure) bool {
	return slices.Contains([]string{"requests", "new connections", "download"}, f.Name)
}

// median is of the runs of the metric's load over a way, and of how many.
func (m metric) median(runs []run, way string) (float64, int) {
	var values []float64
	for _, r := range runs {
		if r.load == m.load && r.way == way {
			values = append(values, m.of(r))
		}
	}
	if len(values) == 0 {
		return 0, 0
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 0 {
		return (values[middle-1] + values[middle]) / 2, len(values)
	}
	return values[middle], len(values)
}
