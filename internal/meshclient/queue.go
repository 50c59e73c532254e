package meshclient

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// operation is one resource's change to the record.
type operation struct {
	// objects are the parts of the record that it touches; problems that name
	// one of them are its own.
	objects []mesh.Ref
	// apply changes the record, or returns an *mesh.Error. It is called again on
	// a fresh copy whenever the commit is begun anew.
	apply func(*mesh.Record) error
	// create is set for the operation that makes the cluster: it starts from
	// this record where there is none.
	create *mesh.Record
	join   *join // the host that it brings in, nil for other changes
	// voters changes who the voters are, given those of now; nil leaves them.
	voters func(snap *Snapshot, now []string) []string
	// gone is the host that a forced removal gives up, nil for other changes.
	gone *sshdial.Endpoint

	ctx    context.Context
	done   chan struct{} // closed when result and err are set
	result *Result
	err    error
	busy   *BusyError // why it waits, for a caller that gives up

	stage stage // guarded by the queue
	batch *batch
}

// join is a host that becomes a node, or a node that changes.
type join struct {
	node   string
	ep     *sshdial.Endpoint
	status *mesh.Status
}

type stage int

const (
	waiting    stage = iota // may be withdrawn; so may one in a batch that prepares
	committing              // its commit has been sent: it ends as that ends
	ended
)

// queue is group commit: one batch at a time; what arrives meanwhile joins the
// next one, or this one's next round.
type queue struct {
	run    func(context.Context, *batch)
	detach func(context.Context, time.Duration) (context.Context, context.CancelFunc)

	mu      sync.Mutex
	waiting []*operation
	running bool
	closed  bool
	loops   sync.WaitGroup
}

// submit returns when the operation is committed, refused or withdrawn. A
// caller whose ctx ends withdraws it, unless its commit has already been sent:
// then the outcome is worth waiting for, and bounded by the commit's deadline.
func (q *queue) submit(ctx context.Context, op *operation) (*Result, error) {
	op.ctx, op.done = ctx, make(chan struct{})
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil, ErrClosed
	}
	q.waiting = append(q.waiting, op)
	if !q.running {
		q.running = true
		q.loops.Add(1)
		go q.loop() //nolint:contextcheck // a batch belongs to no one caller: its context is made of theirs
	}
	q.mu.Unlock()
	select {
	case <-op.done:
	case <-ctx.Done():
		if err := q.withdraw(op); err != nil {
			return nil, err
		}
		<-op.done
	}
	return op.result, op.err
}

// withdraw takes the operation back and returns the caller's error, or nil when
// it is too late.
func (q *queue) withdraw(op *operation) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if op.stage != waiting {
		return nil
	}
	op.stage = ended
	if op.batch != nil {
		op.batch.stopIfEmpty()
	}
	if op.busy != nil {
		return errors.Join(op.busy, op.ctx.Err())
	}
	return op.ctx.Err()
}

func (q *queue) loop() {
	defer q.loops.Done()
	for {
		b := &batch{queue: q}
		q.mu.Lock()
		b.take()
		if len(b.ops) == 0 {
			q.running = false
			q.mu.Unlock()
			return
		}
		// The batch's time is not any one caller's: it ends when none is left.
		ctx, cancel := q.detach(b.ops[0].ctx, batchTimeout)
		b.cancel = cancel
		b.stopIfEmpty()
		q.mu.Unlock()
		q.run(ctx, b)
		cancel()
	}
}

// close waits for the batch in flight; operations that are in none end with
// ErrClosed.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	for _, op := range q.waiting {
		q.end(op, nil, ErrClosed)
	}
	q.mu.Unlock()
	q.loops.Wait()
}

// end delivers an outcome. Called with mu held.
func (q *queue) end(op *operation, r *Result, err error) {
	if op.stage == ended {
		return
	}
	op.stage, op.result, op.err = ended, r, err
	close(op.done)
}
