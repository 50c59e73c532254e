package compile

import (
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// TestNodes: a port that names its nodes is open there and nowhere else, and endpoints
// answer wherever they are.
func TestNodes(t *testing.T) {
	for _, mode := range []mesh.Mode{mesh.Ingress, mesh.Host} {
		rec := newRecord(t, "n1", "n2", "n3")
		putService(t, rec, "web", map[string]mesh.Endpoint{"a": {Node: "n2"}, "b": {Node: "n3"}})
		must(t, rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mode, Nodes: "n1,n2"}))
		port := rec.Ports[mesh.PortKey{Port: 8080, Protocol: mesh.TCP}]
		for node, open := range map[string]bool{"n1": mode == mesh.Ingress, "n2": true, "n3": false} {
			s := Compile(rec, node, debian12, Conditions{})
			self := rec.Nodes[node]
			set := ingressSet(mesh.TCP)
			if mode == mesh.Host {
				set = hostModeSet
			}
			_, member := s[state.SetMember{Set: set, Port: 8080}.Key()]
			_, server := s[state.VirtualServer{Proto: "tcp", Addr: ServerAddress(self, port)}.Key()]
			_, answers := s[state.SetMember{Set: endpointSet(mesh.TCP), Port: 80}.Key()]
			if member != open || server != open || Opens(rec, node, port) != open {
				t.Errorf("%s on %s: member %t, IPVS %t, Opens %t; want %t", mode, node, member, server, Opens(rec, node, port), open)
			}
			if want := mode == mesh.Ingress && node != "n1" || open && mode == mesh.Host; answers != want {
				t.Errorf("%s on %s: an endpoint answers: %t", mode, node, answers)
			}
			if got := len(LeadsTo(rec, node, port, Conditions{})) > 0; got != open {
				t.Errorf("%s on %s: leads somewhere: %t", mode, node, got)
			}
		}
	}
}
