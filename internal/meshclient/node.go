package meshclient

import (
	"context"
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// PutNode joins a host (it installs the agent there) or changes a node. The
// node's MTU, block and host key are filled in and are in Result.Record. With
// create it is an *mesh.Error that there already is a node of the name. A node
// that is to drain is waited for: nothing leads to its endpoints any more, or
// Result.Warnings says what does.
func (c *Client) PutNode(ctx context.Context, cluster string, n mesh.Node, create bool) (*Result, error) {
	return c.afterRemoval(ctx, func() (*Result, error) { return c.putNode(ctx, cluster, n, create) })
}

func (c *Client) putNode(ctx context.Context, cluster string, n mesh.Node, create bool) (*Result, error) {
	apply := func(r *mesh.Record, n mesh.Node) error {
		object := mesh.NodeRef(n.Name)
		if err := inCluster(r, cluster, object); err != nil {
			return err
		}
		if create && r.Nodes[n.Name] != nil {
			return exists(object, "name", "node", mesh.NodeID(cluster, n.Name))
		}
		return r.PutNode(&n)
	}
	return c.applyNode(ctx, n, apply)
}

// applyNode readies the node's host and commits what apply makes of the record, given
// the node with what only its host knows.
func (c *Client) applyNode(ctx context.Context, n mesh.Node, apply func(*mesh.Record, mesh.Node) error) (*Result, error) {
	snap, err := c.startingPoint(ctx, false)
	if err != nil {
		return nil, err
	}
	if snap.Record == nil {
		return nil, errNoCluster()
	}
	// What the record refuses anyway must not leave an agent on the host.
	if err := apply(snap.Record.Successor(snap.hash), n); err != nil {
		return nil, err
	}
	ep, err := c.nodeEndpoint(&n)
	if err != nil {
		return nil, err
	}
	// A node that leaves the same host takes its agent with it.
	if err := c.removals.hostFree(ctx, ep.Route()); err != nil {
		return nil, err
	}
	status, installed, err := c.agents.Ready(ctx, ep)
	if err == nil {
		if host := c.hostAt(ep); snap.Nodes[n.Name].Err != nil || (host != nil && snap.Hosts[host.Name].Err != nil) {
			c.cache.drop() // it says that this host is silent
		}
		err = c.describeNode(snap.Record, ep, status, &n)
	}
	var result *Result
	var voters func(*Snapshot, []string) []string
	if snap.Record.Nodes[n.Name] == nil {
		voters = c.asVoter(ep)
	}
	if err == nil {
		result, err = c.queue.submit(ctx, &operation{
			objects: []mesh.Ref{mesh.NodeRef(n.Name)}, join: &join{n.Name, ep, status}, voters: voters,
			apply: func(r *mesh.Record) error { return apply(r, n) },
		})
	}
	if err == nil {
		err = c.settleVoters(ctx, voters, result)
	}
	if err != nil && result == nil && installed {
		c.leaveAsFound(ctx, ep)
	}
	if !n.Serving() {
		c.drained(ctx, result, func(d mesh.Drain) bool { return d.Node == n.Name })
	}
	return result, err
}

// describeNode checks that the host can be the node, and fills in what only
// the host knows.
func (c *Client) describeNode(r *mesh.Record, ep *sshdial.Endpoint, s *mesh.Status, n *mesh.Node) error {
	if s.Record != nil && s.Record.UID != r.UID {
		return &ForeignError{Host: ep.Name, Cluster: s.Record.Cluster.Name, UID: s.Record.UID}
	}
	if s.Node != "" && s.Node != n.Name && r.Nodes[s.Node] != nil {
		return c.alreadyNode(r, ep, s, n)
	}
	link, ok := s.Host.LinkOf(n.Address)
	if !ok {
		return &mesh.Error{Object: mesh.NodeRef(n.Name), Attribute: "address", Detail: fmt.Sprintf(
			"The host at %s has no interface with the address %s. It has %s. If the node is reached by another address than it has itself (NAT), "+
				"set address to its own and ssh.host to the other.", ep.Address(), n.Address, prose.ListOr(addressesOf(&s.Host), "no IPv4 address"))}
	}
	n.UnderlayMTU = link.MTU
	if key := c.pool.Seen(ep); n.SSH.HostKey == "" && key != "" && c.cfg.SSH.HostKeyPolicy != sshdial.HostKeyInsecure {
		n.SSH.HostKey = key
	}
	return nil
}

// leaveAsFound removes an agent that was installed for a join that came to
// nothing. The caller may have left: cleaning up is done all the same.
func (c *Client) leaveAsFound(ctx context.Context, ep *sshdial.Endpoint) {
	if c.hostAt(ep) == nil {
		c.leaveKeeperAsFound(ctx, ep)
	}
}

func (c *Client) leaveKeeperAsFound(ctx context.Context, ep *sshdial.Endpoint) {
	ctx, cancel := c.detach(ctx, agentapi.UninstallTimeout)
	defer cancel()
	if err := c.agents.Uninstall(ctx, ep); err != nil {
		c.log(ctx, "the agent could not be removed again", map[string]any{"host": ep.Address(), "error": err.Error()})
	}
}

// hostAt returns the provider's host with the same endpoint.
func (c *Client) hostAt(ep *sshdial.Endpoint) *sshdial.Endpoint {
	for _, h := range c.hosts {
		if h.Key() == ep.Key() {
			return h
		}
	}
	return nil
}
