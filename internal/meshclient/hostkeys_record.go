package meshclient

import (
	"context"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// heedRecord holds the provider's hosts to the keys that the record has of them
// as nodes, where nothing else is known but the Terraform state or the first
// sight. Both may be wrong: the state still has the old key of a host that was
// set up anew and has joined again, and an apply knows none, for it reads no
// state of the cluster. Those to whom that makes a difference are asked again,
// and the record is chosen anew.
func (f *fetch) heedRecord(ctx context.Context) {
	var again []*sshdial.Endpoint
	for _, ep := range f.client.hosts {
		if n := f.nodeAt(ep); n != nil && f.client.pool.Contradicts(ep, n.SSH.HostKey, f.asked[ep.Key()].Err) {
			f.client.pool.Repin(ep, n.SSH.HostKey, "the cluster's record, of node "+n.Name)
			again = append(again, ep)
		}
	}
	if len(again) == 0 {
		return
	}
	f.ask(ctx, again, "")
	f.choose(ctx)
}

// nodeAt returns the node of the record that is reached as ep is.
func (f *fetch) nodeAt(ep *sshdial.Endpoint) *mesh.Node {
	if f.record == nil {
		return nil
	}
	for _, n := range f.record.Nodes {
		if at, err := f.client.nodeEndpoint(n); err == nil && at.Route() == ep.Route() {
			return n
		}
	}
	return nil
}
