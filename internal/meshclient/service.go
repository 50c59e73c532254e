package meshclient

import (
	"context"
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// PutService creates or changes a service. With create it is an *mesh.Error
// that there already is one of the name. It returns when nothing leads any more
// to the endpoints that were taken out, or Result.Warnings says what does.
func (c *Client) PutService(ctx context.Context, cluster string, s mesh.Service, create bool) (*Result, error) {
	return c.afterRemoval(ctx, func() (*Result, error) { return c.putService(ctx, cluster, s, create) })
}

func (c *Client) putService(ctx context.Context, cluster string, s mesh.Service, create bool) (*Result, error) {
	object := mesh.ServiceRef(s.Name)
	left := func(bool) {}
	if !create { // it may leave names in a network that another service waits for
		left = c.removals.attempt(object, "")
	}
	result, err := c.queue.submit(ctx, &operation{
		objects: []mesh.Ref{object},
		apply: func(r *mesh.Record) error {
			if err := inCluster(r, cluster, object); err != nil {
				return err
			}
			if create && r.Services[s.Name] != nil {
				return exists(object, "name", "service", mesh.ServiceID(cluster, s.Name))
			}
			copied := s
			return r.PutService(&copied)
		},
	})
	left(err == nil)
	c.portsDrained(ctx, result, func(p *mesh.PublishedPort) bool { return p.Service == s.Name })
	return result, err
}

// RemoveService removes a service; one that is not there is no error.
func (c *Client) RemoveService(ctx context.Context, cluster, name string) (*Result, error) {
	object := mesh.ServiceRef(name)
	return c.remove(ctx, cluster, object, func(_ *operation, r *mesh.Record) error { return r.RemoveService(name) })
}

// PutPort publishes or changes a port; a Published of 0 takes a free one of the
// cluster's range, and Result.Port says which. With create it is an *mesh.Error
// that the port is already published, by whatever service. A target that was
// left is waited for as PutService does.
func (c *Client) PutPort(ctx context.Context, cluster string, p mesh.PublishedPort, create bool) (*Result, error) {
	return c.afterRemoval(ctx, func() (*Result, error) { return c.putPort(ctx, cluster, p, create) })
}

func (c *Client) putPort(ctx context.Context, cluster string, p mesh.PublishedPort, create bool) (*Result, error) {
	var published mesh.PublishedPort
	op := &operation{}
	op.apply = func(r *mesh.Record) error {
		published = p // again: an allocated port of an earlier round may be taken
		object := mesh.PortRef(p.Key().Plain())
		if err := inCluster(r, cluster, object); err != nil {
			return err
		}
		if create && r.PortOf(p.Service, p.Key()) != nil {
			return exists(object, "published_port", "published port", mesh.PortID(mesh.ServiceID(cluster, p.Service), p.Key()))
		}
		if err := r.PutPort(&published); err != nil {
			return err
		}
		op.objects = []mesh.Ref{mesh.PortRef(published.Key())}
		return nil
	}
	left := func(bool) {}
	if !create { // it may leave addresses that another port of the number waits for
		left = c.removals.attempt(mesh.PortRef(p.Key().Plain()), "")
	}
	result, err := c.queue.submit(ctx, op)
	left(err == nil)
	if result != nil {
		result.Port = &published
	}
	c.portsDrained(ctx, result, func(p *mesh.PublishedPort) bool { return p.Key() == published.Key() })
	return result, err
}

// RemovePort closes a port of the service; one that is not open is no error, and
// one that by now is another service's is left to that.
func (c *Client) RemovePort(ctx context.Context, cluster, service string, k mesh.PortKey) (*Result, error) {
	return c.remove(ctx, cluster, mesh.PortRef(k.Plain()), func(op *operation, r *mesh.Record) error {
		if p := r.PortOf(service, k); p != nil {
			op.objects = []mesh.Ref{mesh.PortRef(p.Key())}
			r.RemovePort(p.Key())
		}
		return nil
	})
}

// remove commits a removal. Where no record of the cluster is left there is
// nothing to remove from.
func (c *Client) remove(ctx context.Context, cluster string, object mesh.Ref, apply func(*operation, *mesh.Record) error) (*Result, error) {
	defer c.removals.begin(object, "")()
	snap, err := c.startingPoint(ctx, false)
	if err != nil {
		return nil, err
	}
	if snap.Record == nil {
		return &Result{Warnings: snap.forkNotices()}, nil
	}
	op := &operation{objects: []mesh.Ref{object}}
	op.apply = func(r *mesh.Record) error {
		if err := inCluster(r, cluster, object); err != nil {
			return err
		}
		return apply(op, r)
	}
	return c.queue.submit(ctx, op)
}

// inCluster refuses a change to another cluster than that of the hosts.
func inCluster(r *mesh.Record, cluster string, object mesh.Ref) error {
	if r.Cluster.Name == cluster {
		return nil
	}
	return &mesh.Error{Object: object, Attribute: "cluster_id", Summary: "Hosts of another cluster", Detail: fmt.Sprintf(
		"The provider's hosts belong to the cluster %q, not to %q: one provider block serves one cluster.", r.Cluster.Name, cluster)}
}

func exists(object mesh.Ref, attribute, what, id string) error {
	return &mesh.Error{Object: object, Attribute: attribute, Taken: object, Detail: fmt.Sprintf(
		"There already is a %s %s, made by another resource or by another Terraform state. Import it (id %q), or choose another %s. "+
			"Was only its key or name in the configuration changed, write a moved block.",
		what, id, id, attribute)}
}
