package report

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/term"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares a text with a file below testdata.
func golden(t *testing.T, file, got string) {
	t.Helper()
	file = filepath.Join("testdata", file)
	if *update {
		agenttest.Must(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	agenttest.Must(t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (go test -update writes it):\n%s", file, diff)
	}
}

// longest has all the characters that a name may have.
func longest(name string) string { return name + "-" + strings.Repeat("x", 62-len(name)) }

// longNames is a cluster in which most names are short and one of each kind is as long as it may be.
func longNames(t *testing.T) (answers map[string]any, names []string) {
	t.Helper()
	st := agenttest.Status(t)
	rec := st.Record.Clone()
	node, service, endpoint := longest("node"), longest("service"), longest("endpoint")
	agenttest.Must(t, rec.PutNode(&mesh.Node{Name: node, Address: netip.MustParseAddr("198.51.100.203"), Availability: mesh.AvailabilityDrain}))
	agenttest.Must(t, rec.PutService(&mesh.Service{Name: service, Scheduler: "wlc", Endpoints: map[string]mesh.Endpoint{
		endpoint: {Node: node}, "b": {Node: "n2", Container: &mesh.Container{Name: "web"}, Slots: make([]uint16, 2)},
	}}))
	for port := range uint16(9) {
		agenttest.Must(t, rec.PutPort(&mesh.PublishedPort{Service: service, Published: 30000 + port, Target: 8080, Protocol: mesh.TCP, Mode: mesh.Ingress, Locality: mesh.PreferLocal}))
	}
	at := netip.MustParseAddrPort("10.255.2.2:8080")
	st.Record, st.Node = rec, node
	st.Problems = []mesh.Problem{{Object: mesh.ServiceRef(service), Text: "The endpoint " + endpoint + " on node " + node + " lacks its IPVS destination."}}
	st.Unhealthy = []mesh.EndpointHealth{
		{Service: service, Endpoint: endpoint, Address: at, Health: mesh.UnhealthyKept, Reason: "no answer within 2s"},
		{Service: "web", Endpoint: "a", Address: netip.MustParseAddrPort("10.255.0.2:80"), Health: mesh.Unhealthy, Reason: "connection refused"},
	}
	slot := func(last byte, state mesh.SlotState, container string) mesh.Slot {
		return mesh.Slot{Service: service, Endpoint: "b", Node: "n2", Address: netip.AddrFrom4([4]byte{10, 255, 1, last}), State: state, Engine: "docker", Container: container}
	}
	return map[string]any{
		"GET " + mesh.PathStatus: st,
		"GET " + mesh.PathSlots:  mesh.Slots{Slots: []mesh.Slot{slot(128, mesh.SlotFilled, longest("container")), slot(129, mesh.SlotEmpty, "")}},
		"GET " + mesh.PathDrains: mesh.Drains{Drains: []mesh.Drain{{
			Port: mesh.PortKey{Port: 30000, Protocol: mesh.TCP}, Service: service, Endpoint: endpoint, Node: node, Address: at, Active: 1200, Inactive: 34, RemainingMillis: 3_600_000,
		}}},
	}, []string{node, service, endpoint}
}

// TestLongNames: whatever names there are, nothing is wider than a terminal of 80 columns, and every name is whole.
func TestLongNames(t *testing.T) {
	r, stdout, _ := newReporter(t)
	answers, names := longNames(t)
	agenttest.Serve(t, r.Socket(), answers)
	var all strings.Builder
	for _, c := range []struct {
		name string
		show func(ctx context.Context, asJSON bool) error
	}{
		{"status", r.Status},
		{"service ls", r.Services},
		{"service ps", func(ctx context.Context, asJSON bool) error { return r.Endpoints(ctx, "", asJSON) }},
		{"node ls", r.Nodes},
	} {
		stdout.Reset()
		if err := c.show(t.Context(), false); err != nil && !errors.Is(err, ErrBroken) {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "===== %s\n%s", c.name, stdout)
	}
	for line := range strings.Lines(all.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > term.Columns {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, name := range append(names, longest("container")) {
		if !strings.Contains(all.String(), name) {
			t.Errorf("the name %s is not whole", name)
		}
	}
	golden(t, "long-names.golden", all.String())
}

// TestColors: on a terminal what fails is red; a host's own escape sequences are not shown.
func TestColors(t *testing.T) {
	r, _, _ := newReporter(t)
	st := agenttest.ServingStatus(t)
	st.Unhealthy[0].Reason = "\x1b[32mwell\x1b[0m"
	agenttest.Serve(t, r.Socket(), map[string]any{"GET " + mesh.PathStatus: st, "GET " + mesh.PathSlots: mesh.Slots{}, "GET " + mesh.PathDrains: mesh.Drains{}})
	for _, color := range []bool{true, false} {
		var out bytes.Buffer
		r.Stdout = term.Screen{Out: &out, Columns: term.Columns, Color: color}
		agenttest.Must(t, r.Status(t.Context(), false))
		agenttest.Must(t, r.Endpoints(t.Context(), "", false))
		if got := strings.Contains(out.String(), "\x1b[1;31mwell\x1b[0m"); got != color || strings.Contains(out.String(), "\x1b[32m") {
			t.Errorf("colours %v:\n%q", color, out.String())
		}
		if !color && strings.Contains(out.String(), "\x1b") {
			t.Errorf("without colours:\n%q", out.String())
		}
	}
}
