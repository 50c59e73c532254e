// Package reconcile makes the kernel, and the agent's own files, what the record
// asks for and says what of it is not: observe → plan → apply → observe, until
// there is nothing left to do or it does not help.
//
// Four callers: a commit (Commit), one who asks for a repair (RepairObjects), the
// agent itself when something has changed or it is time (Run), and a reader who
// only wants to know (Status). They run one after the other; nobody else writes
// the kernel.
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

// Kernel is what a pass needs of package kernel.
type Kernel interface {
	Observe(ctx context.Context, scope kernel.Scope) (state.State, error)
	Apply(ctx context.Context, ops []state.Op) []kernel.OpError
}

// Watch is what kernel.Watch sees between passes.
type Watch interface {
	// Wake gets a value when something may have changed, Pending says whether
	// that is still news.
	Wake() <-chan struct{}
	Pending() bool
	// Cover says that an observation of the scope begins.
	Cover(scope kernel.Scope)
	// ChainsUntouched is false unless the chains are surely those of the last
	// observation of all.
	ChainsUntouched() bool
}

// File is a file of the agent's own that is mended like kernel state.
type File interface {
	// Check says how the file is, cheaply: its Fault is "" when it is right, or
	// when it is none of this agent's business at the moment.
	Check() state.OwnFile
	// Mend makes it right.
	Mend(ctx context.Context) error
}

// Options are what a Reconciler works with.
type Options struct {
	Kernel  Kernel
	Version state.KernelVersion
	Log     *slog.Logger
	// Watch may be nil: then what others break is found on the slow timer only.
	Watch Watch
	// Files are looked after once there is a record.
	Files []File
	// Memory outlives the process; the zero value keeps nothing.
	Memory Memory
}

// Reconciler keeps one host as its record asks. Until it is given a record
// (Resume, Commit) it leaves the host alone.
type Reconciler struct {
	Options

	mu      sync.Mutex // held for a whole pass
	rec     *mesh.Record
	node    string
	desired state.State
	applied uint64
	// marked is the record that Memory has as applied whole.
	marked *mesh.Record
	// chains are those that a full pass last found in the kernel as desired; nil
	// when the last one did not. While they are still the desired ones, and
	// nobody has touched them, a commit looks at traffic only.
	chains state.State
	// refused holds what the kernel said of objects it did not take.
	refused map[state.Key]error
	fights  fights
	repairs uint64
	// reported is what RepairReport has logged and is still so.
	reported map[mesh.Problem]bool
}

// New returns a Reconciler that has no record yet.
func New(o Options) *Reconciler {
	if o.Watch == nil {
		o.Watch = noWatch{}
	}
	return &Reconciler{Options: o, refused: map[state.Key]error{}, fights: fights{}, repairs: o.Memory.loadRepairs(o.Log)}
}

// noWatch never sees anything.
type noWatch struct{}

func (noWatch) Wake() <-chan struct{} { return nil }
func (noWatch) Pending() bool         { return false }
func (noWatch) Cover(kernel.Scope)    {}
func (noWatch) ChainsUntouched() bool { return false }

// Commit makes rec the one to keep to, as the named node, applies it, and
// returns what the kernel did not take: sorted, empty when all is as asked.
func (r *Reconciler) Commit(ctx context.Context, rec *mesh.Record, node string) []mesh.Problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keepTo(rec, node)
	scope := kernel.Full
	if r.chains != nil && maps.Equal(r.chains, only(r.desired, state.KindChain)) && r.Watch.ChainsUntouched() {
		scope = kernel.Traffic
	}
	out, err := r.pass(ctx, scope, everything)
	return r.settle(out.left, err)
}

// Resume takes up the record that was on disk when the agent started. It applies
// all of it, but for a cluster that wants to be told only (mesh.RepairReport): where
// exactly this record was whole before, on this boot, nothing is touched.
func (r *Reconciler) Resume(ctx context.Context, rec *mesh.Record, node string) []mesh.Problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keepTo(rec, node)
	last := r.Memory.loadMark(r.Log)
	if last.UID == rec.UID && last.Generation <= rec.Generation {
		r.applied = last.Generation
	}
	whole := last == markOf(rec, node)
	if whole {
		r.marked = rec
	}
	if whole && rec.Cluster.Repair == mesh.RepairReport {
		return r.report(ctx)
	}
	out, err := r.pass(ctx, kernel.Full, everything)
	if whole { // then what there was to do is what others have done meanwhile
		r.noteRepairs(out, nil)
	}
	return r.settle(out.left, err)
}

func (r *Reconciler) keepTo(rec *mesh.Record, node string) {
	r.rec, r.node = rec, node
	r.desired = compile.Compile(rec, node, r.Version, compile.Conditions{})
}

// Status observes, changes nothing, and returns what differs from the record and
// the last generation that was applied whole.
func (r *Reconciler) Status(ctx context.Context) (applied uint64, problems []mesh.Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rec == nil {
		return 0, nil
	}
	p, err := r.plan(ctx, kernel.Full)
	if err != nil {
		return r.applied, r.unread(err)
	}
	return r.applied, r.problems(p)
}

// Repairs is how many objects were mended because something else had broken
// them, since the agent was installed.
func (r *Reconciler) Repairs() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.repairs
}

// Clear removes everything of the mesh from the kernel and forgets the record.
// It returns how many objects there were; the error lists those that are left.
func (r *Reconciler) Clear(ctx context.Context) (removed int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rec, r.node, r.desired = nil, "", state.State{}
	out, err := r.pass(ctx, kernel.Full, everything)
	errs := []error{err}
	for _, op := range out.left.ops {
		errs = append(errs, fmt.Errorf("%s is still there: %w", op.Object(), r.refusal(op)))
	}
	return out.planned - len(out.left.ops), errors.Join(errs...)
}

func (r *Reconciler) refusal(op state.Op) error {
	return cmp.Or(r.refused[op.Object().Key()], errors.New("it came back after it was removed"))
}

// settle notes the end of a pass and puts what is left into words.
func (r *Reconciler) settle(left plan, err error) []mesh.Problem {
	if err != nil {
		r.Log.Error("cannot read the kernel's state", "error", err)
		return r.unread(err)
	}
	if len(left.ops) == 0 {
		r.applied = r.rec.Generation
		if r.marked != r.rec {
			r.Memory.saveMark(markOf(r.rec, r.node), r.Log)
			r.marked = r.rec
		}
	}
	return r.problems(left)
}
