package meshclient

import (
	"context"
	"fmt"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
)

// behind says that somebody who answers does not have the record that counts,
// whole: a commit repairs that, and nothing else does. Those who are silent are
// no reason to send anything.
func (r *commitRun) behind(snap *Snapshot, members []*member) bool {
	hash := snap.hash
	return slices.ContainsFunc(members, func(m *member) bool {
		st := m.view.Status
		switch {
		case st == nil:
			return r.replaceable(m.view)
		case st.AppliedGeneration != st.Generation && m.node != "":
			return true
		case m.node == "":
			return snap.lag(st, hash) != ""
		}
		return snap.standing(m.node, m.view, hash) != ""
	})
}

// errand is what one node is asked to repair.
type errand struct {
	*member
	objects []mesh.Ref
	left    []mesh.Problem
	err     error
}

// repair asks the nodes that report problems of the operations' objects to repair
// them. The record stays as it is.
func (r *commitRun) repair(ctx context.Context, snap *Snapshot, ops []*operation, members []*member) (again bool) {
	errands, broken := repairs(snap, ops, members)
	if r.upgrade(ctx, snap, broken) {
		return true
	}
	each(broken, func(i int, m *member) {
		e := errands[i]
		r.log(ctx, "repairing", map[string]any{"host": m.ep.Address(), "objects": e.objects})
		e.left, e.err = r.agents.Repair(ctx, m.ep, e.objects)
	})
	if len(errands) > 0 {
		r.cache.drop()
	}
	for _, op := range ops {
		result := &Result{Record: snap.Record, Status: statuses(snap), Warnings: slices.Concat(snap.forkNotices(), r.failures)}
		if problems := unrepaired(snap, op, errands); len(problems) > 0 {
			r.batch.end(op, result, &ProblemsError{Committed: true, Problems: problems})
		} else {
			r.batch.end(op, result, nil)
		}
	}
	return false
}

// repairs lists who is asked for what.
func repairs(snap *Snapshot, ops []*operation, members []*member) (errands []*errand, broken []*member) {
	for _, m := range members {
		var objects []mesh.Ref
		for _, op := range ops {
			for _, p := range snap.reportsOn(op, m) {
				objects = append(objects, p.Object)
			}
		}
		if len(objects) > 0 {
			slices.SortFunc(objects, mesh.Ref.Compare)
			errands = append(errands, &errand{member: m, objects: slices.Compact(objects)})
			broken = append(broken, m)
		}
	}
	return errands, broken
}

// reportsOn lists what the member reported about the operation's objects.
func (s *Snapshot) reportsOn(op *operation, m *member) []mesh.Problem {
	var found []mesh.Problem
	for _, o := range op.objects {
		found = append(found, s.reports(m.node, m.view.Status, o)...)
	}
	return found
}

// unrepaired is what the operation asked for in vain.
func unrepaired(snap *Snapshot, op *operation, errands []*errand) []NodeProblem {
	var problems []NodeProblem
	for _, e := range errands {
		asked := snap.reportsOn(op, e.member)
		if len(asked) == 0 {
			continue
		}
		if e.err != nil {
			problems = append(problems, NodeProblem{e.name(), mesh.Problem{Code: mesh.ProblemNotRepaired, Object: op.objects[0], Text: fmt.Sprintf(
				"It could not be asked to repair what is missing there: %s", prose.Sentence(e.err.Error()))}})
			continue
		}
		for _, p := range e.left {
			if slices.ContainsFunc(asked, func(a mesh.Problem) bool { return a.Object == p.Object }) {
				problems = append(problems, NodeProblem{e.name(), p})
			}
		}
	}
	return problems
}
