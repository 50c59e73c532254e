package meshclient

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

const (
	// removalGrace is how long a creation waits, after the last removal that this
	// client has been asked for, for the one that would make room for it. Terraform
	// starts what does not depend on each other at the same time, so that the
	// destroy of a renamed resource comes within moments of its create.
	removalGrace = 5 * time.Second
	// removalPatience bounds the wait for a removal that has not begun.
	removalPatience = time.Minute
)

// removals are the removals of this client. A resource whose key in Terraform
// was renamed is destroyed and created by one apply, in no order: the create
// waits for the destroy.
type removals struct {
	grace time.Duration

	mu     sync.Mutex
	count  uint64              // of beginnings and ends
	ended  map[mesh.Ref]uint64 // the count at the end of the last one
	active map[mesh.Ref]int
	hosts  map[string]int // active ones of nodes, by the route to the host
	last   time.Time      // beginning or end
	signal chan struct{}  // closed at the next one
}

func newRemovals() *removals {
	return &removals{
		grace: removalGrace, ended: map[mesh.Ref]uint64{}, active: map[mesh.Ref]int{}, hosts: map[string]int{}, signal: make(chan struct{}),
	}
}

// begin says that the object is being removed until done is called; route is
// that of a node's host, "" for other objects.
func (r *removals) begin(o mesh.Ref, route string) (done func()) {
	end := r.attempt(o, route)
	return func() { end(true) }
}

// attempt is begin for what may leave the object where it is: it makes room only if it has
// removed something.
func (r *removals) attempt(o mesh.Ref, route string) (done func(removed bool)) {
	step := func(by int, removed bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.count++
		r.active[o] += by
		if route != "" {
			r.hosts[route] += by
		}
		if removed {
			r.ended[o] = r.count
		}
		r.last = time.Now()
		close(r.signal)
		r.signal = make(chan struct{})
	}
	step(1, false)
	return func(removed bool) { step(-1, removed) }
}

func (r *removals) now() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// await returns true when a removal of the object has ended since the count was
// since, false when none is to be expected or ctx ends.
func (r *removals) await(ctx context.Context, o mesh.Ref, since uint64) bool {
	began := time.Now()
	for {
		r.mu.Lock()
		ended, active, signal := r.ended[o] > since, r.active[o] > 0, r.signal
		until := began.Add(r.grace)
		if later := r.last.Add(r.grace); later.After(until) {
			until = later
		}
		if most := began.Add(removalPatience); until.After(most) {
			until = most
		}
		r.mu.Unlock()
		if ended {
			return true
		}
		var timeout <-chan time.Time
		if !active {
			timeout = time.After(time.Until(until))
		}
		select {
		case <-signal:
		case <-timeout:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// hostFree waits until no node that the route leads to is being removed.
func (r *removals) hostFree(ctx context.Context, route string) error {
	for {
		r.mu.Lock()
		busy, signal := r.hosts[route] > 0, r.signal
		r.mu.Unlock()
		if !busy {
			return nil
		}
		select {
		case <-signal:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// afterRemoval creates something, and again when what stood in its way has been
// removed by this client.
func (c *Client) afterRemoval(ctx context.Context, create func() (*Result, error)) (*Result, error) {
	for {
		since := c.removals.now()
		res, err := create()
		broken, ok := errors.AsType[*mesh.Error](err)
		if !ok || res != nil || broken.Taken.IsZero() || !c.removals.await(ctx, broken.Taken, since) {
			return res, err
		}
	}
}
