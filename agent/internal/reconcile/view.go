package reconcile

import (
	"context"
	"strings"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Stats are a Reconciler's own numbers, as the last pass left them.
type Stats struct {
	// Generation is that of the record, Applied the last one that the kernel had
	// whole; 0 for none. While a commit is applied both are still as before it.
	Generation, Applied uint64
	// Repairs is what Repairs returns.
	Repairs uint64
	// Problems is how many the last look at the kernel has found.
	Problems int
	// Broken is the first sentence of what the last look has found missing or other
	// than it must be and that concerns all of the node's traffic; "" for nothing. A
	// port that is not as asked is no such thing: the others are served.
	Broken string
	// LastApply is how long the last commit took to reach the kernel, and
	// LastApplyAt when it had; zero before the first one of this process.
	LastApply   time.Duration
	LastApplyAt time.Time
}

// Stats does not wait for a pass that is under way.
func (r *Reconciler) Stats() Stats { return r.view.Load().stats }

// Conditions is what the kernel was last brought under. It does not wait for a
// pass that is under way.
func (r *Reconciler) Conditions() compile.Conditions { return r.view.Load().conditions }

// Draining is how many destinations drain on this node.
func (r *Reconciler) Draining() int { return len(r.view.Load().drains) }

// Drains lists what drains on this node, and counts what connections it has and
// how many come in through this node. It does not wait for a pass that is under way.
func (r *Reconciler) Drains(ctx context.Context) (*mesh.Drains, error) {
	loads, err := r.Kernel.Loads(ctx)
	if err != nil {
		return nil, err
	}
	answer := &mesh.Drains{Drains: []mesh.Drain{}}
	for _, load := range loads {
		answer.Entering += int(load.Active)
	}
	for _, d := range r.view.Load().drains {
		load := loads[d.realServer]
		answer.Drains = append(answer.Drains, mesh.Drain{
			Port: d.Port, VIP: d.VIP, Service: d.Service, Endpoint: d.Endpoint, Node: d.Node, Address: d.Address,
			Active: load.Active, Inactive: load.Inactive, RemainingMillis: max(0, time.Until(d.Deadline)).Milliseconds(),
		})
	}
	return answer, nil
}

// view is what a reader may have without waiting for a pass. It is never changed,
// but replaced by publish.
type view struct {
	stats      Stats
	conditions compile.Conditions
	drains     []drainInKernel
}

// drainInKernel is a drain that can still be found in the kernel when the record is
// another one.
type drainInKernel struct {
	drain
	realServer state.Key
}

// broken is Stats.Broken of what is left to do.
func (r *Reconciler) broken(left plan) string {
	for _, op := range left.ops { // what holds the others comes first
		o := op.Object()
		switch {
		case op.Action == state.Remove, servesWithout(o):
		case onItsOwn(left, op) && compile.Owner(r.rec, r.node, o) == compile.Self(r.node):
			return op.Sentence()
		}
	}
	return ""
}

// servesWithout says that a node serves all the same without the object: its own files,
// and for how long idle connections are kept.
func servesWithout(o state.Object) bool {
	if s, ok := o.(state.Sysctl); ok {
		return strings.HasPrefix(s.Name, state.ConntrackPrefix)
	}
	kind := o.Key().Kind
	return kind == state.KindOwnFile || kind == state.KindTimeouts
}

// blind notes a kernel that cannot be read, and puts that into words.
func (r *Reconciler) blind(err error) []mesh.Problem {
	problems := r.unread(err)
	r.stats.Problems, r.stats.Broken = len(problems), problems[0].Text
	return problems
}

// publish shows what a pass has made.
func (r *Reconciler) publish() {
	v := view{stats: r.stats, conditions: r.conditions.now}
	v.stats.Applied, v.stats.Repairs = r.applied.generation, r.repairs.count
	if r.rec != nil {
		v.stats.Generation = r.rec.Generation
		for _, d := range r.drains.now.sorted() {
			v.drains = append(v.drains, drainInKernel{d, d.realServer(r.rec, r.node)})
		}
	}
	r.view.Store(&v)
	r.Names.Follow(r.rec, r.node, r.conditions.now)
}
