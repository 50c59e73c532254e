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
	want := `Agent       1.2.3 (0123456789ab), Linux 6.1.0 amd64
Cluster     demo (4f6e), 2 nodes
Node        n1, 192.0.2.1, overlay 10.255.0.0/24
Generation  7 (fedcba987654), last applied whole: 6
Repair      automatic: what something else breaks is repaired at once
Repairs     12 since the agent was installed

PROBLEMS (3)
node/n1
  - Link rmesh0 is down.
port/8080/tcp
  - IPVS has no service 10.255.0.1:8080/tcp.
  - No member 8080 in routingmesh-tcp.

PORT      MODE     SERVICE  ENDPOINTS
53/udp    host     later    none: connections are refused
8080/tcp  ingress  web      n1:80 n2:81

Not all is well: 3 problems.
`
	if stdout.String() != want {
		t.Errorf("status:\n%s\nwant:\n%s", stdout, want)
	}
	stdout.Reset()
	agenttest.Must(t, r.Status(t.Context(), true))
	var back mesh.Status
	if err := json.Unmarshal(stdout.Bytes(), &back); err != nil || back.Record.Hash() != st.Record.Hash() {
		t.Errorf("status --json: %v\n%s", err, stdout)
	}
}
