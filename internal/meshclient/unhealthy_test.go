package meshclient_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

// TestUnhealthySentences: who fails from where, why, and from where it works.
func TestUnhealthySentences(t *testing.T) {
	fails := func(service, endpoint string, port uint16, reason string) mesh.EndpointHealth {
		return mesh.EndpointHealth{Service: service, Endpoint: endpoint, Address: netip.AddrPortFrom(netip.MustParseAddr("10.255.1.2"), port), Health: mesh.Unhealthy, Reason: reason}
	}
	kept := fails("db", "n1", 80, "connection refused")
	kept.Health = mesh.UnhealthyKept
	refused := fails("web", "n2", 80, "connection refused")
	for name, tc := range map[string]struct {
		said map[string][]mesh.EndpointHealth // nil for a node that is silent
		want []string
	}{
		"all well":       {map[string][]mesh.EndpointHealth{"n1": {}, "n2": {}}, nil},
		"from all nodes": {map[string][]mesh.EndpointHealth{"n1": {refused}, "n2": {refused}, "n3": nil}, []string{"endpoint n2 of service web fails the checks of n1 and n2 (connection refused)."}},
		"from some nodes": {map[string][]mesh.EndpointHealth{"n1": {refused}, "n2": {}, "n3": {refused}},
			[]string{"endpoint n2 of service web fails the checks of n1 and n3 (connection refused); it works from n2 only."}},
		"from one node": {map[string][]mesh.EndpointHealth{"n1": {refused}, "n2": {}, "n3": {}},
			[]string{"endpoint n2 of service web fails the checks of n1 (connection refused); it works from n2 and n3."}},
		"for several reasons": {map[string][]mesh.EndpointHealth{"n1": {refused}, "n2": {refused}, "n3": {fails("web", "n2", 80, "no answer within 2s")}},
			[]string{"endpoint n2 of service web fails the checks of n1, n2 and n3 (n1 and n2: connection refused; n3: no answer within 2s)."}},
		"on several ports": {map[string][]mesh.EndpointHealth{"n1": {refused, fails("web", "n2", 443, "connection refused")}},
			[]string{"endpoint n2 of service web, port 80, fails the checks of n1 (connection refused).", "endpoint n2 of service web, port 443, fails the checks of n1 (connection refused)."}},
		"all of a service": {map[string][]mesh.EndpointHealth{"n1": {kept}, "n2": {kept, refused}},
			[]string{"endpoint n1 of service db fails the checks of n1 and n2 (connection refused); it is used all the same, for the others fail too.",
				"endpoint n2 of service web fails the checks of n2 (connection refused); it works from n1."}},
	} {
		t.Run(name, func(t *testing.T) {
			snap := &meshclient.Snapshot{Nodes: map[string]meshclient.NodeView{}}
			for node, unhealthy := range tc.said {
				if unhealthy != nil {
					snap.Nodes[node] = meshclient.NodeView{Status: &mesh.Status{Unhealthy: unhealthy}}
				} else {
					snap.Nodes[node] = meshclient.NodeView{}
				}
			}
			if got := snap.Unhealthy(); !slices.Equal(got, tc.want) {
				t.Errorf("got\n%q\nwant\n%q", got, tc.want)
			}
		})
	}
}

// TestHealthIsNoDrift: a node does with a failing endpoint what the record says.
func TestHealthIsNoDrift(t *testing.T) {
	t.Parallel()
	f, c := serving(t)
	f.Node("n1").SetUnhealthy(mesh.EndpointHealth{Service: "web", Endpoint: "on-n2", Health: mesh.Unhealthy, Reason: "connection refused"})
	c.DropSnapshot()
	snap := snapshotOf(t, c)
	for _, o := range objectsOf(snap.Record) {
		if drift := snap.Drift(o); len(drift) > 0 {
			t.Errorf("%s drifts: %q", o, drift)
		}
	}
	if got := snap.Unhealthy(); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}
