package report

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// TestLists: what docker's `service ls`, `service ps` and `node ls` show, as this node knows it.
func TestLists(t *testing.T) {
	r, stdout, _ := newReporter(t)
	st := agenttest.Status(t)
	rec := st.Record.Clone()
	agenttest.Must(t, rec.PutService(&mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{
		"a": {Node: "n1"},
		"c": {Node: "n2", Container: &mesh.Container{Name: "web"}, Slots: make([]uint16, 2)},
	}}))
	st.Record = rec
	st.Unhealthy = []mesh.EndpointHealth{
		{Service: "web", Endpoint: "a", Address: netip.MustParseAddrPort("10.255.0.2:80"), Reason: "connection refused"},
		{Service: "web", Endpoint: "c", Address: netip.MustParseAddrPort("10.255.1.128:80"), Reason: "status 500, not 200-399"},
	}
	slots := mesh.Slots{Slots: []mesh.Slot{
		{Service: "web", Endpoint: "c", Node: "n2", Address: netip.MustParseAddr("10.255.1.128"), State: mesh.SlotFilled, Engine: "docker", Container: "web"},
		{Service: "web", Endpoint: "c", Node: "n2", Address: netip.MustParseAddr("10.255.1.129"), State: mesh.SlotEmpty},
	}}
	agenttest.Serve(t, r.Socket(), map[string]any{"GET " + mesh.PathStatus: st, "GET " + mesh.PathSlots: slots})
	for name, test := range map[string]struct {
		list   func(ctx context.Context, asJSON bool) error
		golden string
	}{
		"service ls": {r.Services, "service-ls.golden"},
		"service ps": {func(ctx context.Context, asJSON bool) error { return r.Endpoints(ctx, "", asJSON) }, "service-ps.golden"},
		"node ls":    {r.Nodes, "node-ls.golden"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout.Reset()
			agenttest.Must(t, test.list(t.Context(), false))
			golden(t, test.golden, stdout.String())
			stdout.Reset()
			agenttest.Must(t, test.list(t.Context(), true))
			if !strings.HasPrefix(stdout.String(), "[\n  {") {
				t.Errorf("as JSON:\n%s", stdout)
			}
		})
	}
	if err := r.Endpoints(t.Context(), "wbe", false); err == nil || !strings.Contains(err.Error(), `no service "wbe"; it has later, web`) {
		t.Errorf("of a service that is not there: %v", err)
	}
}
