package report

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
		{Service: "web", Endpoint: "c", Address: netip.MustParseAddrPort("10.255.1.128:80"), Reason: "it answered 500"},
	}
	slots := mesh.Slots{Slots: []mesh.Slot{
		{Service: "web", Endpoint: "c", Node: "n2", Address: netip.MustParseAddr("10.255.1.128"), State: mesh.SlotFilled, Engine: "docker", Container: "web"},
		{Service: "web", Endpoint: "c", Node: "n2", Address: netip.MustParseAddr("10.255.1.129"), State: mesh.SlotEmpty},
	}}
	agenttest.Serve(t, r.Socket(), map[string]any{"GET " + mesh.PathStatus: st, "GET " + mesh.PathSlots: slots})
	for name, test := range map[string]struct {
		list func(ctx context.Context, asJSON bool) error
		want string
	}{
		"service ls": {r.Services, `NAME   SCHEDULER  ENDPOINTS  CONTAINERS  PORTS
later  rr         0          -           53/udp
web    rr         2          1/2         8080/tcp
`},
		"service ps": {func(ctx context.Context, asJSON bool) error { return r.Endpoints(ctx, "", asJSON) }, `SERVICE  ENDPOINT  NODE  ADDRESS       STATE                  CONTAINER
web      a         n1    10.255.0.2    process, unhealthy:    -
                                       connection refused
web      c         n2    10.255.1.128  filled, unhealthy: it  web (docker)
                                       answered 500
web      c         n2    10.255.1.129  empty                  -
`},
		"node ls": {r.Nodes, `NAME  ADDRESS    OVERLAY        AVAILABILITY  ENDPOINTS
n1 *  192.0.2.1  10.255.0.0/24  active        1
n2    192.0.2.2  10.255.1.0/24  active        1
`},
	} {
		t.Run(name, func(t *testing.T) {
			stdout.Reset()
			agenttest.Must(t, test.list(t.Context(), false))
			if diff := cmp.Diff(test.want, stdout.String()); diff != "" {
				t.Error(diff)
			}
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
