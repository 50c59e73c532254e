package reconcile

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
)

// Memory says in which files a Reconciler keeps what outlives it; none where "".
// None of it is needed to keep the mesh running: what cannot be written is
// logged, what cannot be read is as if it were not there.
type Memory struct {
	// Applied says which record was applied whole. It must be where a boot takes
	// it away, as one takes the kernel's state.
	Applied string
	// Repairs is the count of repairs.
	Repairs string
}

func load(path string, into any, log *slog.Logger) {
	if path == "" {
		return
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		log.Warn("cannot read what an earlier agent has kept; it starts anew", "file", path, "error", err)
	}
}

func save(path string, what any, log *slog.Logger) {
	if path == "" {
		return
	}
	data, err := json.Marshal(what)
	if err == nil {
		err = host.WriteFile(path, data, 0o600)
	}
	if err != nil {
		log.Warn("cannot keep this for the next agent", "file", path, "error", err)
	}
}
