package load

import (
	"slices"
	"time"
)

// Outage is what the probes of some targets saw.
type Outage struct {
	// Seconds is how long the worst target was not served: from its first request that failed to its last one, plus the time to the next
	// one, which was answered. 0 when no request failed.
	Seconds float64
	Failed  int
	Asked   int
	// First is an error as a probe had it, "" without one.
	First string
}

// Between is what happened to the targets between the marks from and to; requests has at least all those that failed.
func Between(from, to Report, requests []Request, targets ...Target) Outage {
	o := OutageOf(slices.DeleteFunc(slices.Clone(requests), func(r Request) bool { return r.At < from.At || r.At >= to.At }), targets...)
	o.Asked = 0
	for _, t := range targets {
		o.Asked += to.Asked[t.Name()] - from.Asked[t.Name()]
	}
	return o
}

// OutageOf is what these requests say, which are all that there were.
func OutageOf(requests []Request, targets ...Target) Outage {
	var o Outage
	first, last := map[string]float64{}, map[string]float64{}
	every := map[string]time.Duration{}
	for _, t := range targets {
		every[t.Name()] = t.Every
	}
	for _, r := range requests {
		if _, ours := every[r.Target]; !ours {
			continue
		}
		o.Asked++
		if !r.Failed() {
			continue
		}
		if o.Failed == 0 {
			o.First = r.Target + ": " + r.Error
		}
		o.Failed++
		if at, known := first[r.Target]; !known || r.At < at {
			first[r.Target] = r.At
		}
		last[r.Target] = max(last[r.Target], r.At)
	}
	for target := range first {
		o.Seconds = max(o.Seconds, last[target]-first[target]+every[target].Seconds())
	}
	return o
}

// Plus is both together, with the longer of their times.
func (o Outage) Plus(p Outage) Outage {
	sum := Outage{max(o.Seconds, p.Seconds), o.Failed + p.Failed, o.Asked + p.Asked, o.First}
	if sum.First == "" {
		sum.First = p.First
	}
	return sum
}

// Through are the targets at the address of a node.
func Through(targets []Target, address string) []Target {
	return slices.DeleteFunc(slices.Clone(targets), func(t Target) bool { return t.Address.Addr().String() != address })
}
