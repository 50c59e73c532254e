package reconcile

import (
	"context"
	"log/slog"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// report looks at everything, changes nothing, and logs each problem when it
// appears and when it is over.
func (r *Reconciler) report(ctx context.Context) []mesh.Problem {
	r.Watch.Cover(kernel.Full)
	p, err := r.plan(ctx, sight{})
	var problems []mesh.Problem
	if err == nil {
		r.track.noteChains(p.ops, r.desired.State)
		problems = r.looked(p, r.problems(p))
	} else {
		r.track.lose()
		problems = r.blind(err)
	}
	r.reported.log(r.Log, problems)
	return problems
}

// reported are the problems that were logged and that are still there.
type reported map[mesh.Problem]bool

// log writes a line for each problem that is new, and for each that is over.
func (r *reported) log(log *slog.Logger, problems []mesh.Problem) {
	now := reported{}
	for _, problem := range problems {
		now[problem] = true
		if !(*r)[problem] {
			log.Warn("not as the record asks, and left so (repair is report)", "object", problem.Object.String(), "problem", problem.Text)
		}
	}
	for problem := range *r {
		if !now[problem] {
			log.Info("no longer so", "object", problem.Object.String(), "problem", problem.Text)
		}
	}
	*r = now
}
