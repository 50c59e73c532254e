package reconcile

import (
	"maps"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// An object that was repaired quarantineAfter times within quarantineWindow has another
// program against it. It is not repaired for minQuarantine, then for twice as long each
// time, at most maxQuarantine, while all others are. It is released after as long without
// a repeat, at least quarantineWindow, and when the host's firewall says that it has
// flushed: a reload takes all of our chains each time, and that is not a fight.
const (
	quarantineAfter  = 3
	quarantineWindow = time.Minute
	minQuarantine    = 10 * time.Second
	maxQuarantine    = 5 * time.Minute
)

// quarantine has the objects that were repaired lately, and for how long each is left alone.
type quarantine struct {
	offenders map[state.Key]*offender
	flushes   uint64 // of the host's firewall, as far as it was told
}

type offender struct {
	tries  []time.Time   // within the window, until it is quarantined
	hold   time.Duration // 0 until then
	until  time.Time
	broken time.Time // when it was last seen broken
}

func newQuarantine() quarantine { return quarantine{offenders: map[state.Key]*offender{}} }

// flushed takes how often the firewall has flushed until now, and releases everything
// where that is more than the last time.
func (q *quarantine) flushed(n uint64) {
	if n != q.flushes {
		clear(q.offenders)
		q.flushes = n
	}
}

// held says that the object is not to be repaired yet.
func (q *quarantine) held(key state.Key, now time.Time) bool {
	x := q.offenders[key]
	return x != nil && now.Before(x.until)
}

// undone says that another program keeps undoing the object's repairs.
func (q *quarantine) undone(key state.Key) bool {
	return q.offenders[key] != nil && q.offenders[key].hold > 0
}

// note takes what a pass has done and left, and returns the ops whose objects are
// quarantined from now on.
func (q *quarantine) note(done []state.Op, left plan, now time.Time) (begun []state.Op) {
	for key, x := range q.offenders {
		if left.has(key) {
			x.broken = now
		}
	}
	for _, op := range done {
		if q.tried(op.Object().Key(), now) {
			begun = append(begun, op)
		}
	}
	maps.DeleteFunc(q.offenders, func(_ state.Key, x *offender) bool { return now.Sub(x.broken) > max(x.hold, quarantineWindow) })
	return begun
}

// tried notes that the object was repaired; begun says that it is quarantined now and
// was not before.
func (q *quarantine) tried(key state.Key, now time.Time) (begun bool) {
	x := q.offenders[key]
	if x != nil && now.Sub(x.broken) > max(x.hold, quarantineWindow) {
		x = nil
	}
	if x == nil {
		x = &offender{}
		q.offenders[key] = x
	}
	x.broken = now
	switch {
	case x.hold > 0:
		x.hold = min(2*x.hold, maxQuarantine)
	default:
		x.tries = append(x.tries, now)
		for now.Sub(x.tries[0]) > quarantineWindow {
			x.tries = x.tries[1:]
		}
		if len(x.tries) < quarantineAfter {
			return false
		}
		x.hold, begun = minQuarantine, true
	}
	x.until = now.Add(x.hold)
	return begun
}

// next is when the first of the objects that are broken now may be tried again.
func (q *quarantine) next(now time.Time) (at time.Time, ok bool) {
	for _, x := range q.offenders {
		if x.hold > 0 && now.Before(x.until) && (!ok || x.until.Before(at)) {
			at, ok = x.until, true
		}
	}
	return at, ok
}
