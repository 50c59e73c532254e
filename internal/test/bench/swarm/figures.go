package swarm

import (
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/datapath"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/bench/figure"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
)

const (
	part   = "swarm"
	swarms = "Swarm"
	mine   = "routingmesh"
)

// loadGoals are for the ways through a mesh, ours over Swarm's.
var loadGoals = map[string]string{"requests": ">= 1", "new connections": ">= 1", "download": ">= 1", "p99": "<= 1"}

// timeGoals are how many times faster ours is.
var timeGoals = map[string]string{publish: ">= 1", addPort: ">= 10", savedPlan: ">= 10"}

// figures put ours beside Swarm's.
func figures(swarm, ours turn, rounds int) []figure.Figure {
	all := loadFigures(swarm.loads, ours.loads)
	for _, step := range []string{publish, addPort, savedPlan} {
		// Swarm has no plan to save: what it is compared with is one more port
		theirs := swarm.seconds[step]
		if step == savedPlan {
			theirs = swarm.seconds[addPort]
		}
		f := figure.Plain(part, "seconds until all nodes serve, Swarm's over ours", map[string]string{"change": step}, median(theirs), "s").
			Ratio(median(ours.seconds[step])).Want(timeGoals[step])
		f.Runs = rounds
		all = append(all, f)
	}
	all = append(all, outageFigures(swarms, swarm.outage)...)
	for _, f := range outageFigures(mine, ours.outage) {
		all = append(all, f.Want("<= 0"))
	}
	return append(all, figure.Plain(part, "memory of the daemons, ours over Swarm's", map[string]string{"node": datapath.Entry}, ours.rss, "MiB").Ratio(swarm.rss).Want("<= 1"))
}

// loadFigures have each mesh beside the direct client of its own turn, and then ours beside Swarm's. The direct clients of
// both turns say whether the machine was the same.
func loadFigures(swarm, ours []datapath.Median) []figure.Figure {
	var all, compared []figure.Figure
	for i, m := range ours {
		for _, by := range []struct {
			name  string
			loads []datapath.Median
		}{{swarms, swarm}, {mine, ours}} {
			f := figure.Plain(part, m.Metric, map[string]string{"way": m.Way, "by": by.name}, by.loads[i].Value, m.Unit)
			f.Runs = m.Runs
			if m.Way != datapath.Direct {
				f = f.Ratio(direct(by.loads, m.Metric))
			}
			all = append(all, f)
		}
		f := figure.Plain(part, m.Metric+", ours over Swarm's", map[string]string{"way": m.Way}, m.Value, m.Unit).Ratio(swarm[i].Value)
		f.Runs = m.Runs
		if goal := loadGoals[m.Metric]; goal != "" && m.Way != datapath.Direct {
			f = f.Want(goal)
		}
		compared = append(compared, f)
	}
	return append(all, compared...)
}

func direct(loads []datapath.Median, metric string) float64 {
	i := slices.IndexFunc(loads, func(m datapath.Median) bool { return m.Metric == metric && m.Way == datapath.Direct })
	return loads[i].Value
}

// outageFigures are of all changes of a turn together, as shares of what was asked.
func outageFigures(by string, o load.Outage) []figure.Figure {
	who := map[string]string{"by": by}
	return []figure.Figure{
		figure.Plain(part, "failed requests of the port that was there", who, float64(o.Failed), "requests").Ratio(float64(max(o.Asked, 1))),
		figure.Plain(part, "longest time without the port that was there", who, o.Seconds, "s"),
	}
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
