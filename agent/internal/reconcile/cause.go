package reconcile

import (
	"sync"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// plan is what there is to do, and what hangs on what.
type plan struct {
	ops   []state.Op
	byKey func() map[state.Key]state.Op // made when it is needed: there may be 60,000 ops
}

func newPlan(ops []state.Op) plan {
	return plan{ops: ops, byKey: sync.OnceValue(func() map[state.Key]state.Op {
		byKey := make(map[state.Key]state.Op, len(ops))
		for _, op := range ops {
			byKey[op.Object().Key()] = op
		}
		return byKey
	})}
}

func (p plan) has(key state.Key) bool {
	if len(p.ops) == 0 {
		return false
	}
	_, ok := p.byKey()[key]
	return ok
}

func (p plan) only(want wanted) (ops []state.Op) {
	for _, op := range p.ops {
		if want(p, op) {
			ops = append(ops, op)
		}
	}
	return ops
}

// cause follows what is missing to what it is missing because of: the op that
// brings it back too, op itself where that is all there is to it.
func (p plan) cause(op state.Op) state.Op {
	for op.Action == state.Add {
		above, ok := p.byKey()[op.New.Parent()]
		if !ok || above.Action != state.Add && !broken(above) {
			return op
		}
		op = above
	}
	return op
}

// broken says that the op repairs a link that is there but cannot hold anything now, as
// one that is down has no routes.
func broken(op state.Op) bool {
	return op.Action == state.Change && op.Old.Key().Kind.IsLink() && state.FaultOf(op.Old) != ""
}

// hangsOn says whether o is in or on one of the objects, at any depth.
func hangsOn(o state.Object, desired state.State, objects map[state.Key]bool) bool {
	for o != nil {
		parent := o.Parent()
		if objects[parent] {
			return true
		}
		o = desired[parent]
	}
	return false
}
