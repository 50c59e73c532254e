package reconcile

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// FuzzMemory: what an earlier agent has kept may be of any content.
func FuzzMemory(f *testing.F) {
	for _, s := range []string{`{"count":12}`, `12`, `{"generation":7,"hash":"x","node":"n1"}`, `null`, `{`} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		log := slog.New(slog.DiscardHandler)
		for _, name := range []string{"repairs.json", "applied.json"} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r := newRepairs(filepath.Join(dir, "repairs.json"), log)
		r.note(nil)
		a := applied{path: filepath.Join(dir, "applied.json"), log: log, hash: func(*mesh.Record) string { return "this one" }}
		if a.resume(record(t, 0), "n1") {
			t.Errorf("%q says that the record was applied whole", data)
		}
	})
}
