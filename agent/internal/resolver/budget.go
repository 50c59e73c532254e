package resolver

import (
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

const (
	// queriesPerAsker is how many datagrams of one asker are looked at each second. What waits
	// after a restart of the agent comes at once: burstPerAsker is that of some seconds.
	queriesPerAsker, burstPerAsker = 2_000, 10_000
	// maxAskers bounds what is remembered. A node has fewer slots, and others are refused.
	maxAskers = 8192
)

// budget keeps one asker from taking the time of the goroutine that reads for all: what is
// beyond an asker's share is read and dropped, so that the socket's queue, which is everybody's,
// stays short. It is for one goroutine.
type budget struct {
	rate   rate.Limit
	burst  int
	askers map[netip.Addr]*rate.Limiter
}

func newBudget() *budget {
	return &budget{queriesPerAsker, burstPerAsker, map[netip.Addr]*rate.Limiter{}}
}

// take says that the asker may ask now.
func (b *budget) take(asker netip.Addr, now time.Time) bool {
	l := b.askers[asker]
	if l == nil {
		if len(b.askers) >= maxAskers {
			b.forget(now)
		}
		l = rate.NewLimiter(b.rate, b.burst)
		b.askers[asker] = l
	}
	return l.AllowN(now, 1)
}

// forget drops the askers that have a whole budget again, or all where none has.
func (b *budget) forget(now time.Time) {
	for asker, l := range b.askers {
		if l.TokensAt(now) >= float64(b.burst) {
			delete(b.askers, asker)
		}
	}
	if len(b.askers) >= maxAskers {
		clear(b.askers)
	}
}
