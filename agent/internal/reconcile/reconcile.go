// Package reconcile makes the kernel what the record asks for and says what of
// it is not: observe → plan → apply → observe, until there is nothing left to
// do or it does not help.
//
// Three callers: a commit (Commit), the slow timer that repairs what something
// else has broken (Run, Repair), and a reader who only wants to know (Status).
// They run one after the other; nobody else writes the kernel.
package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// maxRounds bounds one pass. The first round does the work; a second makes
// again what a link made anew took with it; the third is for what raced with
// somebody else's change.
const maxRounds = 3

// Kernel is what a pass needs of package kernel.
type Kernel interface {
	Observe(ctx context.Context, scope kernel.Scope) (state.State, error)
	Apply(ctx context.Context, ops []state.Op) []kernel.OpError
}

// Reconciler keeps one host's kernel as its record asks. Until it is given a
// record (Commit) it leaves the kernel alone.
type Reconciler struct {
	kernel  Kernel
	version state.KernelVersion
	log     *slog.Logger

	mu      sync.Mutex // held for a whole pass
	rec     *mesh.Record
	node    string
	desired state.State
	applied uint64
	// chains are those that a full pass last found in the kernel as desired; nil
	// when the last one did not. While they are still the desired ones, a commit
	// looks at traffic only.
	chains state.State
	// refused holds what the kernel said of objects it did not take.
	refused map[state.Key]error
}

// New returns a Reconciler that has no record yet.
func New(k Kernel, v state.KernelVersion, log *slog.Logger) *Reconciler {
	return &Reconciler{kernel: k, version: v, log: log, refused: map[state.Key]error{}}
}

// Commit makes rec the one to keep to, as the named node, applies it, and
// returns what the kernel did not take: sorted, empty when all is as asked.
func (r *Reconciler) Commit(ctx context.Context, rec *mesh.Record, node string) []mesh.Problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rec, r.node = rec, node
	r.desired = compile.Compile(rec, node, r.version)
	scope := kernel.Full
	if r.chains != nil && maps.Equal(r.chains, only(r.desired, state.KindChain)) {
		scope = kernel.Traffic
	}
	left, _, err := r.pass(ctx, scope)
	return r.settle(left, err)
}

// Repair does a full pass and logs what it had to do. Without a record it does
// nothing.
func (r *Reconciler) Repair(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rec == nil {
		return
	}
	before := maps.Clone(r.refused)
	left, done, err := r.pass(ctx, kernel.Full)
	r.logRepairs(done, before)
	r.settle(left, err)
}

// Status observes the kernel, changes nothing, and returns what differs from
// the record and the last generation that reached the kernel whole.
func (r *Reconciler) Status(ctx context.Context) (applied uint64, problems []mesh.Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rec == nil {
		return 0, nil
	}
	observed, err := r.kernel.Observe(ctx, kernel.Full)
	if err != nil {
		return r.applied, r.unread(err)
	}
	return r.applied, r.problems(state.Plan(r.desired, observed))
}

// Clear removes everything of the mesh from the kernel and forgets the record.
// It returns how many objects there were; the error lists those that are left.
func (r *Reconciler) Clear(ctx context.Context) (removed int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rec, r.node, r.desired = nil, "", state.State{}
	left, first, err := r.pass(ctx, kernel.Full)
	errs := []error{err}
	for _, op := range left {
		errs = append(errs, fmt.Errorf("%s is still there: %w", op.Object(), r.refusal(op)))
	}
	return len(first) - len(left), errors.Join(errs...)
}

func (r *Reconciler) refusal(op state.Op) error {
	return cmp.Or(r.refused[op.Object().Key()], errors.New("it came back after it was removed"))
}

// pass brings the kernel to the desired state. It returns the plan that is left
// (empty when in sync), the ops of the first round, and an error when the
// kernel could not be read.
func (r *Reconciler) pass(ctx context.Context, scope kernel.Scope) (left, first []state.Op, err error) {
	desired := r.desired
	if scope == kernel.Traffic {
		desired = without(desired, state.KindChain)
	}
	clear(r.refused)
	for round := 0; ; round++ {
		observed, err := r.kernel.Observe(ctx, scope)
		if err != nil {
			r.chains = nil
			return nil, first, err
		}
		ops := state.Plan(desired, observed)
		if round == 0 {
			first = ops
		}
		if scope == kernel.Full {
			r.noteChains(ops)
		}
		if len(ops) == 0 || round == maxRounds {
			return ops, first, nil
		}
		clear(r.refused) // what counts is what the last try said
		for _, failed := range r.kernel.Apply(ctx, goesAlone(ops)) {
			r.refused[failed.Op.Object().Key()] = failed.Err
		}
	}
}

// noteChains remembers whether the kernel has the desired chains, by a plan
// that was made with them.
func (r *Reconciler) noteChains(ops []state.Op) {
	r.chains = nil
	for _, op := range ops {
		if op.Object().Key().Kind == state.KindChain {
			return
		}
	}
	r.chains = only(r.desired, state.KindChain)
}

// settle notes the end of a pass and puts what is left into words.
func (r *Reconciler) settle(left []state.Op, err error) []mesh.Problem {
	if err != nil {
		r.log.Error("cannot read the kernel's state", "error", err)
		return r.unread(err)
	}
	if len(left) == 0 {
		r.applied = r.rec.Generation
	}
	return r.problems(left)
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
		if op.Action != state.Remove || key.NS != state.Mesh || key.Kind == state.KindLink {
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

func without(s state.State, kind state.Kind) state.State {
	part := maps.Clone(s)
	maps.DeleteFunc(part, func(k state.Key, _ state.Object) bool { return k.Kind == kind })
	return part
}
