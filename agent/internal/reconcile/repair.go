package reconcile

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
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
	r.track.missed = false
	switch {
	case r.rec == nil:
		return false
	case r.rec.Cluster.Repair == mesh.RepairReport:
		r.report(ctx)
		return false
	}
	if n := r.Firewall.Flushes(); n != r.flushes {
		clear(r.track.quarantine)
		r.flushes = n
	}
	before := maps.Clone(r.track.refused)
	held := func(p plan, op state.Op) bool { return r.track.quarantine.held(p.cause(op).Object().Key(), time.Now()) }
	out, err := r.pass(ctx, r.wholeSight(r.Watch.ChainsCertain), func(p plan, op state.Op) bool { return !held(p, op) })
	r.noteRepairs(out, before)
	r.settle(out.left, err)
	return len(out.done) > 0
}

// noteRepairs counts, logs, and sees who keeps undoing it.
func (r *Reconciler) noteRepairs(out outcome, before map[state.Key]error) {
	done := slices.DeleteFunc(slices.Clone(out.done), func(op state.Op) bool { return r.track.pending.keys[op.Object().Key()] }) // nobody has broken that
	repaired := slices.DeleteFunc(slices.Clone(done), func(op state.Op) bool { return out.left.has(op.Object().Key()) })
	r.logRepairs(repaired, out.left, before)
	if len(repaired) > 0 {
		r.repairs += uint64(len(repaired))
		r.Memory.saveRepairs(r.repairs, r.Log)
	}
	for _, op := range r.track.quarantine.note(done, out.left, time.Now()) {
		r.Log.Warn("something on this host keeps undoing a repair; it is tried less and less often", "what", op.Object().String(), "detail", undone(op))
	}
}

// report looks at everything, changes nothing, and logs each problem when it
// appears and when it is over.
func (r *Reconciler) report(ctx context.Context) []mesh.Problem {
	r.Watch.Cover(kernel.Full)
	p, err := r.plan(ctx, sight{})
	var problems []mesh.Problem
	if err == nil {
		r.track.noteChains(p.ops, r.desired)
		problems = r.looked(p, r.problems(p))
	} else {
		r.track.lose()
		problems = r.blind(err)
	}
	reported := map[mesh.Problem]bool{}
	for _, problem := range problems {
		reported[problem] = true
		if !r.reported[problem] {
			r.Log.Warn("not as the record asks, and left so (repair is report)", "object", problem.Object.String(), "problem", problem.Text)
		}
	}
	for problem := range r.reported {
		if !reported[problem] {
			r.Log.Info("no longer so", "object", problem.Object.String(), "problem", problem.Text)
		}
	}
	r.reported = reported
	return problems
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
		if !r.asked(objects, owner) && !hangsOn(op.Object(), r.desired, mine) {
			return false
		}
		mine[op.Object().Key()] = true
		return true
	}
}
