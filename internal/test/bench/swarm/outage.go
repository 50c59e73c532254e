package swarm

import "slices"

// answered says whether every target has answered a request.
func answered(all []request, targets []string) bool {
	return !slices.ContainsFunc(targets, func(t string) bool {
		return !slices.ContainsFunc(all, func(r request) bool { return r.target == t && r.ok })
	})
}

// last are the outcomes of a target's n latest requests, by when they began; fewer where it had fewer since then.
func last(all []request, target string, since float64, n int) []bool {
	var its []request
	for _, r := range all {
		if r.target == target && r.at > since {
			its = append(its, r)
		}
	}
	slices.SortFunc(its, byTime)
	var out []bool
	for _, r := range its[max(0, len(its)-n):] {
		out = append(out, r.ok)
	}
	return out
}

// steady says whether the latest requests of every target, all made after a time, went well, or all failed.
func steady(all []request, targets []string, since float64, ok bool) bool {
	return !slices.ContainsFunc(targets, func(t string) bool {
		its := last(all, t, since, settled)
		return len(its) < settled || slices.Contains(its, !ok)
	})
}

// latest is when the latest request began that has ended.
func latest(all []request) float64 {
	if len(all) == 0 {
		return 0
	}
	return slices.MaxFunc(all, byTime).at
}

func byTime(a, b request) int {
	switch {
	case a.at < b.at:
		return -1
	case a.at > b.at:
		return 1
	}
	return 0
}

// An outage is what a target's clients saw during a change.
type outage struct {
	asked, failed int
	// seconds are from the first request that failed to the one after the last that failed; 0 when none did.
	seconds float64
}

func outageOf(all []request, target string) outage {
	var o outage
	var first, end float64
	for _, r := range all {
		if r.target != target {
			continue
		}
		o.asked++
		if r.ok {
			continue
		}
		if o.failed == 0 || r.at < first {
			first = r.at
		}
		o.failed++
		end = max(end, r.at)
	}
	if o.failed > 0 {
		o.seconds = end - first + every.Seconds()
	}
	return o
}

// plus has the longer of their times.
func (o outage) plus(p outage) outage {
	return outage{o.asked + p.asked, o.failed + p.failed, max(o.seconds, p.seconds)}
}
