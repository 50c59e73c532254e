package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/layout"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// newReporter returns a reporter below a root of its own.
func newReporter(t *testing.T) (r *Reporter, stdout, stderr *bytes.Buffer) {
	t.Helper()
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	return &Reporter{Layout: layout.Layout{Root: t.TempDir()}, Stdout: stdout, Stderr: stderr, Log: slog.New(slog.DiscardHandler)}, stdout, stderr
}

func TestStatusForPeople(t *testing.T) {
	r, stdout, stderr := newReporter(t)
	st := agenttest.Status(t)
	agenttest.Serve(t, r.Socket(), map[string]any{"GET " + mesh.PathStatus: st, "GET " + mesh.PathDrains: mesh.Drains{}})
	if err := r.Status(t.Context(), false); !errors.Is(err, ErrBroken) || stderr.Len() > 0 {
		t.Fatalf("%v: %s", err, stderr)
	}
	golden(t, "status.golden", stdout.String())
	stdout.Reset()
	agenttest.Must(t, r.Status(t.Context(), true))
	var back mesh.Status
	if err := json.Unmarshal(stdout.Bytes(), &back); err != nil || back.Record.Hash() != st.Record.Hash() {
		t.Errorf("status --json: %v\n%s", err, stdout)
	}
}
