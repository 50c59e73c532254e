package meshclient

import (
	"context"
	"fmt"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
)

// balancerNotice is how long a node that leaves still serves after its health
// address has begun to answer 503: a balancer that asks every 2 s and wants
// three refusals, as HAProxy does by default, has turned away by then.
const balancerNotice = 10 * time.Second

// DrainedError is a node that was drained for its removal, which then did not
// come about. The reason can be found with errors.As.
type DrainedError struct {
	Node string
	Err  error
}

func (e *DrainedError) Error() string {
	return fmt.Sprintf("%s\n%s", prose.Sentence(e.Err.Error()), e.Consequence())
}

// Consequence says what the node is like now, and what to do.
func (e *DrainedError) Consequence() string {
	return fmt.Sprintf("Node %s was not removed, and has been drained for it: its availability is drain in the cluster's record, so that its endpoints get no new connections. "+
		"Run the apply again to remove it; if it is to stay, the next plan sets it back to active.", e.Node)
}

func (e *DrainedError) Unwrap() error { return e.Err }

// drain takes the node out of use before it is removed, where something is
// published that leads to it or through it: first its endpoints, then, as soon
// as they have no connections left, the connections that enter there. It tells
// whether the record says by now that the node drains.
func (l *leaving) drain(ctx context.Context, cluster string, snap *Snapshot) (drained bool, err error) {
	if !l.answers || !carries(snap.Record, l.name) {
		return false, nil
	}
	began, longest := time.Now(), longestDrain(snap.Record)
	members := l.answering(snap)
	if snap.Record.Nodes[l.name].Serving() {
		result, err := l.setDrain(ctx, cluster)
		if result == nil || outcomeUnknown(err) {
			return false, err
		}
		// What a node did not take of it, it does not take of the removal either.
		if result.draining != nil { // else somebody else has done it
			members = result.draining.members
		}
	}
	l.waitDrained(ctx, members, longest, l.drains, nil)
	if ctx.Err() == nil {
		l.waitLeft(ctx, began, longest, snap.Record.Cluster.HealthAddress != "")
	}
	if ctx.Err() != nil {
		return true, &DrainedError{l.name, context.Cause(ctx)}
	}
	return true, nil
}

// drains says that a drain is of an endpoint on the node.
func (l *leaving) drains(d mesh.Drain) bool { return d.Node == l.name }

// carries says that connections may lead to the node, or enter through it to a
// service that has endpoints.
func carries(r *mesh.Record, name string) bool {
	for _, p := range r.Ports {
		service := r.Services[p.Service]
		for _, key := range r.LiveEndpoints(service) {
			if p.Mode == mesh.Ingress && p.Nodes.Has(name) || service.Endpoints[key].Node == name {
				return true
			}
		}
	}
	return false
}

func (l *leaving) setDrain(ctx context.Context, cluster string) (*Result, error) {
	object := mesh.NodeRef(l.name)
	return l.queue.submit(ctx, &operation{
		objects: []mesh.Ref{object},
		apply: func(r *mesh.Record) error {
			if err := inCluster(r, cluster, object); err != nil {
				return err
			}
			if r.Nodes[l.name] == nil {
				return nil // somebody else has removed it
			}
			n := *r.Nodes[l.name]
			n.Availability = mesh.AvailabilityDrain
			return r.PutNode(&n)
		},
	})
}

// answering lists the nodes that may drain something since before.
func (l *leaving) answering(snap *Snapshot) []*member {
	var members []*member
	for name, n := range snap.Record.Nodes {
		if m := l.nodeMember(snap, n, nil); snap.Nodes[name].Status != nil {
			members = append(members, m)
		}
	}
	return members
}

// waitLeft waits until nobody is connected through the node: as long as the
// longest drain may take, from began on. Where a balancer may watch the health
// address, it is given the time to turn away first. It returns how many still are.
func (l *leaving) waitLeft(ctx context.Context, began time.Time, longest time.Duration, watched bool) (entering int) {
	notice := time.Duration(0)
	if watched {
		notice = min(balancerNotice, longest)
	}
	open, shut := l.whileOpen(ctx)
	defer shut()
	ctx, cancel := context.WithDeadline(open, began.Add(longest))
	defer cancel()
	w := drainWatch{
		ask: func(ctx context.Context) (*mesh.Drains, error) {
			d, err := l.agents.Drains(ctx, l.ep)
			if err == nil && l.entered != nil {
				l.entered(d)
			}
			return d, err
		},
		done: func(d *mesh.Drains) (time.Duration, bool) {
			return longest, d.Entering == 0 && time.Since(began) >= notice
		},
	}
	if last, _ := w.wait(ctx, 0); last != nil {
		return last.Entering
	}
	return 0
}
