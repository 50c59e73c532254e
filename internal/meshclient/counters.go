package meshclient

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Counters asks every node for its live counters, all at the same time. Both
// maps are by node name, and every node of the snapshot is in one of them: a
// node that is silent there is not asked again, its error is the snapshot's.
// Where Snapshot has an error, or no record, both are empty.
func (c *Client) Counters(ctx context.Context) (map[string]*mesh.Counters, map[string]error) {
	counters, errs := map[string]*mesh.Counters{}, map[string]error{}
	snap, err := c.Snapshot(ctx)
	if err != nil || snap.Record == nil {
		return counters, errs
	}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(parallelCalls)
	for name, v := range snap.Nodes {
		g.Go(func() error {
			got, err := c.counters(ctx, snap.Record.Nodes[name], v)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs[name] = err
			} else {
				counters[name] = got
			}
			return nil
		})
	}
	_ = g.Wait() // every error is in errs
	return counters, errs
}

func (c *Client) counters(ctx context.Context, n *mesh.Node, v NodeView) (*mesh.Counters, error) {
	if v.Status == nil {
		return nil, v.Err
	}
	ep, err := c.nodeEndpoint(n)
	if err != nil {
		return nil, err
	}
	return c.agents.Counters(ctx, ep)
}
