package main

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// patience is how long a client's request may take, the connect included. A probe has load.Patience, by the clock: when it fails, and for
	// how long, is what it measures, while of a client's request only that it fails matters, so that it must not fail for nothing.
	patience = 5 * time.Second
	// step is how it passes: a machine that stands still, or has no time for the load, as an emulated one that others use as well, makes
	// nobody older by more than that.
	step = 50 * time.Millisecond
)

var errLate = errors.New("not within " + patience.String())

// waiting ends what takes longer than patience.
type waiting struct {
	mu  sync.Mutex
	age int // in steps
	all map[*wait]bool
}

type wait struct {
	until int
	end   context.CancelCauseFunc
}

// within is a context that ends with errLate once patience has passed.
func (w *waiting) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancelCause(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	one := &wait{w.age + int(patience/step), end}
	w.all[one] = true
	return ctx, func() {
		w.mu.Lock()
		delete(w.all, one)
		w.mu.Unlock()
		end(nil)
	}
}

// pass has time pass until ctx ends. Ticks that nobody has received are lost, which is the point.
func (w *waiting) pass(ctx context.Context) {
	tick := time.NewTicker(step)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.older()
		}
	}
}

func (w *waiting) older() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.age++
	for one := range w.all {
		if w.age >= one.until {
			one.end(errLate)
		}
	}
}
