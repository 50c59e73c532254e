package reconcile

import (
	"maps"
	"slices"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Announce says that rec will be committed, as the named node: what drains from then on
// is on disk when it returns, so that no crash loses a deadline. An error is one of the
// disk; then rec must not be saved. The origin of next, nil if it is not known, says what
// has changed, so that the Commit of it need not compare all ports either.
func (r *Reconciler) Announce(next *mesh.Record, node string, origin *mesh.Origin) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.desired.Expect(next, node, origin)
	return r.drains.announce(next, r.drainsUnder(next, node))
}

// drainsUnder is what drains once next is the record.
func (r *Reconciler) drainsUnder(next *mesh.Record, node string) drainSet {
	return newSuccession(r.rec, next, node).drains(r.drains.now, r.served(next, node), time.Now())
}

// served are the destinations that the node has now, of those ports and VIPs of which next
// may ask for something else.
func (r *Reconciler) served(next *mesh.Record, node string) (destinations []state.RealServer) {
	if r.rec == nil || r.node != node {
		return nil
	}
	ports, known := r.desired.ChangedPorts(next, node)
	note := func(objects []state.Object) {
		for _, o := range objects {
			if d, ok := o.(state.RealServer); ok {
				destinations = append(destinations, d)
			}
		}
	}
	if !known {
		ports = slices.Collect(maps.Keys(r.rec.Ports))
		for name := range r.rec.Services {
			note(r.desired.VIP(name))
		}
	}
	for _, key := range ports {
		note(r.desired.Port(key))
	}
	return destinations
}
