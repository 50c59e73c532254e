package reconcile

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// interval is how long something broken by others stays so at most, where
// nothing tells of it; jitter keeps the nodes of a cluster from looking all at
// once. Where there is much (crowd objects), and a look takes more than one part in
// idleShare of that, the next one waits for so many times as long, longInterval at
// most: an agent that has nothing to do leaves the processor to others.
const (
	interval     = 30 * time.Second
	jitter       = 5 * time.Second
	crowd        = 5000
	idleShare    = 200
	longInterval = 5 * time.Minute
)

// What changes seldom changes alone: a pass waits until nothing has come for
// quiet, but no longer than patience. After a pass that was for nothing (a
// program that is busy with its own rules, of which there may be very many) the
// next one waits for respite, or share times what the pass took, up to
// longRespite: such a program may end with a flush of ours, as firewalld's reload
// does, and on a slow host the pass before it took seconds.
const (
	quiet       = 100 * time.Millisecond
	patience    = 500 * time.Millisecond
	respite     = time.Second
	longRespite = 3 * time.Second
	share       = 10
)

// maxLogged is how many repairs of one pass are logged in a line each.
const maxLogged = 50

// Run repairs until ctx ends: when the watch sees that something may have
// changed, when an object that was held back may be tried again, and on the slow
// timer. Beside it the conditions are followed, which never wait for calm.
func (r *Reconciler) Run(ctx context.Context) {
	var conditions sync.WaitGroup
	conditions.Go(func() { r.followConditions(ctx) })
	defer conditions.Wait()
	var notBefore time.Time
	timer := time.NewTimer(r.untilNext())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			r.Repair(ctx)
			timer.Reset(r.untilNext())
			continue
		case <-r.again:
		case <-r.Watch.Wake():
		}
		if !r.calmDown(ctx, notBefore) {
			return
		}
		began := time.Now()
		looked, busy := r.lookIfPending(ctx)
		if !looked {
			continue
		}
		notBefore = time.Time{}
		if !busy {
			notBefore = time.Now().Add(min(max(respite, share*time.Since(began)), longRespite))
		}
		timer.Reset(r.untilNext())
	}
}

// signal wakes who waits for the channel, or who will.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// untilNext is the time until the next pass without an event.
func (r *Reconciler) untilNext() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait := interval
	if len(r.desired) > crowd {
		wait = min(max(wait, idleShare*r.lookTook), longInterval)
	}
	wait += rand.N(2*jitter) - jitter
	if at, ok := r.fights.next(time.Now()); ok {
		wait = min(wait, time.Until(at))
	}
	return wait
}

// calmDown waits for the end of a burst of changes; false when ctx ends.
func (r *Reconciler) calmDown(ctx context.Context, notBefore time.Time) bool {
	latest := time.NewTimer(max(patience, time.Until(notBefore)))
	defer latest.Stop()
	calm := time.NewTimer(max(quiet, time.Until(notBefore)))
	defer calm.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-latest.C:
			return true
		case <-calm.C:
			return true
		case <-r.Watch.Wake():
			calm.Reset(max(quiet, time.Until(notBefore)))
		}
	}
}

// lookIfPending looks unless another pass has seen meanwhile what there was.
func (r *Reconciler) lookIfPending(ctx context.Context) (looked, busy bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.Watch.Pending() && !r.overlooked {
		return false, false
	}
	return true, r.look(ctx)
}

// logRepairs writes one line per object that was mended, and what could not be:
// once, not in every pass (before holds the previous pass's refusals).
func (r *Reconciler) logRepairs(mended []state.Op, left plan, before map[state.Key]error) {
	for i, op := range mended {
		if i == maxLogged {
			r.Log.Warn("more repairs than are worth a line each", "all", len(mended))
			break
		}
		r.Log.Warn("repaired", "what", op.Object().String(), "was", op.Sentence())
	}
	r.logRefused("cannot repair", left, before)
}

// logRefused writes a line for what the kernel did not take, the first time.
func (r *Reconciler) logRefused(text string, left plan, before map[state.Key]error) {
	logged := 0
	for _, op := range left.ops {
		key := op.Object().Key()
		if err := r.refused[key]; err != nil && before[key] == nil && logged < maxLogged {
			logged++
			r.Log.Error(text, "op", op.String(), "error", err)
		}
	}
}
