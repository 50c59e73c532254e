package reconcile

import (
	"context"
	"maps"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// What the kernel refused of a change of conditions is tried again after
// firstRetry, then after twice as long each time, interval at most.
const firstRetry = time.Second

// writePending is a pass for what the conditions have changed. What is missing because
// its parent is missing comes back with that.
func (r *Reconciler) writePending(ctx context.Context, look sight, want wanted) {
	before := maps.Clone(r.track.refused)
	out, err := r.pass(ctx, look, want)
	if err != nil {
		r.Log.Error("cannot read the kernel's state for a change of who serves; it is tried again", "error", err)
		r.requestResync() // the watch takes what this pass has not seen for covered
	} else {
		left := newPlan(out.left.only(want))
		r.track.refused.log(r.Log, "cannot change who serves; it is tried again", left, before)
		r.track.pending.settle(left)
		if r.track.notice(out.left) {
			signal(r.again)
		}
		r.track.inSync = r.track.inSync && len(out.left.ops) == 0
	}
	r.track.pending.backOff()
}

func (r *Reconciler) isPending(p plan, op state.Op) bool {
	return onItsOwn(p, op) && (r.track.pending.has(op.Object()) || r.isDisorder(op))
}

// onItsOwn says that the op's object is not missing because another one is.
func onItsOwn(p plan, op state.Op) bool { return p.cause(op).Object().Key() == op.Object().Key() }

// isDisorder says that the op repairs what a pending one has brought about:
// a destination that came back stands first in a service whose scheduler hashes.
func (r *Reconciler) isDisorder(op state.Op) bool {
	is, ok := op.New.(state.VirtualServer)
	was, both := op.Old.(state.VirtualServer)
	if was.Fault = ""; !ok || !both || was != is {
		return false
	}
	for key := range r.track.pending.keys {
		if key.Kind == state.KindRealServer && key.Name == is.Proto && key.A == is.Addr {
			return true
		}
	}
	return false
}

// requestResync has Run resync soon.
func (r *Reconciler) requestResync() {
	r.track.resyncDue = true
	signal(r.again)
}

// resumeConditions brings a kernel that had the record whole under the conditions
// of now, which may have changed while no agent ran: a cluster that wants to be
// told only would be told of them, for ever, and else they would count as repairs.
func (r *Reconciler) resumeConditions(ctx context.Context) {
	r.track.pending.add(compile.Compile(r.rec, r.node, r.Version, compile.Conditions{Forwarding: r.conditions.now.Forwarding}), r.desired.State)
	r.writePending(ctx, sight{scope: kernel.Full}, func(p plan, op state.Op) bool {
		if onItsOwn(p, op) && (r.givesBack(op) || compile.SameButForwarding(op.Old, op.New)) {
			r.track.pending.keys[op.Object().Key()] = true
		}
		return r.isPending(p, op)
	})
}

// givesBack says that the op undoes what a check that failed has made of a
// destination.
func (r *Reconciler) givesBack(op state.Op) bool {
	d, ok := op.New.(state.RealServer)
	if !ok {
		return false
	}
	f, ok := compile.FrontendAt(r.rec, r.node, d.Proto, d.Server)
	service := f.Service(r.rec)
	if !ok || service == nil || service.HealthCheck == nil {
		return false
	}
	if was, ok := op.Old.(state.RealServer); ok {
		return was.Weight == 0
	}
	return f.Port.Protocol == mesh.UDP || service.HealthCheck.OnUnhealthy == mesh.CutConnections
}
