package swarm

import (
	"cmp"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/test/load"
)

// answered says whether every target has answered a request.
func answered(all []load.Request, targets []load.Target) bool {
	return !slices.ContainsFunc(targets, func(t load.Target) bool {
		return !slices.ContainsFunc(all, func(r load.Request) bool { return r.Target == t.Name() && !r.Failed() })
	})
}

// last are the outcomes of a target's n latest requests, by when they began; fewer where it had fewer since then.
func last(all []load.Request, target load.Target, since float64, n int) []bool {
	var its []load.Request
	for _, r := range all {
		if r.Target == target.Name() && r.At > since {
			its = append(its, r)
		}
	}
	slices.SortFunc(its, byTime)
	var out []bool
	for _, r := range its[max(0, len(its)-n):] {
		out = append(out, !r.Failed())
	}
	return out
}

// steady says whether the latest requests of every target, all made after a time, went well, or all failed.
func steady(all []load.Request, targets []load.Target, since float64, ok bool) bool {
	return !slices.ContainsFunc(targets, func(t load.Target) bool {
		its := last(all, t, since, load.Settled)
		return len(its) < load.Settled || slices.Contains(its, !ok)
	})
}

// latest is when the latest request began that has ended.
func latest(all []load.Request) float64 {
	if len(all) == 0 {
		return 0
	}
	return slices.MaxFunc(all, byTime).At
}

func byTime(a, b load.Request) int { return cmp.Compare(a.At, b.At) }
