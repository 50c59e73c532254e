package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// A record of a newer version stays where it is, and is never answered as none: nothing
// is changed until an agent is there that can read it.
func TestNewerRecord_StaysAndIsSaid(t *testing.T) {
	for name, edit := range map[string][2]string{
		"a field":     {`"format":1`, `"format":1,"deny_from":["10.0.0.0/8"]`},
		"a format":    {`"format":1`, `"format":2`},
		"a scheduler": {`"endpoints":{`, `"scheduler":"dh","endpoints":{`},
	} {
		dir := t.TempDir()
		rec := cluster(t, "u", "n1")
		if err := rec.PutService(&mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1"}}}); err != nil {
			t.Fatal(err)
		}
		newAgent(t, dir).has(t, "n1", rec)
		path := filepath.Join(dir, "record.json")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		newer := strings.Replace(string(data), edit[0], edit[1], 1)
		if err := os.WriteFile(path, []byte(newer), 0o600); err != nil {
			t.Fatal(err)
		}
		a := newAgent(t, dir)
		a.Start(t.Context())
		for call, body := range map[string]string{"GET " + mesh.PathStatus: "", "POST " + mesh.PathPrepare: "{}", "POST " + mesh.PathCommit: "{}"} {
			method, path, _ := strings.Cut(call, " ")
			if code, r := a.call(t, method, path, body, nil); code != 409 || r.Code != mesh.Newer || r.Version != "1.2.3" || !strings.Contains(r.Text, "newer version") {
				t.Errorf("%s: %s: %d %+v", name, call, code, r)
			}
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != newer {
			t.Errorf("%s: the record was changed: %v", name, err)
		}
		if len(a.reconciler.commits) > 0 {
			t.Errorf("%s: something was applied", name)
		}
	}
}
