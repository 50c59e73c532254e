package reconcile

import (
	"maps"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// tracker knows, between passes, how the kernel stands beside the desired state: whether
// it is in sync, and for each object that is not, why.
type tracker struct {
	// chains are those that a full pass last found in the kernel as desired; nil
	// when the last one did not. While they are still the desired ones, and
	// nobody has touched them, a commit observes traffic only.
	chains state.State
	// inSync says that the last pass has found all of the kernel as desired, so that
	// only what has changed since has to be observed. Nothing is pending then.
	inSync bool
	// known are the objects that the last resync has left broken. resyncDue says that
	// another one was seen since, for which the watch will not ask for a resync.
	known     map[state.Key]bool
	resyncDue bool
	// pending are the objects that a change of conditions has still to write.
	pending pending
	refused refusals
	// quarantine has the objects that other programs keep breaking.
	quarantine quarantine
}

func newTracker() tracker {
	return tracker{refused: refusals{}, quarantine: newQuarantine(), pending: pending{keys: map[state.Key]bool{}}}
}

// lose is for a kernel that could not be read.
func (t *tracker) lose() { t.chains, t.inSync = nil, false }

// noteChains notes whether the kernel has the desired chains, by the ops of a plan that
// was made with them.
func (t *tracker) noteChains(ops []state.Op, desired state.State) {
	t.chains = nil
	for _, op := range ops {
		if op.Object().Key().Kind == state.KindChain {
			return
		}
	}
	t.chains = only(desired, state.KindChain)
}

// hasChains says that the kernel had the chains that are desired when they were last read.
func (t *tracker) hasChains(desired state.State) bool {
	return t.chains != nil && maps.Equal(t.chains, only(desired, state.KindChain))
}

// resynced notes what a pass that saw everything has left.
func (t *tracker) resynced(left plan) {
	t.known = make(map[state.Key]bool, len(left.ops))
	for _, op := range left.ops {
		t.known[op.Object().Key()] = true
	}
	t.resyncDue = false
	t.inSync = len(left.ops) == 0 && t.chains != nil
	t.pending.settle(left)
}

// notice notes what a pass has seen broken and left alone. It is true where no resync has
// seen that: the watch takes it for covered.
func (t *tracker) notice(left plan) (news bool) {
	for _, op := range left.ops {
		if !t.known[op.Object().Key()] && !t.pending.has(op.Object()) {
			t.resyncDue = true
			return true
		}
	}
	return false
}

// repairsOf are the ops of a pass on objects that others have broken, and those of them
// that have helped. What a change of conditions had still to write, nobody has broken.
func (t *tracker) repairsOf(out outcome) (tried, repaired []state.Op) {
	for _, op := range out.done {
		key := op.Object().Key()
		if t.pending.has(op.Object()) {
			continue
		}
		tried = append(tried, op)
		if !out.left.has(key) {
			repaired = append(repaired, op)
		}
	}
	return tried, repaired
}

// pending are objects that a change of conditions has changed and that are not written
// yet.
type pending struct {
	keys  map[state.Key]bool
	retry time.Duration // when they are tried again, 0 for never
}

// has says that the object is one of them, or has ports of one: what a set has beside what is
// asked for is not cut into the members that it was.
func (p *pending) has(o state.Object) bool {
	if p.keys[o.Key()] {
		return true
	}
	m, ok := o.(state.SetMember)
	if !ok {
		return false
	}
	for key := range p.keys {
		if m.OverlapsKey(key) {
			return true
		}
	}
	return false
}

// add adds the keys of what differs between two desired states.
func (p *pending) add(was, is state.State) {
	for key, o := range is {
		if was[key] != o {
			p.keys[key] = true
		}
	}
	for key := range was {
		if _, stays := is[key]; !stays {
			p.keys[key] = true
		}
	}
}

// scope is what has to be observed to see all that is pending.
func (p *pending) scope() kernel.Scope {
	for key := range p.keys {
		if key.Kind == state.KindChain {
			return kernel.Full
		}
	}
	return kernel.Traffic
}

// settle drops what is not left to do.
func (p *pending) settle(left plan) {
	maps.DeleteFunc(p.keys, func(key state.Key, _ bool) bool { return !left.has(key) })
	if len(p.keys) == 0 {
		p.retry = 0
	}
}

// backOff sets when what is left is tried again: after firstRetry, then after twice as
// long each time, interval at most.
func (p *pending) backOff() {
	if len(p.keys) == 0 {
		p.retry = 0
		return
	}
	p.retry = min(max(firstRetry, 2*p.retry), interval)
}

func (p *pending) clear() {
	clear(p.keys)
	p.retry = 0
}
