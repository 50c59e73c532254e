package health

import (
	"container/heap"
	"net/netip"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// definition is how something is checked, and from where.
type definition struct {
	how  mesh.HealthCheck
	from netip.Addr
}

// target is what is checked again and again.
type target struct {
	definition
	verdict
	check    compile.Check
	endpoint string
	due      time.Time // when the next check begins
	place    int       // in the queue
	attempts uint64    // that have begun
}

func (t *target) result() Result {
	return Result{Endpoint: t.endpoint, Failing: t.failing, Reason: t.reason, Since: t.since}
}

// attempt is one check of a target, as it was when the check began.
type attempt struct {
	definition
	target *target
	addr   netip.AddrPort
	number uint64 // it began as the target's number-th
}

// verdict is what the attempts on a target have come to.
type verdict struct {
	failing bool
	reason  string
	since   time.Time
	// row counts the last results in a row that speak against the verdict.
	row int
	// passed and failed are the numbers of the last attempts that did.
	passed, failed uint64
}

// note takes in a result, reason "" for one that passed, and returns whether the
// verdict has changed. Checks may overlap where the timeout is longer than the
// time from one to the next: who began before one of the other outcome that has
// ended already is out of date.
func (v *verdict) note(number uint64, reason string, how *mesh.HealthCheck, now time.Time) (changed bool) {
	passes := reason == ""
	last, other := &v.failed, v.passed
	if passes {
		last, other = &v.passed, v.failed
	}
	if number < other {
		return false
	}
	*last = max(*last, number)
	if passes != v.failing { // as the verdict says
		v.row = 0
		if v.failing {
			v.reason = reason
		}
		return false
	}
	v.row++
	needed := how.Fall
	if passes {
		needed = how.Rise
	}
	if v.row < needed {
		return false
	}
	v.failing, v.reason, v.since, v.row = !passes, reason, now, 0
	return true
}

// queue has the targets by when they are due; it is a heap.Interface.
type queue []*target

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	t := x.(*target) //nolint:forcetypeassert // only add pushes
	t.place = len(*q)
	*q = append(*q, t)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}

func (q *queue) add(t *target)    { heap.Push(q, t) }
func (q *queue) moved(t *target)  { heap.Fix(q, t.place) }
func (q *queue) remove(t *target) { heap.Remove(q, t.place) }
