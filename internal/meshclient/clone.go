package meshclient

import (
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// alreadyNode is the error of a host that says that it is another node of the
// cluster. A host that was cloned from a node says so, too: it has the node's
// record, and not its underlay address.
func (c *Client) alreadyNode(r *mesh.Record, ep *sshdial.Endpoint, s *mesh.Status, n *mesh.Node) error {
	e := &mesh.Error{Object: mesh.NodeRef(n.Name), Attribute: "ssh", Summary: "Host already is a node", Taken: mesh.NodeRef(s.Node)}
	if _, own := s.Host.LinkOf(r.Nodes[s.Node].Address); own {
		e.Detail = fmt.Sprintf("The host at %s already is the node %q of this cluster: a host can be one node. Name another host, "+
			"or rename the node with a moved block and another name.", ep.Address(), s.Node)
		return e
	}
	way, sudo := "", ""
	if ep.Via != nil {
		way = fmt.Sprintf("-J %s@%s ", ep.Via.User, ep.Via.Address())
	}
	if ep.Sudo {
		sudo = "sudo "
	}
	e.Summary = "Host is a clone of a node"
	e.Detail = fmt.Sprintf("The host at %s has the agent and the record of the node %q, and not its address %s: it was cloned from that node. "+
		"Remove the copy of the agent on it, and apply again:\n\n  ssh %s-p %d %s@%s %s%s uninstall\n\nThe node %q itself is not touched by that.",
		ep.Address(), s.Node, r.Nodes[s.Node].Address, way, ep.Port, ep.User, ep.Host, sudo, agentapi.Program, s.Node)
	return e
}
