package faults

import (
	"slices"
	"time"
)

// Outage is what the steady client saw between two marks.
type Outage struct {
	// Seconds is how long the worst target was not served: from its first request that failed to its last one, plus the time to the next
	// one, which was answered. 0 when no request failed.
	Seconds float64
	Failed  int
	Asked   int
	// First is an error as the client had it, "" without one.
	First string
}

// Between sums up what happened to the targets between the marks from and to; reports has all requests that failed.
func Between(from, to Report, reports []Report, targets ...Target) Outage {
	var o Outage
	first, last := map[string]float64{}, map[string]float64{}
	every := map[string]time.Duration{}
	for _, t := range targets {
		every[t.Name()] = t.Every
		o.Asked += to.Asked[t.Name()] - from.Asked[t.Name()]
	}
	for _, r := range reports {
		if _, ours := every[r.Target]; !ours || r.At < from.At || r.At >= to.At {
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

// Through are the targets at the address of a node.
func Through(targets []Target, address string) []Target {
	return slices.DeleteFunc(slices.Clone(targets), func(t Target) bool { return t.Address.Addr().String() != address })
}
