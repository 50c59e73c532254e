package meshclient

import (
	"context"
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// CleanHost removes the agent from the host of a node that is no longer in the
// record, as after a removal that was cut off. A host without an agent, or
// whose agent belongs to a node that is in the record, is left alone.
func (c *Client) CleanHost(ctx context.Context, cluster string, n mesh.Node) error {
	snap, err := c.Snapshot(ctx)
	if err != nil {
		return err
	}
	ep, err := c.nodeEndpoint(&n)
	if err != nil {
		return err
	}
	s, err := c.agents.Status(ctx, ep, "", agentapi.ReadPatience)
	if agentapi.IsNoAgent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	r := snap.Record
	inUse := r != nil && (r.Nodes[n.Name] != nil || r.Nodes[s.Node] != nil)
	foreign := s.Record != nil && (s.Record.Cluster.Name != cluster || (r != nil && s.Record.UID != r.UID))
	if inUse || foreign {
		return nil
	}
	host := c.hostAt(ep)
	if host == nil && r != nil {
		host = c.hostOf(r, n.Name, snap.statusAt)
	}
	_, err = c.cleanHost(ctx, ep, host, r)
	return err
}

// cleanHost removes the agent from a host that left. Is it the last of the
// provider's hosts that keeps the record, or the last voter, the agent stays for that:
// without it nobody could find the cluster again. DestroyCluster removes it. host is
// nil when it is none of the provider's.
func (c *Client) cleanHost(ctx context.Context, ep, host *sshdial.Endpoint, r *mesh.Record) (kept string, err error) {
	addresses := addressesOfHost(ep, host)
	switch voter := isVoter(r, addresses); {
	case host == nil && !voter:
		return "", c.agents.Uninstall(ctx, ep)
	case voter:
		if err := c.withoutVoter(ctx, addresses); err != nil {
			return "", notCleaned(ep, "It has left the record, and is still a voter of the cluster, so that it was not cleaned: too few of the others can decide without it now. "+
				"Run the apply again when they answer. (%v)", err)
		}
	}
	// Not beside a commit, which counts this host, and from a fresh look: three
	// hosts that leave at once would each see the other two.
	select {
	case c.writing <- struct{}{}:
		defer func() { <-c.writing }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	c.cache.drop()
	defer c.cache.drop()
	snap, err := c.Snapshot(ctx)
	if err != nil {
		return "", err
	}
	voter := isVoter(snap.Record, addresses)
	if !voter && (host == nil || !c.lastKeeper(snap, host)) {
		if err := handedOn(snap, host); err != nil {
			return "", err
		}
		return "", c.agents.Uninstall(ctx, ep)
	}
	// In a destroy of everything the services have gone before the nodes, and
	// the cluster follows: nobody need hear of it then.
	over := r == nil || len(r.Services) == 0
	if silent := c.silentHost(snap); silent != "" && !over && !voter {
		return "", notCleaned(host, "%s does not answer now, and may be all else that keeps the record, so that this host was not cleaned. "+
			"Run the apply again when %s answers.", silent, silent)
	}
	c.log(ctx, "the agent stays as keeper of the record", map[string]any{"host": ep.Address()})
	if over {
		return "", nil
	}
	return fmt.Sprintf("The agent stays on %s: it is the last of the provider's hosts that keeps the record of cluster %s, which still has %s and %s. "+
		"It serves no traffic, and destroying the cluster removes it.", ep.Address(), r.Cluster.Name,
		counted(len(r.Nodes), "node"), counted(len(r.Services), "service")), nil
}

// lastKeeper says that the host has a record and no other host of the provider
// answers with one.
func (c *Client) lastKeeper(snap *Snapshot, host *sshdial.Endpoint) bool {
	own := false
	for _, other := range c.hosts {
		if s := snap.statusAt(other); s != nil && s.Generation > 0 {
			if other != host {
				return false
			}
			own = true
		}
	}
	return own
}

// silentHost is one of the provider's hosts that could not be asked, "" when
// all could: it may have the record, and then the one that leaves is not the last.
func (c *Client) silentHost(snap *Snapshot) string {
	for _, host := range c.hosts {
		if err := snap.Hosts[host.Name].Err; err != nil && !agentapi.IsNoAgent(err) {
			return host.Name
		}
	}
	return ""
}

// notCleaned is the error of a host that left the record and could not be cleaned.
func notCleaned(host *sshdial.Endpoint, format string, args ...any) error {
	return &ProblemsError{Committed: true, Problems: []NodeProblem{
		{host.Name, mesh.Problem{Code: mesh.ProblemNotCleaned, Object: mesh.ClusterRef, Text: fmt.Sprintf(format, args...)}},
	}}
}

// handedOn is an error while nobody but the host has the record that it has: a
// commit may have reached it alone, and would be lost with it.
func handedOn(snap *Snapshot, host *sshdial.Endpoint) error {
	if host == nil {
		return nil
	}
	own := snap.statusAt(host)
	if own == nil || own.Generation == 0 {
		return nil
	}
	for entry, v := range snap.Hosts {
		if entry != host.Name && v.Status != nil && v.Status.Generation >= own.Generation {
			return nil
		}
	}
	for _, v := range snap.Nodes {
		if v.Status != nil && v.Status != own && v.Status.Generation >= own.Generation {
			return nil
		}
	}
	return notCleaned(host, "This host alone has generation %d of the record so far, so that it was not cleaned: the change would be lost with it. "+
		"Run the apply again, which brings the others level first.", own.Generation)
}
