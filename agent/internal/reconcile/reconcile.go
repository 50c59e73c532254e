// Package reconcile makes the kernel, and the agent's own files, what the record
// asks for and says what of it is not: observe → plan → apply → observe, until
// there is nothing left to do or it does not help.
//
// Four callers: a commit (Commit), one who asks for a repair (RepairObjects), the
// agent itself when something has changed or it is time (Run), and a reader who
// only wants to know (Status). They run one after the other; nobody else writes
// the kernel.
//
// The desired state is the record's under the conditions of the moment: which
// checks fail, what drains. A change of conditions is a pass of its own, which
// touches nothing else (follow.go).
package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Reconciler keeps one host as its record asks. Until it is given a record
// (Resume, Commit) it leaves the host alone.
type Reconciler struct {
	Options

	mu   sync.Mutex // held for a whole pass
	rec  *mesh.Record
	node string
	// desired is what rec asks of the kernel of node, under the conditions; track is how
	// the kernel stands beside it.
	desired    compile.Desired
	track      tracker
	conditions conditions
	drains     drains

	applied    applied
	repairs    repairs
	reported   reported
	resyncTook time.Duration // the last time that all of the kernel was observed
	stats      Stats         // but for what publish fills in

	view atomic.Pointer[view]
	// again wakes Run, begun followConditions: something is there to be timed.
	again, begun chan struct{}
}

// New returns a Reconciler that has no record yet.
func New(o Options) *Reconciler {
	if o.Watch == nil {
		o.Watch = noWatch{}
	}
	if o.Health == nil {
		o.Health = noHealth{}
	}
	if o.Slots == nil {
		o.Slots = noSlots{}
	}
	if o.Names == nil {
		o.Names = noNames{}
	}
	if o.Firewall == nil {
		o.Firewall = noFirewall{}
	}
	if o.HostsFile == nil {
		o.HostsFile = nobody{}
	}
	o.Files = append(slices.Clip(o.Files), o.Firewall, o.HostsFile)
	if o.Hash == nil {
		o.Hash = (*mesh.Record).Hash
	}
	r := &Reconciler{
		Options: o, track: newTracker(),
		conditions: conditions{health: o.Health, slots: o.Slots, log: o.Log}, drains: newDrains(o.Drains, o.Log),
		applied: applied{path: o.Memory.Applied, hash: o.Hash, log: o.Log}, repairs: newRepairs(o.Memory.Repairs, o.Log),
		again: make(chan struct{}, 1), begun: make(chan struct{}, 1),
	}
	r.view.Store(&view{stats: Stats{Repairs: r.repairs.count}})
	return r
}

// Commit makes rec, which Announce was told of, the one to keep to, as the named
// node, applies it under the conditions of the moment, and returns what the kernel
// did not take: sorted, empty when all is as asked.
func (r *Reconciler) Commit(ctx context.Context, rec *mesh.Record, node string) []mesh.Problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.publish()
	began := time.Now()
	out, err := r.bring(ctx, r.keepTo(rec, node))
	r.stats.LastApplyAt = time.Now()
	r.stats.LastApply = r.stats.LastApplyAt.Sub(began)
	return r.settle(out.left, err)
}

// Resume takes up the record that was on disk when the agent started. It applies
// all of it, but for a cluster that wants to be told only (mesh.RepairReport): where
// exactly this record was whole before, on this boot, nothing is touched but what
// checks and drains decide.
func (r *Reconciler) Resume(ctx context.Context, rec *mesh.Record, node string) []mesh.Problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keepTo(rec, node)
	r.Names.Follow(rec, node, r.conditions.now) // queries wait, and names are those of before
	whole := r.applied.resume(rec, node)
	defer r.publish()
	if whole {
		r.publish()
		r.resumeConditions(ctx)
	}
	if whole && rec.Cluster.Repair == mesh.RepairReport {
		return r.report(ctx)
	}
	out, err := r.pass(ctx, sight{}, everything)
	if whole { // then what there was to do is what others have done meanwhile
		r.noteRepairs(out, nil)
	}
	return r.settle(out.left, err)
}

// keepTo makes the desired state that of rec, and begins the drains that come of it.
func (r *Reconciler) keepTo(rec *mesh.Record, node string) compile.Change {
	r.drains.begin(rec, func() drainSet { return r.drainsUnder(rec, node) })
	r.rec, r.node = rec, node
	r.Health.Keep(rec, node)
	r.Slots.Keep(rec, node)
	r.Firewall.Keep(rec, node)
	r.HostsFile.Keep(rec, node)
	if !r.conditions.looked {
		r.conditions.forwards(r.Kernel)
	}
	change := r.recompile()
	signal(r.begun)
	return change
}

// Status observes, changes nothing, and returns what differs from the record and
// the last generation that was applied whole.
func (r *Reconciler) Status(ctx context.Context) (applied uint64, problems []mesh.Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rec == nil {
		return 0, nil
	}
	p, err := r.plan(ctx, r.wholeSight(r.Watch.ChainsCertain))
	if err != nil {
		return r.applied.generation, r.unread(err)
	}
	return r.applied.generation, r.problems(p)
}

// Repairs is how many objects were repaired because something else had broken
// them, since the agent was installed.
func (r *Reconciler) Repairs() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.repairs.count
}

// Clear removes everything of the mesh from the kernel and forgets the record.
// It returns how many objects there were; the error lists those that are left.
func (r *Reconciler) Clear(ctx context.Context) (removed int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.publish()
	r.rec, r.node, r.desired, r.track.inSync = nil, "", compile.Desired{}, false
	r.Health.Keep(nil, "")
	r.Slots.Keep(nil, "")
	r.conditions.forget()
	r.drains.forget()
	r.track.pending.clear()
	told, notTold := r.Firewall.Leave(ctx)
	written, notWritten := r.HostsFile.Leave(ctx)
	out, err := r.pass(ctx, sight{}, everything)
	errs := []error{notTold, notWritten, err}
	for _, op := range out.left.ops {
		errs = append(errs, fmt.Errorf("%s is still there: %w", op.Object(), r.refusal(op)))
	}
	return told + written + out.planned - len(out.left.ops), errors.Join(errs...)
}

func (r *Reconciler) refusal(op state.Op) error {
	return cmp.Or(r.track.refused[op.Object().Key()], errors.New("it came back after it was removed"))
}

// settle notes the end of a pass and puts what is left into words.
func (r *Reconciler) settle(left plan, err error) []mesh.Problem {
	if err != nil {
		r.Log.Error("cannot read the kernel's state", "error", err)
		return r.blind(err)
	}
	if len(left.ops) == 0 {
		r.applied.note(r.rec, r.node)
	}
	return r.looked(left, r.problems(left))
}

// looked notes what an observation has found, or a pass left, to which everything
// was a matter.
func (r *Reconciler) looked(left plan, problems []mesh.Problem) []mesh.Problem {
	r.stats.Problems, r.stats.Broken = len(problems), r.broken(left)
	r.track.resynced(left)
	return problems
}
