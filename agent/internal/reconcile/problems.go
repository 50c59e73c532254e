package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// codes are the problems that ops repair.
var codes = [...]mesh.ProblemCode{state.Add: mesh.ProblemMissing, state.Change: mesh.ProblemDiffers, state.Remove: mesh.ProblemExtra}

// problems puts a plan into sentences, sorted by object and text. They hold names
// and values that stay as they are while the host does, no times and no counts: a
// reader compares them.
func (r *Reconciler) problems(p plan) []mesh.Problem {
	problems := []mesh.Problem{}
	for _, op := range p.ops {
		// One cause, one sentence: that something is missing says nothing new when
		// what holds it is missing too.
		key := op.Object().Key()
		if p.cause(op).Object().Key() != key {
			continue
		}
		text := op.Sentence()
		if err := r.track.refused[key]; err != nil {
			text = strings.TrimSuffix(text, ".") + ": " + err.Error() + "."
		}
		if r.track.quarantine.undone(key) {
			text += fmt.Sprintf(" Something on this host keeps %s, so the agent tries less and less often.", undone(op))
		}
		problems = append(problems, mesh.Problem{
			Code: codes[op.Action], Object: compile.Owner(r.rec, r.node, op.Object()), Part: op.Object().String(), Text: text,
		})
	}
	mesh.SortProblems(problems)
	return slices.CompactFunc(problems, func(a, b mesh.Problem) bool { return a.Object == b.Object && a.Text == b.Text })
}

// unread is the one problem of a node whose kernel state cannot be read.
func (r *Reconciler) unread(err error) []mesh.Problem {
	return []mesh.Problem{{
		Code:   mesh.ProblemKernelUnread,
		Object: compile.Self(r.node),
		Text: fmt.Sprintf("The agent cannot read the kernel's state: %v. Until it can, nothing is known of the node's ports; "+
			"see `journalctl -u routingmesh-agent` there.", err),
	}}
}

// undone says what somebody does who makes the op necessary again and again.
func undone(op state.Op) string {
	switch op.Action {
	case state.Add:
		return "removing it"
	case state.Remove:
		return "adding it"
	}
	if was, ok := op.Old.(state.Chain); ok {
		if is, ok := op.New.(state.Chain); ok {
			if what := is.Difference(was); what != "" {
				return fmt.Sprintf("changing it (%s)", what)
			}
		}
	}
	return "changing it"
}
