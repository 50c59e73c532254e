package meshclient

import (
	"context"
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// RemoveNode takes a node out of the record, so that the others stop sending to
// it, and then removes the agent from its host. The host must answer, or
// nothing is changed: its kernel would keep what nobody remembers. A node that
// is not in the record is no error.
func (c *Client) RemoveNode(ctx context.Context, cluster, name string) (*Result, error) {
	snap, err := c.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	if snap.Record == nil {
		return &Result{Warnings: snap.Warnings}, nil
	}
	object := mesh.NodeObject(name)
	if err := inCluster(snap.Record, cluster, object); err != nil {
		return nil, err
	}
	host := c.hostOf(snap.Record, name, snap.statusAt)
	ep := host
	if n := snap.Record.Nodes[name]; n != nil {
		if ep, err = c.router.node(n); err != nil {
			return nil, err
		}
	}
	if ep == nil {
		return &Result{Record: snap.Record, Status: statuses(snap), Warnings: snap.Warnings}, nil
	}
	// An agent that does not run can still be uninstalled.
	if _, err := c.status(ctx, ep, snap.Record.Hash(), c.cfg.SSH.Timeout); err != nil && !isNoAgent(err) && !isDown(err) {
		return nil, err
	}
	result, err := c.remove(ctx, cluster, object, func(r *mesh.Record) error {
		r.RemoveNode(name)
		return nil
	})
	if result == nil {
		return nil, err
	}
	kept, cleanErr := c.clean(ctx, ep, host, result.Record)
	if kept != "" {
		result.Warnings = append(result.Warnings, kept)
	}
	if err == nil {
		err = cleanErr
	}
	return result, err
}

// CleanHost removes the agent from the host of a node that is no longer in the
// record, as after a removal that was cut off. A host without an agent, or
// whose agent belongs to a node that is in the record, is left alone.
func (c *Client) CleanHost(ctx context.Context, cluster string, n mesh.Node) error {
	snap, err := c.Snapshot(ctx)
	if err != nil {
		return err
	}
	ep, err := c.router.node(&n)
	if err != nil {
		return err
	}
	s, err := c.status(ctx, ep, "", readPatience)
	if isNoAgent(err) {
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
	_, err = c.clean(ctx, ep, host, r)
	return err
}

// clean removes the agent from a host that left. Is it the last of the
// provider's hosts that keeps the record, the agent stays for that: without it
// nobody could find the cluster again. DestroyCluster removes it. host is nil
// when it is none of the provider's.
func (c *Client) clean(ctx context.Context, ep, host *endpoint, r *mesh.Record) (kept string, err error) {
	if host == nil {
		return "", c.uninstall(ctx, ep)
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
	if !c.lastKeeper(snap, host) {
		return "", c.uninstall(ctx, ep)
	}
	c.log(ctx, "the agent stays as keeper of the record", map[string]any{"host": ep.address()})
	// In a destroy of everything the services have gone before the nodes, and
	// the cluster follows: nobody need hear of it then.
	if r == nil || len(r.Services) == 0 {
		return "", nil
	}
	return fmt.Sprintf("The agent stays on %s: it is the last of the provider's hosts that keeps the record of cluster %s, which still has %s and %s. "+
		"It serves no traffic, and destroying the cluster removes it.", ep.address(), r.Cluster.Name,
		counted(len(r.Nodes), "node"), counted(len(r.Services), "service")), nil
}

// lastKeeper says that the host has a record and no other host of the provider
// answers with one.
func (c *Client) lastKeeper(snap *Snapshot, host *endpoint) bool {
	own := false
	for _, other := range c.router.hosts {
		if s := snap.statusAt(other); s != nil && s.Generation > 0 {
			if other != host {
				return false
			}
			own = true
		}
	}
	return own
}
