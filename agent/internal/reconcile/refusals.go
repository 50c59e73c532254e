package reconcile

import (
	"log/slog"
	"maps"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// refusals hold what the kernel said of objects that it did not take, at the last try.
type refusals map[state.Key]error

// forget drops those of objects that are right by now.
func (r refusals) forget(left plan) {
	maps.DeleteFunc(r, func(key state.Key, _ error) bool { return !left.has(key) })
}

// log writes a line for what is left and was refused: once, not in every pass (before
// holds the previous pass's refusals).
func (r refusals) log(log *slog.Logger, text string, left plan, before refusals) {
	lines := 0
	for _, op := range left.ops {
		key := op.Object().Key()
		if err := r[key]; err != nil && before[key] == nil && lines < maxLogged {
			lines++
			log.Error(text, "op", op.String(), "error", err)
		}
	}
}
