package reconcile

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// fakeKernel does what it is told, but for the keys in refuses, and notes it.
type fakeKernel struct {
	has     state.State
	refuses map[state.Key]error
	blind   error         // what Observe fails with
	slow    time.Duration // how long Observe takes
	ops     []state.Op
	scopes  []kernel.Scope
	// loads are the connections of destinations, none where not listed; deaf is
	// what Loads fails with, counted how often it was asked.
	loads   map[state.Key]kernel.Load
	deaf    error
	counted int
	// afterApply breaks something after every Apply.
	afterApply func(state.State)
}

func newFakeKernel() *fakeKernel {
	return &fakeKernel{has: state.State{}, refuses: map[state.Key]error{}, loads: map[state.Key]kernel.Load{}}
}

func (f *fakeKernel) Loads(context.Context) (map[state.Key]kernel.Load, error) {
	f.counted++
	if f.deaf != nil {
		return nil, f.deaf
	}
	loads := map[state.Key]kernel.Load{}
	for key := range f.has {
		if key.Kind == state.KindRealServer {
			loads[key] = f.loads[key]
		}
	}
	return loads, nil
}

func (f *fakeKernel) Observe(_ context.Context, scope kernel.Scope) (state.State, error) {
	f.scopes = append(f.scopes, scope)
	time.Sleep(f.slow)
	if f.blind != nil {
		return nil, f.blind
	}
	if scope == kernel.Traffic {
		return without(f.has, state.KindChain), nil
	}
	return maps.Clone(f.has), nil
}

func (f *fakeKernel) Apply(_ context.Context, ops []state.Op) (failed []kernel.OpError) {
	for _, op := range ops {
		f.ops = append(f.ops, op)
		key := op.Object().Key()
		switch {
		case f.refuses[key] != nil:
			failed = append(failed, kernel.OpError{Op: op, Err: f.refuses[key]})
		case op.Action != state.Remove:
			f.has.Put(op.New)
		case key.Kind == state.KindNamespace: // takes what is in it along
			maps.DeleteFunc(f.has, func(k state.Key, _ state.Object) bool { return k == key || k.NS == state.Mesh })
		default:
			delete(f.has, key)
		}
	}
	if f.afterApply != nil {
		f.afterApply(f.has)
	}
	return failed
}

func (f *fakeKernel) forget() { f.ops, f.scopes = nil, nil }

var debian12 = state.KernelVersion{Major: 6, Minor: 1}

func newReconciler(k Kernel) (*Reconciler, *bytes.Buffer) {
	r, _, log := newWatched(k, Options{})
	r.Watch = noWatch{}
	return r, log
}

// newWatched returns a reconciler with a fake watch and the rest of the options.
func newWatched(k Kernel, o Options) (*Reconciler, *fakeWatch, *bytes.Buffer) {
	var log bytes.Buffer
	w := &fakeWatch{wake: make(chan struct{}, 1), untouched: true}
	o.Kernel, o.Version, o.Watch, o.Log = k, debian12, w, slog.New(slog.NewTextHandler(&log, nil))
	return New(o), w, &log
}

// fakeWatch is told what it has seen.
type fakeWatch struct {
	mu        sync.Mutex
	wake      chan struct{}
	pending   bool
	untouched bool
	covered   []kernel.Scope
}

func (w *fakeWatch) Wake() <-chan struct{} { return w.wake }

func (w *fakeWatch) Pending() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pending
}

func (w *fakeWatch) Cover(scope kernel.Scope) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = false
	w.covered = append(w.covered, scope)
}

func (w *fakeWatch) ChainsUntouched() bool { return w.untouched }

// see is an event.
func (w *fakeWatch) see() {
	w.mu.Lock()
	w.pending = true
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
