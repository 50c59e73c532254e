package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// OpError is an op that could not be done.
type OpError struct {
	Op  state.Op
	Err error
}

func (e OpError) Error() string { return e.Err.Error() }

// Unwrap lets errors.Is see the kernel's answer.
func (e OpError) Unwrap() error { return e.Err }

func opError(op state.Op, err error) OpError {
	return OpError{Op: op, Err: fmt.Errorf("%s: %w", op, err)}
}

// Apply does the ops in order, and goes on after one that fails. Doing one twice,
// or one that somebody else has done meanwhile, is no error.
//
// An op may take others with it: a link that has to be recreated loses its
// addresses, routes and neighbours, a set its members. So the caller observes and
// plans again until nothing is left to do, a bounded number of times.
func (k *Kernel) Apply(ctx context.Context, ops []state.Op) []OpError {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.meshKnown = false
	i := slices.IndexFunc(ops, changesFlows)
	if i < 0 {
		return k.writeAll(ctx, ops)
	}
	before, err := k.meshAddresses()
	failed := k.writeAll(ctx, ops)
	if ctx.Err() == nil {
		err = errors.Join(err, k.forgetStaleFlows(ctx, ops, before))
	}
	if err != nil {
		failed = append(failed, opError(ops[i], err))
	}
	return failed
}

func (k *Kernel) writeAll(ctx context.Context, ops []state.Op) (failed []OpError) {
	for len(ops) > 0 {
		if err := context.Cause(ctx); err != nil {
			for _, op := range ops {
				failed = append(failed, opError(op, err))
			}
			return failed
		}
		done, these := k.do(ctx, ops)
		failed = append(failed, these...)
		ops = ops[done:]
	}
	return failed
}
