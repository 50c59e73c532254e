package reconcile

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Repair looks at everything and repairs what others have broken, or only reports
// it, as the record wants. Without a record it does nothing.
func (r *Reconciler) Repair(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resync(ctx)
}

// resync is Repair with the lock held; busy says that it had something to do.
func (r *Reconciler) resync(ctx context.Context) (busy bool) {
	defer r.publish()
	r.track.resyncDue = false
	switch {
	case r.rec == nil:
		return false
	case r.conditions.forwards(r.Kernel):
		r.applyConditions(ctx)
	}
	if r.rec.Cluster.Repair == mesh.RepairReport {
		r.report(ctx)
		return false
	}
	r.track.quarantine.flushed(r.Firewall.Flushes())
	before := maps.Clone(r.track.refused)
	held := func(p plan, op state.Op) bool { return r.track.quarantine.held(p.cause(op).Object().Key(), time.Now()) }
	out, err := r.pass(ctx, r.wholeSight(r.Watch.ChainsCertain), func(p plan, op state.Op) bool { return !held(p, op) })
	r.noteRepairs(out, before)
	r.settle(out.left, err)
	return len(out.done) > 0
}

// noteRepairs counts, logs, and sees who keeps undoing it.
func (r *Reconciler) noteRepairs(out outcome, before refusals) {
	tried, repaired := r.track.repairsOf(out)
	r.repairs.note(repaired)
	r.track.refused.log(r.Log, "cannot repair", out.left, before)
	for _, op := range r.track.quarantine.note(tried, out.left, time.Now()) {
		r.Log.Warn("something on this host keeps undoing a repair; it is tried less and less often", "what", op.Object().String(), "detail", undone(op))
	}
}

// RepairObjects repairs what is wrong with the objects, or everything when there
// are none, whatever the record says of repairs and however often it was tried.
// What is missing because something else is missing belongs to that one's object.
// It returns what is still wrong with them.
func (r *Reconciler) RepairObjects(ctx context.Context, objects []mesh.Ref) []mesh.Problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rec == nil {
		return nil
	}
	want := everything
	if len(objects) > 0 {
		want = r.of(objects)
	}
	defer r.publish()
	out, err := r.pass(ctx, sight{}, want)
	for _, op := range out.done {
		r.Log.Info("repaired as asked", "what", op.Object().String(), "was", op.Sentence())
	}
	problems := r.settle(out.left, err)
	if len(objects) == 0 || err != nil {
		return problems
	}
	return slices.DeleteFunc(problems, func(p mesh.Problem) bool { return !r.asked(objects, p.Object) })
}

// asked says whether an object is one of those. What the record does not have (any
// more) is nobody's but the node's, or for a host that is none the cluster's.
func (r *Reconciler) asked(objects []mesh.Ref, o mesh.Ref) bool {
	return slices.Contains(objects, o) || !r.rec.Has(o) && slices.Contains(objects, compile.Self(r.node))
}

// of wants the ops whose cause is one of the objects', and what is found missing
// because one of those was made anew.
func (r *Reconciler) of(objects []mesh.Ref) wanted {
	mine := map[state.Key]bool{}
	return func(p plan, op state.Op) bool {
		owner := compile.Owner(r.rec, r.node, p.cause(op).Object())
		if !r.asked(objects, owner) && !hangsOn(op.Object(), r.desired.State, mine) {
			return false
		}
		mine[op.Object().Key()] = true
		return true
	}
}
