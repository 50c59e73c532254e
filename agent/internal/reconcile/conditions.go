package reconcile

import (
	"context"
	"maps"
	"net/netip"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/health"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Health is what health.Checker knows of endpoints.
type Health interface {
	// Keep says from which record's services, and as which node, to check; nil
	// and "" for nothing.
	Keep(rec *mesh.Record, node string)
	// Failing are the checks that fail now, Results what all of them have come to.
	Failing() map[compile.Check]bool
	Results() map[compile.Check]health.Result
	// Changed gets a value when Failing may have changed.
	Changed() <-chan struct{}
}

// noHealth checks nobody.
type noHealth struct{}

func (noHealth) Keep(*mesh.Record, string)                {}
func (noHealth) Failing() map[compile.Check]bool          { return nil }
func (noHealth) Results() map[compile.Check]health.Result { return nil }
func (noHealth) Changed() <-chan struct{}                 { return nil }

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
		due = r.nextTick(due)
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
		case <-r.Health.Changed():
			if !sleep(ctx, gather) {
				return
			}
			r.verdicts(ctx)
		}
	}
}

// nextTick is when there is something to count or to try again; what else happens
// does not put off one that is due.
func (r *Reconciler) nextTick(due time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait := never
	if r.rec != nil && len(r.drains) > 0 {
		wait = drainTick
	}
	if r.track.pending.retry > 0 {
		wait = min(wait, r.track.pending.retry)
	}
	at := time.Now().Add(wait)
	switch {
	case wait == never:
		return time.Time{}
	case due.IsZero() || at.Before(due):
		return at
	}
	return due
}

// sleep returns false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// verdicts is a pass for what the checks say now.
func (r *Reconciler) verdicts(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.Health.Changed(): // said while the others were waited for
	default:
	}
	if r.rec != nil && !maps.Equal(failing(r.Health), r.conditions.Unhealthy) {
		r.applyConditions(ctx)
	}
}

// failing leaves out what is false, so that two of them can be compared.
func failing(h Health) map[compile.Check]bool {
	checks := maps.Clone(h.Failing())
	maps.DeleteFunc(checks, func(_ compile.Check, fails bool) bool { return !fails })
	return checks
}

// recompile makes the desired state of the record and the conditions of the moment.
func (r *Reconciler) recompile() compile.Change {
	was := r.conditions
	r.conditions = compile.Conditions{Unhealthy: failing(r.Health), Draining: r.drains.byPort()}
	change := r.compiled.Follow(r.rec, r.node, r.Version, r.conditions)
	r.desired = r.compiled.State
	r.logVerdicts(was)
	return change
}

// applyConditions writes what new conditions change of the desired state, and nothing
// else: what others have broken is for a repair, which has its own rules and is counted.
func (r *Reconciler) applyConditions(ctx context.Context) {
	change := r.recompile()
	r.track.pending.add(change.Before, change.After)
	if len(r.track.pending.keys) > 0 {
		look := sight{scope: kernel.Traffic}
		if r.alone(&change) {
			look.part = &change
		}
		r.writePending(ctx, look, r.isPending)
	}
	r.publish()
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
		r.saveDrains()
		return
	}
	if r.track.pending.retry > 0 {
		r.writePending(ctx, sight{scope: kernel.Traffic}, r.isPending)
	}
}

// forgetConditions is for a host that is left.
func (r *Reconciler) forgetConditions() {
	r.Health.Keep(nil, "")
	r.conditions, r.kept = compile.Conditions{}, nil
	r.drains, r.announced = nil, announcement{}
	r.track.pending.clear()
	r.saveDrains()
}

// Conditions is what the kernel was last brought under. It does not wait for a
// pass that is under way.
func (r *Reconciler) Conditions() compile.Conditions { return r.view.Load().conditions }

// byPort is what compile needs of the drains, sorted.
func (d drains) byPort() map[mesh.PortKey][]netip.AddrPort {
	if len(d) == 0 {
		return nil
	}
	ports := map[mesh.PortKey][]netip.AddrPort{}
	for _, one := range d.sorted() {
		ports[one.Port] = append(ports[one.Port], one.Address)
	}
	return ports
}
