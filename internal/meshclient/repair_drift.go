package meshclient

import (
	"context"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Drifted lists the objects of the record that have drift, sorted. Of one node (not "")
// they are the node, and those of which it says itself that it lacks something.
func (s *Snapshot) Drifted(node string) []mesh.Ref {
	if s.Record == nil {
		return nil
	}
	var objects []mesh.Ref
	add := func(o mesh.Ref) {
		if s.Record.Has(o) {
			objects = append(objects, o)
		}
	}
	for o := range s.reported() {
		if node == "" || o == mesh.NodeRef(node) {
			add(o)
		}
	}
	if st := s.Nodes[node].Status; st != nil { // the node that is asked for
		for _, p := range st.Problems {
			add(p.Object)
		}
	}
	slices.SortFunc(objects, mesh.Ref.Compare)
	return slices.Compact(objects)
}

// Repair does for one object what its own change does where nothing but drift is to be
// changed: nodes that report it are asked to repair it, one that is behind is sent the
// record, an agent that is missing is installed. The record stays as it is. Several
// repairs at the same time share their commit.
func (c *Client) Repair(ctx context.Context, cluster string, o mesh.Ref) (*Result, error) {
	switch o.Kind {
	case mesh.KindCluster:
		return c.updateCluster(ctx, cluster, func(*mesh.Record) error { return nil })
	case mesh.KindNode:
		return c.repairNode(ctx, cluster, o)
	}
	return c.queue.submit(ctx, &operation{
		objects: []mesh.Ref{o},
		apply:   func(r *mesh.Record) error { return inCluster(r, cluster, o) },
	})
}

// repairNode keeps of the node what the record has, also what another writer has changed
// meanwhile, and takes over what only its host knows.
func (c *Client) repairNode(ctx context.Context, cluster string, o mesh.Ref) (*Result, error) {
	snap, err := c.startingPoint(ctx, false)
	if err != nil {
		return nil, err
	}
	if snap.Record == nil {
		return nil, errNoCluster()
	}
	n := snap.Record.Nodes[o.Name]
	if n == nil {
		return nil, noNode(cluster, o.Name)
	}
	return c.applyNode(ctx, *n, func(r *mesh.Record, ready mesh.Node) error {
		if err := inCluster(r, cluster, o); err != nil {
			return err
		}
		if r.Nodes[o.Name] == nil {
			return noNode(cluster, o.Name)
		}
		now := *r.Nodes[o.Name]
		now.UnderlayMTU, now.SSH.HostKey = ready.UnderlayMTU, ready.SSH.HostKey
		return r.PutNode(&now)
	})
}

func noNode(cluster, name string) error {
	return &mesh.Error{Object: mesh.NodeRef(name), Attribute: "node", Summary: "No such node",
		Detail: "The cluster " + cluster + " has no node " + name + "."}
}
