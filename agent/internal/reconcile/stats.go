package reconcile

import (
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
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
	// LastApply is how long the last commit took to reach the kernel, and
	// LastApplyAt when it had; zero before the first one of this process.
	LastApply   time.Duration
	LastApplyAt time.Time
}

// Stats does not wait for a pass that is under way.
func (r *Reconciler) Stats() Stats { return r.view.Load().stats }

// view is what a reader may have without waiting for a pass. It is never changed,
// but replaced by publish.
type view struct {
	stats      Stats
	conditions compile.Conditions
	drains     []drainInKernel
}

type drainInKernel struct {
	drain
	realServer state.Key
}

// publish shows what a pass has made.
func (r *Reconciler) publish() {
	v := view{stats: r.stats, conditions: r.conditions}
	v.stats.Applied, v.stats.Repairs = r.applied, r.repairs
	if r.rec != nil {
		v.stats.Generation = r.rec.Generation
		for _, d := range r.drains.sorted() {
			v.drains = append(v.drains, drainInKernel{d, r.realServer(d)})
		}
	}
	r.view.Store(&v)
}
