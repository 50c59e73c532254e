package reconcile

import (
	"bytes"
	"context"
	"fmt"
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
	blind   error         // what a look fails with
	slow    time.Duration // how long a look takes
	ops     []state.Op
	scopes  []kernel.Scope
	// loads are the connections of destinations, none where not listed; deaf is
	// what Loads fails with, counted how often it was asked.
	loads      map[state.Key]kernel.Load
	deaf       error
	counted    int
	forwarding state.Forwarding
	// afterApply breaks something after every Apply.
	afterApply func(state.State)
}

func newFakeKernel() *fakeKernel {
	return &fakeKernel{has: state.State{}, refuses: map[state.Key]error{}, loads: map[state.Key]kernel.Load{}}
}

func (f *fakeKernel) Forwarding() (state.Forwarding, error) { return f.forwarding, nil }

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

func (f *fakeKernel) Differences(_ context.Context, scope kernel.Scope, desired state.State) ([]state.Op, error) {
	f.scopes = append(f.scopes, scope)
	time.Sleep(f.slow)
	if f.blind != nil {
		return nil, f.blind
	}
	if scope == kernel.Traffic {
		return state.Plan(without(desired, state.KindChain), without(f.has, state.KindChain)), nil
	}
	return state.Plan(desired, f.has), nil
}

// ObservePart is noted as aPart.
func (f *fakeKernel) ObservePart(_ context.Context, objects state.State) (state.State, error) {
	f.scopes = append(f.scopes, aPart)
	time.Sleep(f.slow)
	if f.blind != nil {
		return nil, f.blind
	}
	found := state.State{}
	for key, o := range f.has {
		server := state.Key{Kind: state.KindVirtualServer, NS: state.Mesh, Name: key.Name, A: key.A}
		if objects[key] != nil || key.Kind == state.KindRealServer && objects[server] != nil {
			found[key] = o
		}
	}
	for key := range objects {
		if !kernel.InPart(key) {
			return nil, fmt.Errorf("%v is not in a part", key)
		}
	}
	return found, nil
}

// aPart is the scope of a look at what has changed only.
const aPart kernel.Scope = 100

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

func without(s state.State, kind state.Kind) state.State {
	part := maps.Clone(s)
	maps.DeleteFunc(part, func(k state.Key, _ state.Object) bool { return k.Kind == kind })
	return part
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
	certain   bool // untouched is no guess
	disturbed bool // somebody else writes at the same time as a pass
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

func (w *fakeWatch) ChainsCertain() bool { return w.certain && w.untouched && !w.Pending() }

func (w *fakeWatch) Untouched() bool { return w.untouched && !w.Pending() }

func (w *fakeWatch) Own([]state.Op) bool {
	if w.disturbed {
		w.see()
	}
	return !w.disturbed
}

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
