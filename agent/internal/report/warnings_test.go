package report

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// warnedStatus is of a node whose kernel is as the record asks, and through which
// traffic does not flow.
func warnedStatus(t *testing.T) *mesh.Status {
	t.Helper()
	st := agenttest.Status(t)
	st.Problems, st.AppliedGeneration = nil, st.Generation
	st.Warnings = []mesh.Warning{
		{Code: mesh.WarnFirewall, Object: mesh.NodeRef("n1"), Text: "The chain inet filter forward (policy drop) drops the mesh's packets. Run `nft insert rule inet filter forward iifname rmesh0 accept`."},
		{Code: mesh.WarnHost, Object: mesh.NodeRef("n1"), Text: "A route of the host leads 10.255.0.1 astray.", AllTraffic: true},
		{Code: mesh.WarnPath, Object: mesh.MustParseRef("port/8080/tcp"), Text: "Port 8080/tcp does not answer."},
	}
	return st
}

func TestStatus_Warnings(t *testing.T) {
	r, stdout, _ := newReporter(t)
	agenttest.Serve(t, r.Socket(), map[string]any{"GET " + mesh.PathStatus: warnedStatus(t), "GET " + mesh.PathDrains: mesh.Drains{}})
	if err := r.Status(t.Context(), false); !errors.Is(err, ErrBroken) {
		t.Errorf("%v", err)
	}
	golden(t, "status-warnings.golden", stdout.String())
	stdout.Reset()
	agenttest.Must(t, r.Status(t.Context(), true))
	var back mesh.Status
	if err := json.Unmarshal(stdout.Bytes(), &back); err != nil || len(back.Warnings) != 3 {
		t.Errorf("status --json: %v\n%s", err, stdout)
	}
}

// TestCheck_Warnings: each is a failure under its own check, and what check finds
// by itself is not said twice.
func TestCheck_Warnings(t *testing.T) {
	c := testChecker(t)
	st := warnedStatus(t)
	st.Warnings = append(st.Warnings,
		mesh.Warning{Code: mesh.WarnOverlay, Object: mesh.NodeRef("n1"), Text: "Node n1 did not let in n2 a moment ago."},
		mesh.Warning{Code: mesh.WarnOverlay, Object: mesh.NodeRef("n9"), Text: "Node n9 is not reached."})
	mesh.SortWarnings(st.Warnings)
	agenttest.Serve(t, c.Socket(), map[string]any{
		"GET " + mesh.PathStatus: st,
		"POST " + mesh.PathProbe: mesh.ProbeResponse{Peers: map[string]mesh.PeerProbe{"n2": {Wire: []netip.Addr{netip.MustParseAddr("192.0.2.2")}, Underlay: true}}},
	})
	agenttest.Must(t, c.agent(t.Context()))
	c.found(host.Finding{Check: "routes", Problems: []string{"A route of the host leads 10.255.0.1 astray."}})
	agenttest.Must(t, c.inKernel(t.Context()))
	c.overlay(t.Context())
	c.warnings()
	var got []string
	for _, f := range c.report.Findings {
		if f.Outcome == failed {
			got = append(got, f.Check+": "+strings.SplitAfter(f.Text, " ")[0]+strings.SplitAfter(f.Text, " ")[1])
		}
	}
	want := []string{"routes: A route ", "overlay: Node n1 ", "firewall: The chain ", "overlay: Node n9 ", "path: Port 8080/tcp "}
	if diff := cmp.Diff(want, got); diff != "" || strings.Contains(c.report.text(t), "All is well") {
		t.Errorf("%s\n%s", diff, c.report.text(t))
	}
}
