package trace

import (
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// TestTrace_Warnings: those that concern the node or the port stand before the
// verdict, which does not call the way whole.
func TestTrace_Warnings(t *testing.T) {
	port := mesh.PortKey{Port: 8080, Protocol: mesh.TCP} // of web, with endpoints on n1 and n2
	for o, concerns := range map[mesh.Ref]bool{
		mesh.ClusterRef: true, mesh.NodeRef("n1"): true, mesh.NodeRef("n2"): true, mesh.NodeRef("n3"): false, mesh.MustParseRef("port/8080/tcp"): true, mesh.MustParseRef("port/9090/tcp"): false, mesh.ServiceRef("web"): true, mesh.ServiceRef("dns"): false,
	} {
		f := facts(t)
		f.Warnings = []mesh.Warning{{Code: mesh.WarnPath, Object: o, Text: "The packet does not come back."}}
		trace := Of(f, port)
		var b strings.Builder
		must(t, trace.Write(&b))
		said := strings.Contains(b.String(), "\nWarnings of the agent\n  - The packet does not come back.\n\nEvery step on this node is as it should be, and traffic is disturbed")
		whole := strings.Contains(b.String(), "The way on this node is whole")
		if said != concerns || whole == concerns || trace.Through() == concerns {
			t.Errorf("%s: through %v\n%s", o, trace.Through(), b.String())
		}
	}
	f := facts(t)
	f.Warnings = []mesh.Warning{{Object: mesh.ServiceRef("dns"), Text: "Of a service."}, {Object: mesh.NodeRef("n1"), Text: "Of the node."}}
	if got := Of(f, mesh.PortKey{Port: 9999, Protocol: mesh.TCP}).Warnings; len(got) != 1 || got[0].Object != mesh.NodeRef("n1") {
		t.Errorf("a port that is not published: %v", got)
	}
}
