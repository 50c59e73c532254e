package reconcile

import (
	"context"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// maxRounds bounds one pass. The first round does the work; a second makes
// again what a link made anew took with it; the third is for what raced with
// somebody else's change.
const maxRounds = 3

// outcome is what a pass did.
type outcome struct {
	// left is the plan after it, empty when in sync.
	left plan
	// planned is how many ops the first plan had.
	planned int
	// done are the ops that were applied without an error, each object's first
	// one, in their order.
	done []state.Op
	// others says that somebody else may have written at the same time as a pass
	// that looked at a part only.
	others bool
}

// wanted says which ops of a plan a pass shall do.
type wanted func(p plan, op state.Op) bool

func everything(plan, state.Op) bool { return true }

// sight is how much of the kernel a pass looks at.
type sight struct {
	scope kernel.Scope
	// part is all that is looked at, and counts as the desired state; nil for all
	// that is in the scope.
	part *compile.Change
}

// pass brings the host to the desired state, as far as wanted. The error says
// that the kernel could not be read.
func (r *Reconciler) pass(ctx context.Context, s sight, want wanted) (out outcome, err error) {
	done := map[state.Key]bool{}
	for round := 0; ; round++ {
		if s.part == nil {
			r.Watch.Cover(s.scope)
		}
		p, err := r.plan(ctx, s)
		if err != nil {
			r.track.lose()
			return out, err
		}
		if s.part == nil && s.scope == kernel.Full {
			r.track.noteChains(p.ops, r.desired.State)
		}
		if s.part == nil && (s.scope == kernel.Full || r.track.chains != nil) {
			r.track.refused.forget(p)
		}
		todo := p.only(want)
		if round == 0 {
			out.planned = len(p.ops)
		}
		out.left = p
		if len(todo) == 0 || round == maxRounds {
			return out, nil
		}
		r.apply(ctx, todo)
		var succeeded []state.Op
		for _, op := range todo {
			if key := op.Object().Key(); r.track.refused[key] == nil {
				succeeded = append(succeeded, op)
				if !done[key] {
					done[key] = true
					out.done = append(out.done, op)
				}
			}
		}
		if s.part != nil && !r.Watch.Own(succeeded) {
			out.others = true
		}
	}
}

// plan observes and compares.
func (r *Reconciler) plan(ctx context.Context, s sight) (plan, error) {
	var ops []state.Op
	var err error
	if s.part == nil {
		began := time.Now()
		ops, err = r.Kernel.Differences(ctx, s.scope, r.desired.State)
		r.resyncTook = time.Since(began)
	} else {
		var there state.State
		there, err = r.Kernel.ObservePart(ctx, s.part.Touched())
		ops = state.Plan(s.part.After, there)
	}
	if err != nil {
		return plan{}, err
	}
	if r.rec != nil {
		ops = append(ops, r.planFiles()...)
	}
	return newPlan(ops), nil
}

func (r *Reconciler) planFiles() (ops []state.Op) {
	for _, f := range r.Files {
		if have := f.Check(); have.Fault != "" {
			ops = append(ops, state.Op{Action: state.Change, Old: have, New: state.OwnFile{What: have.What, Path: have.Path}})
		}
	}
	return ops
}

// apply does ops and notes what each said. What counts is the last try.
func (r *Reconciler) apply(ctx context.Context, ops []state.Op) {
	var kernelOps []state.Op
	for _, op := range ops {
		delete(r.track.refused, op.Object().Key())
		if op.Object().Key().Kind != state.KindOwnFile {
			kernelOps = append(kernelOps, op)
		}
	}
	for _, failed := range r.Kernel.Apply(ctx, goesAlone(kernelOps)) {
		r.track.refused[failed.Op.Object().Key()] = failed.Err
	}
	for _, op := range ops {
		if key := op.Object().Key(); key.Kind == state.KindOwnFile {
			if err := r.repairFile(ctx, key.Name); err != nil {
				r.track.refused[key] = err
			}
		}
	}
}

func (r *Reconciler) repairFile(ctx context.Context, path string) error {
	for _, f := range r.Files {
		if f.Check().Path == path {
			return f.Repair(ctx)
		}
	}
	return nil
}

// goesAlone drops the removals that the removal of the namespace does anyway.
// The overlay device is removed by name all the same: a namespace is taken down
// in the background, and the device would hold its VNI for a while.
func goesAlone(ops []state.Op) []state.Op {
	leaving := false
	for _, op := range ops {
		leaving = leaving || op.Action == state.Remove && op.Old.Key().Kind == state.KindNamespace
	}
	if !leaving {
		return ops
	}
	var kept []state.Op
	for _, op := range ops {
		key := op.Object().Key()
		if op.Action != state.Remove || key.NS != state.Mesh || key.Kind.IsLink() {
			kept = append(kept, op)
		}
	}
	return kept
}

func only(s state.State, kind state.Kind) state.State {
	part := state.State{}
	for k, o := range s {
		if k.Kind == kind {
			part[k] = o
		}
	}
	return part
}
