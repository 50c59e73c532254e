package reconcile

import (
	"context"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/wait"
)

const (
	// gather is for how long changes of verdicts are collected for one pass.
	gather = 100 * time.Millisecond
	// never is longer than an agent lives.
	never = 100 * 365 * 24 * time.Hour
)

// followConditions keeps the kernel under the conditions of the moment until ctx
// ends. It is woken by verdicts, and by its timer only while something drains or
// is pending.
func (r *Reconciler) followConditions(ctx context.Context) {
	timer := time.NewTimer(never)
	defer timer.Stop()
	var due time.Time // of the next tick; zero for none
	for {
		due = earlier(due, r.untilTick())
		if due.IsZero() {
			timer.Reset(never)
		} else {
			timer.Reset(time.Until(due))
		}
		select {
		case <-ctx.Done():
			return
		case <-r.begun:
		case <-timer.C:
			r.tick(ctx)
			due = time.Time{}
		case <-r.Slots.Changed():
			r.verdicts(ctx)
		case <-r.Health.Changed():
			if !wait.For(ctx, gather) {
				return
			}
			r.verdicts(ctx)
		}
	}
}

// untilTick is for how long there is nothing to count and nothing to try again.
func (r *Reconciler) untilTick() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	calm := never
	if r.rec != nil && len(r.drains.now) > 0 {
		calm = drainTick
	}
	if r.track.pending.retry > 0 {
		calm = min(calm, r.track.pending.retry)
	}
	return calm
}

// earlier is when the next tick is due, zero for never: what else happens does not put
// off one that is due already.
func earlier(due time.Time, calm time.Duration) time.Time {
	at := time.Now().Add(calm)
	switch {
	case calm == never:
		return time.Time{}
	case due.IsZero() || at.Before(due):
		return at
	}
	return due
}

// verdicts is a pass for what checks and slots say now.
func (r *Reconciler) verdicts(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rec != nil && r.conditions.outdated() {
		r.applyConditions(ctx)
	}
}

// tick ends drains that are over, and tries again what is pending.
func (r *Reconciler) tick(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rec == nil {
		return
	}
	if r.endDrains(ctx) {
		r.applyConditions(ctx)
		r.drains.save()
		return
	}
	if r.track.pending.retry > 0 {
		r.writePending(ctx, sight{scope: r.track.pending.scope()}, r.isPending)
	}
}

// endDrains says whether a drain has ended.
func (r *Reconciler) endDrains(ctx context.Context) bool {
	if len(r.drains.now) == 0 {
		return false
	}
	loads, err := r.Kernel.Loads(ctx)
	return r.drains.end(func(d drain) (kernel.Load, bool) {
		load, there := loads[d.realServer(r.rec, r.node)]
		return load, there
	}, err, time.Now())
}

// applyConditions writes what new conditions change of the desired state, and nothing
// else: what others have broken is for a repair, which has its own rules and is counted.
func (r *Reconciler) applyConditions(ctx context.Context) {
	change := r.recompile()
	r.track.pending.add(change.Before, change.After)
	if len(r.track.pending.keys) > 0 {
		look := sight{scope: r.track.pending.scope()}
		if r.alone(&change) {
			look.part = &change
		}
		r.writePending(ctx, look, r.isPending)
	}
	r.publish()
}

// recompile makes the desired state of the record and the conditions of the moment.
func (r *Reconciler) recompile() compile.Change {
	r.conditions.update(r.rec, r.node, r.drains.now.byFrontend())
	return r.desired.Follow(r.rec, r.node, r.Version, r.conditions.now)
}
