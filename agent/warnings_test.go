package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/server"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// warnedStatus is of a node whose kernel is as the record asks, and through which
// traffic does not flow.
func warnedStatus(t *testing.T) *mesh.Status {
	t.Helper()
	st := sampleStatus(t)
	st.Problems, st.AppliedGeneration = nil, st.Generation
	st.Warnings = []mesh.Warning{
		{Code: mesh.WarnFirewall, Object: "node/n1", Text: "The chain inet filter forward (policy drop) drops the mesh's packets. Run `nft insert rule inet filter forward iifname rmesh0 accept`."},
		{Code: mesh.WarnHost, Object: "node/n1", Text: "A route of the host leads 10.255.0.1 astray.", AllTraffic: true},
		{Code: mesh.WarnPath, Object: "port/8080/tcp", Text: "Port 8080/tcp does not answer."},
	}
	return st
}

func TestStatus_Warnings(t *testing.T) {
	p, stdout, _ := newProgram(t, "")
	answering(t, p, map[string]any{"GET " + mesh.PathStatus: warnedStatus(t), "GET " + mesh.PathDrains: mesh.Drains{}})
	if code := p.main(t.Context(), []string{"status"}); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	_, got, _ := strings.Cut(stdout.String(), "installed\n")
	want := `Kernel      as the record asks; traffic is disturbed all the same, see WARNINGS

WARNINGS (3)
firewall, node/n1
  - The chain inet filter forward (policy drop) drops the mesh's packets. Run ` + "`nft insert rule inet filter forward\n    iifname rmesh0 accept`" + `.
host settings, node/n1
  - A route of the host leads 10.255.0.1 astray.
path, port/8080/tcp
  - Port 8080/tcp does not answer.

PORT      MODE     SERVICE  ENDPOINTS
53/udp    host     later    none: connections are refused
8080/tcp  ingress  web      n1:80 n2:81

Not all is well: 3 warnings.
`
	if got != want {
		t.Error(cmp.Diff(want, got))
	}
	stdout.Reset()
	code := p.main(t.Context(), []string{"status", "--json"})
	var back mesh.Status
	if err := json.Unmarshal(stdout.Bytes(), &back); err != nil || code != exitOK || len(back.Warnings) != 3 {
		t.Errorf("status --json: %d, %v\n%s", code, err, stdout)
	}
}

// TestCheck_Warnings: each is a failure under its own check, and what check finds
// by itself is not said twice.
func TestCheck_Warnings(t *testing.T) {
	c := testChecker(t)
	st := warnedStatus(t)
	st.Warnings = append(st.Warnings,
		mesh.Warning{Code: mesh.WarnOverlay, Object: "node/n1", Text: "Node n1 did not let in n2 a moment ago."},
		mesh.Warning{Code: mesh.WarnOverlay, Object: "node/n9", Text: "Node n9 is not reached."})
	mesh.SortWarnings(st.Warnings)
	answering(t, c.program, map[string]any{
		"GET " + mesh.PathStatus: st,
		"POST " + mesh.PathProbe: mesh.ProbeResponse{Peers: map[string]mesh.PeerProbe{"n2": {Wire: []netip.Addr{netip.MustParseAddr("192.0.2.2")}, Underlay: true}}},
	})
	must(t, c.agent(t.Context()))
	c.found(host.Finding{Check: "routes", Problems: []string{"A route of the host leads 10.255.0.1 astray."}})
	must(t, c.inKernel(t.Context()))
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

// TestClone_IsWiredIn: the agent of a host that does not have its node's address
// says so, and a balancer turns away from it.
func TestClone_IsWiredIn(t *testing.T) {
	p, _, _ := newProgram(t, "")
	must(t, os.MkdirAll(p.stateDir(), 0o700))
	rec := sampleStatus(t).Record // 192.0.2.1 is not this host's
	must(t, server.NewStore(p.stateDir()).Save(server.Stored{Node: "n1", Record: rec}))
	firewalld, err := p.firewalld(t.Context(), nil)
	must(t, err)
	a, err := p.newAgent(&kernel.Kernel{}, nil, firewalld)
	must(t, err)
	got := a.server.Warned()
	if len(got) != 1 || got[0].Code != mesh.WarnHost || !got[0].AllTraffic || !strings.Contains(got[0].Text, "routingmesh-agent uninstall") {
		t.Errorf("%+v", got)
	}
}
