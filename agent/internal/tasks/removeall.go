package tasks

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/engine"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// shortGrace is how long a container may take to end that has to go with the agent: an uninstall
// is not to wait for minutes. A node that leaves by Terraform has had its usual time before.
const shortGrace = 20 * time.Second

// RemoveAll stops and removes the containers of a cluster, of all engines, and counts them. No
// agent runs any more.
func RemoveAll(ctx context.Context, root, uid string) (int, error) {
	var removed atomic.Int64
	var errs []error
	var mu sync.Mutex
	failed := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
	}
	var all sync.WaitGroup
	for _, c := range engine.Controls(root) {
		all.Go(func() {
			listed, err := c.List(ctx, mesh.LabelCluster, uid)
			if err != nil {
				failed(err)
			}
			for _, l := range listed {
				all.Go(func() {
					if err := removeOne(ctx, c, l.ID); err != nil {
						failed(err)
						return
					}
					removed.Add(1)
				})
			}
		})
	}
	all.Wait()
	return int(removed.Load()), errors.Join(errs...)
}

func removeOne(ctx context.Context, c *engine.Control, id string) error {
	i, err := c.Inspect(ctx, id)
	if engine.IsMissing(err) {
		return nil
	}
	if err == nil && i.Running {
		err = c.Stop(ctx, id, min(i.Grace, shortGrace))
	}
	if err != nil {
		return err
	}
	return c.Remove(ctx, id)
}
