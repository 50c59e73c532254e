package meshclient

import (
	"context"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// PutNetwork creates or changes a network. With create it is an *mesh.Error that there
// already is one of the name. Result.Record has what it was given.
func (c *Client) PutNetwork(ctx context.Context, cluster string, n mesh.Network, create bool) (*Result, error) {
	return c.afterRemoval(ctx, func() (*Result, error) { return c.putNetwork(ctx, cluster, n, create) })
}

func (c *Client) putNetwork(ctx context.Context, cluster string, n mesh.Network, create bool) (*Result, error) {
	object := mesh.NetworkRef(n.Name)
	return c.queue.submit(ctx, &operation{
		objects: []mesh.Ref{object},
		apply: func(r *mesh.Record) error {
			if err := inCluster(r, cluster, object); err != nil {
				return err
			}
			if create && r.HasNetwork(n.Name) {
				return exists(object, "name", "network", mesh.NetworkID(cluster, n.Name))
			}
			copied := n
			return r.PutNetwork(&copied)
		},
	})
}

// RemoveNetwork removes a network; one that is not there is no error. Services that are in
// it keep it until the last of them has left: Terraform updates them after this.
func (c *Client) RemoveNetwork(ctx context.Context, cluster, name string) (*Result, error) {
	object := mesh.NetworkRef(name)
	return c.remove(ctx, cluster, object, func(_ *operation, r *mesh.Record) error { return r.RemoveNetwork(name) })
}
