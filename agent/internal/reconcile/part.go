package reconcile

import (
	"context"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// A kernel that has been found as desired, and that nobody has touched since, is as
// desired but for what a change of the desired state has changed. So that is all
// that is observed, written and read back: publishing a port costs the same beside
// one port and beside 5,000. Whatever is in doubt is looked at as a whole.

// bring makes the kernel what is desired after a change of it.
func (r *Reconciler) bring(ctx context.Context, change compile.Change) (outcome, error) {
	if r.alone(&change) {
		out, err := r.pass(ctx, sight{part: &change}, everything)
		if err == nil && len(out.left.ops) == 0 && !out.others {
			return out, nil
		}
		r.track.inSync = false
	}
	return r.pass(ctx, r.wholeSight(r.Watch.ChainsUntouched), everything)
}

// wholeSight is of everything, but for chains that were as desired and that nobody
// has touched, as far as untouched can tell: to read them takes two programs.
func (r *Reconciler) wholeSight(untouched func() bool) sight {
	if r.track.hasChains(r.desired.State) && untouched() {
		return sight{scope: kernel.Traffic}
	}
	return sight{}
}

// alone says that it is enough to look at what has changed.
func (r *Reconciler) alone(change *compile.Change) bool {
	if change.Whole || !r.track.inSync || tooMuch(change, r.desired.State) {
		return false
	}
	for key := range change.Touched() {
		if !kernel.InPart(key) {
			return false
		}
	}
	return r.Watch.Untouched()
}

// tooMuch says that reading everything at once is cheaper than service by service.
func tooMuch(change *compile.Change, desired state.State) bool {
	const few, share = 64, 8
	n := len(change.Before) + len(change.After)
	return n > few && n > len(desired)/share
}
