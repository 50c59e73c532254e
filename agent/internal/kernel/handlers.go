package kernel

import (
	"context"
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/watch"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// handler is all that the package does with the objects of one kind. It stands in the
// file that has the kind's calls.
type handler struct {
	// observe puts what there is of the kind in a namespace. It is nil where another
	// kind's call brings it along, with.
	observe func(*Kernel, context.Context, *view) error
	with    state.Kind
	// put makes an object, or what is there (old, nil for nothing) into it; remove takes
	// one away. Both are done as well where somebody else has done it meanwhile, and
	// remove where the object went with what it was in.
	put    func(k *Kernel, ctx context.Context, old, o state.Object) error
	remove func(k *Kernel, ctx context.Context, o state.Object) error
	// batch counts how many of the leading ops, the first of which is of this kind, go
	// to the kernel together: 1 is for write. together does them, and returns those that
	// are left to be done one by one. Both are nil where each goes by itself.
	batch    func(ops []state.Op) int
	together func(*Kernel, context.Context, []state.Op) (left []state.Op, failed []OpError)
	// many says that there may be thousands, so that one can be observed by itself.
	many bool
	// program says that to observe the kind runs a program.
	program bool
	// interest says how changes of the kind show in the events of a namespace; false where
	// they do not. It is nil where the kernel has no events for the kind.
	interest func(k *Kernel, ns state.NS) (watch.Interest, bool)
	// counted is the number in a reading of the canary that counts the object, nil for none.
	// It is nil where the canary does not count the kind.
	counted func(r *watch.Reading, o state.Object) *uint32
	// steers says that a write of the object changes the way of packets into the mesh, so
	// that entries of conntrack may lead where nothing is any more. It is nil for a kind
	// that never does.
	steers func(o state.Object) bool
}

// handlers has one for each kind that is in the kernel: state.KindOwnFile is not.
var handlers = [state.Kinds]handler{
	state.KindNamespace:     namespaceHandler,
	state.KindVeth:          vethHandler,
	state.KindVXLAN:         vxlanHandler,
	state.KindAttachment:    attachmentHandler,
	state.KindAddr:          addrHandler,
	state.KindSysctl:        sysctlHandler,
	state.KindTimeouts:      timeoutsHandler,
	state.KindNeigh:         neighHandler,
	state.KindFDB:           fdbHandler,
	state.KindRoute:         routeHandler,
	state.KindRule:          ruleHandler,
	state.KindSet:           setHandler,
	state.KindChain:         chainHandler,
	state.KindHairpin:       hairpinHandler,
	state.KindVirtualServer: virtualServerHandler,
	state.KindRealServer:    realServerHandler,
	state.KindSetMember:     setMemberHandler,
}

func handlerOf(op state.Op) *handler { return &handlers[op.Object().Key().Kind] }

// newHandler takes calls that are typed.
func newHandler[O state.Object](
	observe func(*Kernel, context.Context, *view) error,
	put func(k *Kernel, ctx context.Context, old state.Object, o O) error, remove func(k *Kernel, ctx context.Context, o O) error,
) handler {
	return handler{
		observe: observe,
		put: func(k *Kernel, ctx context.Context, old, o state.Object) error {
			is, ok := o.(O)
			if !ok {
				return fmt.Errorf("a %T has the key of a %T", o, is)
			}
			return put(k, ctx, old, is)
		},
		remove: func(k *Kernel, ctx context.Context, o state.Object) error {
			is, ok := o.(O)
			if !ok {
				return fmt.Errorf("a %T has the key of a %T", o, is)
			}
			return remove(k, ctx, is)
		},
	}
}

// alongWith is for a kind that another one's call observes.
func (h handler) alongWith(kind state.Kind) handler {
	h.with = kind
	return h
}

// ofMany is for a kind of which there may be thousands: additions, and removals, go to
// the kernel together.
func (h handler) ofMany(together func(*Kernel, context.Context, []state.Op) (left []state.Op, failed []OpError)) handler {
	h.many, h.batch, h.together = true, sameWrites, together
	return h
}

// toldBy is for a kind that the kernel has events for.
func (h handler) toldBy(interest func(k *Kernel, ns state.NS) (watch.Interest, bool)) handler {
	h.interest = interest
	return h
}

// countedBy is for a kind that the canary counts.
func (h handler) countedBy(counted func(r *watch.Reading, o state.Object) *uint32) handler {
	h.counted = counted
	return h
}

// steersIf is for a kind whose writes may change the way of packets into the mesh.
func steersIf[O state.Object](h handler, steers func(o O) bool) handler {
	h.steers = func(o state.Object) bool {
		is, ok := o.(O)
		return ok && steers(is)
	}
	return h
}

// do does the leading ops that go together, and says how many these were.
func (k *Kernel) do(ctx context.Context, ops []state.Op) (done int, failed []OpError) {
	done, left := 1, ops[:1]
	if h := handlerOf(ops[0]); h.batch != nil {
		done = h.batch(ops)
		if left = ops[:done]; done > 1 || h.put == nil {
			left, failed = h.together(k, ctx, left)
		}
	}
	for _, op := range left {
		if err := k.write(ctx, op); err != nil {
			failed = append(failed, opError(op, err))
		}
	}
	return done, failed
}

func (k *Kernel) write(ctx context.Context, op state.Op) error {
	h := handlerOf(op)
	switch {
	case h.put == nil:
		return fmt.Errorf("no object of the kernel: %T", op.Object())
	case op.Action == state.Remove:
		return h.remove(k, ctx, op.Old)
	}
	return h.put(k, ctx, op.Old, op.New)
}

// sameWrites counts the leading ops that are additions, or removals, of one kind. At
// least one.
func sameWrites(ops []state.Op) int {
	action, kind := ops[0].Action, ops[0].Object().Key().Kind
	if action == state.Change {
		return 1
	}
	n := 1
	for n < min(len(ops), nlmsg.MaxBatch) && ops[n].Action == action && ops[n].Object().Key().Kind == kind {
		n++
	}
	return n
}
