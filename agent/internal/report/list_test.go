package report

import (
	"context"
	"encoding/json"
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

// TestLists_Networks: the networks and their members, and what services in networks have beside
// the others, within 80 columns.
func TestLists_Networks(t *testing.T) {
	r, stdout, _ := newReporter(t)
	st := agenttest.Status(t)
	rec := st.Record.Clone()
	for _, n := range []mesh.Network{{Name: "back", Hosts: []string{"n2"}}, {Name: "front", Hosts: []string{"*"}}, {Name: "none"}} {
		agenttest.Must(t, rec.PutNetwork(&n))
	}
	var slots mesh.Slots
	put := func(name, node string, mode mesh.EndpointMode, networks ...string) {
		s := &mesh.Service{Name: name, EndpointMode: mode, Networks: map[string]mesh.Membership{}, Endpoints: map[string]mesh.Endpoint{
			"c": {Node: node, Container: &mesh.Container{Name: name}, Slots: make([]uint16, 2)},
		}}
		for _, n := range networks {
			s.Networks[n] = mesh.Membership{}
		}
		agenttest.Must(t, rec.PutService(s))
		state := mesh.SlotFilled
		for address := range rec.Services[name].Endpoints["c"].SlotAddresses(rec.Nodes[node]) {
			slots.Slots = append(slots.Slots, mesh.Slot{Service: name, Endpoint: "c", Node: node, Address: address, State: state})
			state = mesh.SlotEmpty
		}
	}
	put("web", "n1", mesh.EndpointVIP, "front", "back")
	put("orders", "n2", mesh.EndpointVIP, "back", "front", "none")
	put("postgresql", "n2", mesh.EndpointDNSRR, "back")
	agenttest.Must(t, rec.PutService(&mesh.Service{Name: "process", Networks: map[string]mesh.Membership{"back": {}},
		VIPPorts: map[mesh.PortKey]uint16{{Port: 80, Protocol: mesh.TCP}: 80}, Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1"}}}))
	st.Record = rec
	agenttest.Serve(t, r.Socket(), map[string]any{"GET " + mesh.PathStatus: st, "GET " + mesh.PathSlots: slots})
	for name, test := range map[string]struct {
		list func(ctx context.Context, asJSON bool) error
		want string
	}{
		"network ls": {r.Networks, `NAME   IDENTITY  HERE  EVERYWHERE  HOSTS   SERVICES
back   1         1     3           n1, n2  orders, postgresql, process, web
front  3         1     2           *       orders, web
none   4         0     1           -       orders
`},
		"service ls": {r.Services, `NAME        VIP           NETWORKS           ENDPOINTS  CONTAINERS  PORTS
later       -             -                  0          -           53/udp
orders      10.255.255.3  back, front, none  1          1/2
postgresql  dnsrr         back               1          1/2
process     10.255.255.4  back               1          -
web         10.255.255.2  back, front        1          1/2         8080/tcp
`},
	} {
		t.Run(name, func(t *testing.T) {
			stdout.Reset()
			agenttest.Must(t, test.list(t.Context(), false))
			if diff := cmp.Diff(test.want, stdout.String()); diff != "" {
				t.Error(diff)
			}
			for line := range strings.Lines(stdout.String()) {
				if len(line) > 81 {
					t.Errorf("%d columns: %s", len(line)-1, line)
				}
			}
		})
	}
	stdout.Reset()
	agenttest.Must(t, r.Networks(t.Context(), true))
	var rows []networkRow
	agenttest.Must(t, json.Unmarshal(stdout.Bytes(), &rows))
	if diff := cmp.Diff(networkRow{Name: "none", Identity: 4, Services: []string{"orders"}, Hosts: []string{}, Everywhere: 1}, rows[2]); diff != "" {
		t.Error(diff)
	}
}
