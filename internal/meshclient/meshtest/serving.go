package meshtest

import (
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// SetDrains sets what the agent says that it drains, in commits too. After as
// many answers to GET /v1/drains as looks it drains nothing and nobody enters; 0
// leaves it so until the next SetDrains.
func (n *Node) SetDrains(d mesh.Drains, looks int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drains, n.drainLooks = d, looks
}

// takeDrains answers one look. Called with mu held.
func (n *Node) takeDrains() mesh.Drains {
	d := n.drains
	if d.Drains == nil {
		d.Drains = []mesh.Drain{}
	}
	if n.drainLooks > 0 {
		if n.drainLooks--; n.drainLooks == 0 {
			n.drains = mesh.Drains{}
		}
	}
	return d
}

// DrainOf is a drain of the endpoint on the published port, as the record has
// them.
func DrainOf(r *mesh.Record, k mesh.PortKey, endpoint string, active uint32, remainingMillis int64) mesh.Drain {
	port := r.Ports[k]
	e := r.Services[port.Service].Endpoints[endpoint]
	drain := mesh.Drain{Port: k, Service: port.Service, Endpoint: endpoint, Node: e.Node, Active: active, RemainingMillis: remainingMillis}
	for drain.Address = range port.AddressesFor(e, r.Nodes[e.Node], r.Nodes[e.Node]) {
		break
	}
	return drain
}

// SetUnhealthy sets which endpoints fail the agent's checks.
func (n *Node) SetUnhealthy(endpoints ...mesh.EndpointHealth) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unhealthy = endpoints
}

// SetWarnings sets what the agent warns of.
func (n *Node) SetWarnings(warnings ...mesh.Warning) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.warnings, n.warned = warnings, nil
}

// WarnAtCommit sets what the agent warns of from its next commit on.
func (n *Node) WarnAtCommit(warnings ...mesh.Warning) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.warned = warnings
}
