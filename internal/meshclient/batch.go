package meshclient

import "context"

// batch is a group of operations on their way to one commit.
type batch struct {
	queue   *queue
	ops     []*operation
	cancel  context.CancelFunc
	stopped bool // cancel was called: nothing may join any more
}

// take adds what waits to the batch. Called with mu held.
func (b *batch) take() {
	for _, op := range b.queue.waiting {
		if op.stage == waiting {
			op.batch = b
			b.ops = append(b.ops, op)
		}
	}
	b.queue.waiting = nil
}

// stopIfEmpty ends the work for operations that have all been withdrawn.
// Called with mu held.
func (b *batch) stopIfEmpty() {
	for _, op := range b.ops {
		if op.stage != ended {
			return
		}
	}
	b.stopped = true
	b.cancel()
}

// live takes in what arrived, and returns the operations still wanted.
func (b *batch) live() []*operation {
	b.queue.mu.Lock()
	defer b.queue.mu.Unlock()
	if !b.stopped {
		b.take()
	}
	var ops []*operation
	for _, op := range b.ops {
		if op.stage == waiting {
			ops = append(ops, op)
		}
	}
	b.ops = ops
	return ops
}

// begin marks the operations as being committed; false when one of them was
// withdrawn since, and the record is to be made again without it.
func (b *batch) begin(ops []*operation) bool {
	b.queue.mu.Lock()
	defer b.queue.mu.Unlock()
	for _, op := range ops {
		if op.stage != waiting {
			return false
		}
	}
	for _, op := range ops {
		op.stage = committing
	}
	return true
}

// again puts operations back whose commit certainly reached nobody.
func (b *batch) again(ops []*operation) {
	b.queue.mu.Lock()
	defer b.queue.mu.Unlock()
	for _, op := range ops {
		op.stage = waiting
	}
}

func (b *batch) end(op *operation, r *Result, err error) {
	b.queue.mu.Lock()
	defer b.queue.mu.Unlock()
	b.queue.end(op, r, err)
}

// waitsFor notes why the operations wait.
func (b *batch) waitsFor(ops []*operation, busy *BusyError) {
	b.queue.mu.Lock()
	defer b.queue.mu.Unlock()
	for _, op := range ops {
		op.busy = busy
	}
}
