package meshclient

import (
	"context"
	"sync"
	"time"
)

// snapshotCache shares one fetch among all who ask at the same time, and its
// result among all who ask until the next drop. Of a commit it keeps what the
// nodes have said since, for the next one.
type snapshotCache struct {
	fetch  func(context.Context) (*Snapshot, error)
	detach func(context.Context, time.Duration) (context.Context, context.CancelFunc)

	mu     sync.Mutex
	era    uint64 // +1 per drop: a fetch that began in an earlier era is not stored
	cached *Snapshot
	left   *Snapshot // by the last commit, until the nodes are asked again
	flight *snapshotFlight
}

type snapshotFlight struct {
	era      uint64
	done     chan struct{}
	snapshot *Snapshot
	err      error
}

func (c *snapshotCache) get(ctx context.Context) (*Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.cached != nil {
		defer c.mu.Unlock()
		return c.cached, nil
	}
	if c.flight == nil || c.flight.era != c.era {
		c.flight = &snapshotFlight{era: c.era, done: make(chan struct{})}
		go c.fly(ctx, c.flight)
	}
	f := c.flight
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.snapshot, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fly outlives the caller that began it: others wait for the same answer.
func (c *snapshotCache) fly(ctx context.Context, f *snapshotFlight) {
	ctx, cancel := c.detach(ctx, fetchTimeout)
	defer cancel()
	f.snapshot, f.err = c.fetch(ctx)
	c.mu.Lock()
	if c.flight == f {
		c.flight = nil
	}
	// An answer that leaves open whether there is a record is an error for who
	// asked, and the next one asks again.
	if f.err == nil && f.era == c.era && f.snapshot.verdict() == nil {
		c.cached, c.left = f.snapshot, nil
	}
	c.mu.Unlock()
	close(f.done)
}

// forChange is get for who makes a change: after a commit, what that has left.
func (c *snapshotCache) forChange(ctx context.Context) (*Snapshot, error) {
	c.mu.Lock()
	left := c.left
	c.mu.Unlock()
	if left != nil && ctx.Err() == nil {
		return left, nil
	}
	return c.get(ctx)
}

func (c *snapshotCache) drop() { c.committed(nil) }

// committed drops what was fetched: who reads asks the nodes again. left is nil
// where the next change is to do so, too.
func (c *snapshotCache) committed(left *Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.era++
	c.cached, c.left = nil, left
}

func (c *snapshotCache) last() *Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cached
}
