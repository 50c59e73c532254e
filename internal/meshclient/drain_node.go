package meshclient

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// StillOpenError is a node whose endpoints still have connections although the time that
// was given to drain it is over.
type StillOpenError struct {
	Node string
	// Left says of each endpoint how many, and until when they are given.
	Left []string
	Err  error // why the wait has ended
}

func (e *StillOpenError) Error() string {
	return fmt.Sprintf("node %s drains, and gets no new connections, but not all of the old ones have ended in the time that was given: %s", e.Node, strings.Join(e.Left, " "))
}

func (e *StillOpenError) Unwrap() error { return e.Err }

// Open is how many connections a node still has.
type Open struct {
	// Endpoints is those that lead to endpoints on it, Entering those that come in
	// through it, whatever their endpoint.
	Endpoints, Entering int
}

// DrainNode takes a node out of use, as availability = "drain" does, and waits until no
// node has a connection to its endpoints any more; at the end of ctx that is a
// *StillOpenError. Then it waits until nobody is connected through the node, for no longer
// than the longest drain_timeout: connections that stay are served by other nodes'
// endpoints, and are a warning. seen is told when what is open has changed.
func (c *Client) DrainNode(ctx context.Context, cluster, name string, seen func(Open)) (*Result, error) {
	snap, err := c.startingPoint(ctx, false)
	if err != nil {
		return nil, err
	}
	if snap.Record == nil {
		return nil, errNoCluster()
	}
	if err := inCluster(snap.Record, cluster, mesh.NodeRef(name)); err != nil {
		return nil, err
	}
	l := &leaving{Client: c, name: name, host: c.hostOf(snap.Record, name, snap.statusAt)}
	if snap.Record.Nodes[name] == nil {
		return nil, noNode(cluster, name)
	}
	l.find(snap.Record)
	began, longest, members := time.Now(), longestDrain(snap.Record), l.answering(snap)
	result, err := l.setDrain(ctx, cluster)
	if result == nil || outcomeUnknown(err) {
		return result, err
	}
	if result.draining != nil { // else it drains since before
		members = result.draining.members
	}
	o := &openTally{leading: map[*member]int{}, ours: l.drains, seen: seen}
	if left := l.waitDrained(ctx, members, longest, l.drains, o.drains); len(left) > 0 {
		return result, &StillOpenError{name, stillDraining(left, ctx.Err() != nil), context.Cause(ctx)}
	}
	if ctx.Err() == nil && snap.Nodes[name].Status != nil {
		l.entered = o.entering
		if n := l.waitLeft(ctx, began, longest, snap.Record.Cluster.HealthAddress != ""); n > 0 {
			result.Warnings = append(result.Warnings, notice(mesh.ProblemDraining, mesh.NodeRef(name), "%s still come in through node %s. "+
				"They are served by endpoints on other nodes, and break when its host stops.", counted(n, "connection"), name))
		}
	}
	return result, err
}

// openTally adds up what the nodes say.
type openTally struct {
	ours func(mesh.Drain) bool
	seen func(Open)

	mu      sync.Mutex
	leading map[*member]int
	told    Open
	begun   bool
}

func (o *openTally) drains(m *member, d *mesh.Drains) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.leading[m] = 0
	for _, drain := range d.Drains {
		if o.ours(drain) {
			o.leading[m] += int(drain.Active)
		}
	}
	now := Open{Entering: o.told.Entering}
	for _, n := range o.leading {
		now.Endpoints += n
	}
	o.tell(now)
}

func (o *openTally) entering(d *mesh.Drains) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tell(Open{Endpoints: o.told.Endpoints, Entering: d.Entering})
}

func (o *openTally) tell(now Open) {
	if now == o.told && o.begun {
		return
	}
	o.told, o.begun = now, true
	o.seen(now)
}
