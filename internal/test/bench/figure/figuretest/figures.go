// Package figuretest has figures for the tests of what reads them: the tables (package report) and the plot (tools/plot).
package figuretest

import "github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"

// Figures are of two parts: one compares with a base, misses a goal and meets one; the other has a figure at two numbers of ports, and then
// one that stands for itself.
func Figures() []figure.Figure {
	return []figure.Figure{
		figure.Plain("datapath", "requests", map[string]string{"way": "other node"}, 1204.4, "1/s").Ratio(2000).Want(">= 0.65"),
		figure.Plain("datapath", "requests", map[string]string{"way": "entry node"}, 1700, "1/s").Ratio(2000).Want(">= 0.8"),
		figure.Plain("agent", "one port", map[string]string{"ports": "100", "nodes": "10"}, 1.25, "ms").Want("<= 50"),
		figure.Plain("agent", "one port", map[string]string{"ports": "5000", "nodes": "10"}, 20.5, "ms").Want("<= 50"),
		figure.Plain("agent", "binary", nil, 11.8, "MiB"),
	}
}
