package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// extraModules is where distributions keep the modules that a small kernel lacks.
const extraModules = "Ubuntu: apt install linux-modules-extra-$(uname -r), RHEL and its kin: dnf install kernel-modules-extra, Debian's cloud kernel: apt install linux-image-amd64 or linux-image-arm64"

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
// An op may take others with it: a link that has to be made anew loses its
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
		err = errors.Join(err, k.forgetStaleFlows(ctx, before))
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
		done := chainRun(ops)
		if done > 0 {
			failed = append(failed, k.applyChains(ctx, ops[:done])...)
		} else {
			done = bulkRun(ops)
			for _, op := range k.bulk(ctx, ops[:done]) {
				if err := k.write(ctx, op); err != nil {
					failed = append(failed, opError(op, err))
				}
			}
		}
		ops = ops[done:]
	}
	return failed
}

// bulkRun counts the leading ops that can be sent to the kernel at once: additions,
// or removals, of one kind. At least one.
func bulkRun(ops []state.Op) int {
	action, kind := ops[0].Action, ops[0].Object().Key().Kind
	if action == state.Change || kind != state.KindVirtualServer && kind != state.KindRealServer && kind != state.KindSetMember {
		return 1
	}
	n := 1
	for n < min(len(ops), maxBatch) && ops[n].Action == action && ops[n].Object().Key().Kind == kind {
		n++
	}
	return n
}

// bulk does what it can of several ops at once and returns the others, which are to
// be written one by one.
func (k *Kernel) bulk(ctx context.Context, ops []state.Op) (left []state.Op) {
	if len(ops) == 1 {
		return ops
	}
	if ops[0].Object().Key().Kind == state.KindSetMember {
		return k.sets.bulk(ops)
	}
	if mesh, err := k.openMesh(); err != nil || mesh == nil {
		return ops
	}
	return k.balancer.Bulk(ctx, ops)
}

func (k *Kernel) write(ctx context.Context, op state.Op) error {
	if op.Action == state.Remove {
		return k.remove(ctx, op.Old)
	}
	return k.put(ctx, op)
}

// put makes an object, or what is there into it.
func (k *Kernel) put(ctx context.Context, op state.Op) error {
	switch o := op.New.(type) {
	case state.NetNS:
		return k.putNamespace()
	case state.Veth:
		return k.putVeth(ctx, o)
	case state.VXLAN:
		return k.putVXLAN(ctx, o)
	case state.Addr:
		return k.putAddr(o)
	case state.Sysctl:
		return k.putSysctl(ctx, o)
	case state.Neigh:
		return k.putNeigh(o)
	case state.FDB:
		return k.putFDB(o)
	case state.Route:
		return k.putRoute(o)
	case state.Rule:
		return k.putRule(op.Old, o)
	case state.Set:
		return k.putSet(op.Old, o)
	case state.SetMember:
		return k.sets.add(o)
	case state.Timeouts:
		return k.balance(true, func(b Balancer) error { return b.PutTimeouts(ctx, o) })
	case state.VirtualServer:
		return k.balance(true, func(b Balancer) error { return b.PutVirtual(ctx, o) })
	case state.RealServer:
		return k.balance(true, func(b Balancer) error { return b.PutReal(ctx, o) })
	}
	return fmt.Errorf("no way to make a %T", op.New)
}

// remove takes an object away. One that went with the namespace or the link that
// it was in is gone as well.
func (k *Kernel) remove(ctx context.Context, o state.Object) error {
	switch o := o.(type) {
	case state.NetNS:
		return k.removeNamespace()
	case state.Veth:
		return k.removeVeth()
	case state.VXLAN:
		return k.removeVXLAN()
	case state.Addr:
		return k.removeAddr(o)
	case state.Sysctl:
		return k.removeSysctl(o)
	case state.Neigh:
		return k.removeNeigh(o)
	case state.FDB:
		return k.removeFDB(o)
	case state.Route:
		return k.removeRoute(o)
	case state.Rule:
		return k.removeRule(o)
	case state.Set:
		return k.removeSet(o)
	case state.SetMember:
		return k.removeMember(o)
	case state.Timeouts: // they go with the namespace
		return nil
	case state.VirtualServer:
		return k.balance(false, func(b Balancer) error { return b.RemoveVirtual(ctx, o) })
	case state.RealServer:
		return k.balance(false, func(b Balancer) error { return b.RemoveReal(ctx, o) })
	}
	return fmt.Errorf("no way to remove a %T", o)
}

// balance does something with the balancer; where its namespace has gone, so has
// what was to be removed.
func (k *Kernel) balance(needed bool, do func(Balancer) error) error {
	mesh, err := k.openMesh()
	if err == nil && mesh == nil && needed {
		_, err = k.needMesh()
	}
	if err != nil || mesh == nil {
		return err
	}
	return do(k.balancer)
}
