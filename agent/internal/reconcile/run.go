package reconcile

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// interval is how long something broken by others stays so at most; jitter
// keeps the nodes of a cluster from doing it all at once.
const (
	interval = 30 * time.Second
	jitter   = 5 * time.Second
)

// maxLogged is how many repairs of one pass are logged in a line each.
const maxLogged = 50

// Run repairs on the slow timer until ctx ends. Kernel events, once watched,
// would call Repair as well.
func (r *Reconciler) Run(ctx context.Context) {
	for {
		timer := time.NewTimer(interval - jitter + rand.N(2*jitter))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			r.Repair(ctx)
		}
	}
}

// logRepairs writes one line per op of a repair, and what the kernel refused:
// once, not in every pass (before holds the previous pass's refusals), and once
// more when it is over.
func (r *Reconciler) logRepairs(ops []state.Op, before map[state.Key]error) {
	logged := 0
	for _, op := range ops {
		key := op.Object().Key()
		if _, known := before[key]; known && r.refused[key] != nil {
			continue
		}
		if logged++; logged > maxLogged {
			r.log.Warn("more repairs than are worth a line each", "all", len(ops))
			return
		}
		if err := r.refused[key]; err != nil {
			r.log.Error("cannot repair", "op", op.String(), "error", err)
		} else {
			r.log.Warn("repaired", "op", op.String())
		}
	}
}
