package reconcile

import (
	"maps"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// An object that had to be mended fightTries times within fightWindow is one that
// another program fights for: it is held back for firstHold, then for twice as
// long each time, lastHold at most. It is forgotten when it was whole for as long
// as it was held back, fightWindow at least, and when the host's firewall says that it
// has flushed: it takes everything of ours with each reload, and means nothing by it.
const (
	fightTries  = 3
	fightWindow = time.Minute
	firstHold   = 10 * time.Second
	lastHold    = 5 * time.Minute
)

// fights are the objects that were mended lately.
type fights map[state.Key]*fight

type fight struct {
	tries  []time.Time   // within the window, until it is held back
	hold   time.Duration // 0 until then
	until  time.Time
	broken time.Time // when it was last seen broken
}

// held says that the object is not to be mended yet.
func (f fights) held(key state.Key, now time.Time) bool {
	x := f[key]
	return x != nil && now.Before(x.until)
}

// undone says that somebody keeps undoing what mends the object.
func (f fights) undone(key state.Key) bool { return f[key] != nil && f[key].hold > 0 }

// note takes what a pass has done and left, and returns the ops whose objects are
// held back from now on for the first time.
func (f fights) note(done []state.Op, left plan, now time.Time) (begun []state.Op) {
	for key, x := range f {
		if left.has(key) {
			x.broken = now
		}
	}
	for _, op := range done {
		if f.tried(op.Object().Key(), now) {
			begun = append(begun, op)
		}
	}
	maps.DeleteFunc(f, func(_ state.Key, x *fight) bool { return now.Sub(x.broken) > max(x.hold, fightWindow) })
	return begun
}

// tried notes that the object was mended; begun says that it is held back now and
// was not before.
func (f fights) tried(key state.Key, now time.Time) (begun bool) {
	x := f[key]
	if x != nil && now.Sub(x.broken) > max(x.hold, fightWindow) {
		x = nil
	}
	if x == nil {
		x = &fight{}
		f[key] = x
	}
	x.broken = now
	switch {
	case x.hold > 0:
		x.hold = min(2*x.hold, lastHold)
	default:
		x.tries = append(x.tries, now)
		for now.Sub(x.tries[0]) > fightWindow {
			x.tries = x.tries[1:]
		}
		if len(x.tries) < fightTries {
			return false
		}
		x.hold, begun = firstHold, true
	}
	x.until = now.Add(x.hold)
	return begun
}

// next is when the first of the objects that are broken now may be tried again.
func (f fights) next(now time.Time) (at time.Time, ok bool) {
	for _, x := range f {
		if x.hold > 0 && now.Before(x.until) && (!ok || x.until.Before(at)) {
			at, ok = x.until, true
		}
	}
	return at, ok
}
