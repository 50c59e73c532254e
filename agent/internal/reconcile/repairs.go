package reconcile

import (
	"log/slog"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// repairs counts the objects that were repaired because something else had broken them,
// since the agent was installed. What a commit or a requested repair writes is none.
type repairs struct {
	log   *slog.Logger
	path  string // "" keeps nothing
	count uint64
}

type repairsFile struct {
	Repairs uint64 `json:"repairs"`
}

// newRepairs goes on from what an earlier agent has kept.
func newRepairs(path string, log *slog.Logger) repairs {
	var file repairsFile
	load(path, &file, log)
	return repairs{log, path, file.Repairs}
}

// note counts these, keeps the count, and writes one line per object.
func (r *repairs) note(repaired []state.Op) {
	if len(repaired) == 0 {
		return
	}
	for i, op := range repaired {
		if i == maxLogged {
			r.log.Warn("more repairs than are worth a line each", "all", len(repaired))
			break
		}
		r.log.Warn("repaired", "what", op.Object().String(), "was", op.Sentence())
	}
	r.count += uint64(len(repaired))
	save(r.path, repairsFile{r.count}, r.log)
}
