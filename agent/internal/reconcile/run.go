package reconcile

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// interval is how long at most something stays broken that no event tells of; jitter keeps
// the nodes of a cluster from resyncing at the same time. With more than manyObjects
// objects, and where a resync takes more than one part in idleFactor of the interval, the
// next one waits for idleFactor times as long as it took, at most longInterval: an idle
// agent leaves the processor to others.
const (
	interval     = 30 * time.Second
	jitter       = 5 * time.Second
	manyObjects  = 5000
	idleFactor   = 200
	longInterval = 5 * time.Minute
)

// Changes come in bursts: a resync waits until there was none for debounce, at most for
// maxDebounce. After a resync that found nothing to do (another program changes its own
// rules, of which there may be very many), the next one waits for cooldown, or for
// cooldownFactor times as long as the last one took, at most maxCooldown: such a program
// may end by flushing ours, as firewalld's reload does.
const (
	debounce       = 100 * time.Millisecond
	maxDebounce    = 500 * time.Millisecond
	cooldown       = time.Second
	maxCooldown    = 3 * time.Second
	cooldownFactor = 10
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
		if !r.awaitCalm(ctx, notBefore) {
			return
		}
		began := time.Now()
		looked, busy := r.resyncIfPending(ctx)
		if !looked {
			continue
		}
		notBefore = time.Time{}
		if !busy {
			notBefore = time.Now().Add(min(max(cooldown, cooldownFactor*time.Since(began)), maxCooldown))
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
	if len(r.desired.State) > manyObjects {
		wait = min(max(wait, idleFactor*r.resyncTook), longInterval)
	}
	wait += rand.N(2*jitter) - jitter
	if at, ok := r.track.quarantine.next(time.Now()); ok {
		wait = min(wait, time.Until(at))
	}
	return wait
}

// awaitCalm waits for the end of a burst of changes; false when ctx ends.
func (r *Reconciler) awaitCalm(ctx context.Context, notBefore time.Time) bool {
	latest := time.NewTimer(max(maxDebounce, time.Until(notBefore)))
	defer latest.Stop()
	calm := time.NewTimer(max(debounce, time.Until(notBefore)))
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
			calm.Reset(max(debounce, time.Until(notBefore)))
		}
	}
}

// resyncIfPending resyncs unless another pass has meanwhile seen what there was.
func (r *Reconciler) resyncIfPending(ctx context.Context) (looked, busy bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.Watch.Pending() && !r.track.resyncDue {
		return false, false
	}
	return true, r.resync(ctx)
}
