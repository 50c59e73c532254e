package meshclient

import (
	"context"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
)

// failOps ends the operations that members object to. true means that there
// were some; the rest is prepared again without them.
func (r *commitRun) failOps(ctx context.Context, p *proposal) bool {
	failed := map[*operation]error{}
	objections := map[*operation]*ProblemsError{}
	for _, a := range p.answers {
		for _, problem := range a.problems {
			for _, op := range p.owners(a.member, problem) {
				if objections[op] == nil {
					objections[op] = &ProblemsError{}
					failed[op] = objections[op]
				}
				objections[op].Problems = append(objections[op].Problems, NodeProblem{a.name(), problem})
			}
		}
	}
	for _, a := range p.answers {
		if a.err != nil && a.joining != nil {
			failed[a.joining] = joinError(a)
		}
	}
	if len(failed) == len(p.ops) {
		r.letGo(ctx)
	}
	for op, err := range failed {
		r.batch.end(op, nil, err)
	}
	return len(failed) > 0
}

// joinError is why a host cannot become a node.
func joinError(a answer) error {
	if f := a.refusal(mesh.Foreign); f != nil {
		return &ForeignError{Host: a.ep.Name, Text: f.Text}
	}
	if agentapi.IsRefusal(a.err) {
		return &ProblemsError{Problems: []NodeProblem{{a.name(), mesh.Problem{Code: mesh.ProblemRefused, Object: mesh.NodeRef(a.node), Text: prose.Sentence(a.err.Error())}}}}
	}
	return a.err
}

// owners finds whose fault a problem is: the operations that touch its object,
// else the one that brought in the node which has it, else the one that changed
// the settings of the whole cluster, if the node did not have it before.
func (p *proposal) owners(m *member, problem mesh.Problem) []*operation {
	var owners []*operation
	for _, op := range p.ops {
		if slices.ContainsFunc(op.objects, func(o mesh.Ref) bool { return o == problem.Object || p.belongs(problem.Object, o) }) {
			owners = append(owners, op)
		}
	}
	switch {
	case len(owners) > 0:
	case m.joining != nil:
		owners = append(owners, m.joining)
	case m.view.Status != nil && hasProblem(m.view.Status, problem):
	default:
		for _, op := range p.ops {
			if slices.Contains(op.objects, mesh.ClusterRef) {
				owners = append(owners, op)
			}
		}
	}
	return owners
}

// hasProblem says that the node has reported the problem, in whatever words.
func hasProblem(s *mesh.Status, problem mesh.Problem) bool {
	return slices.ContainsFunc(s.Problems, func(p mesh.Problem) bool { return p.ID() == problem.ID() })
}

// belongs says that object is a port of the service that owner is.
func (p *proposal) belongs(object, owner mesh.Ref) bool {
	k, isPort := object.PortKey()
	port := p.next.Ports[k]
	return isPort && port != nil && owner == mesh.ServiceRef(port.Service)
}

// unowned are the problems of things that nobody in this commit touches.
func (p *proposal) unowned(a answer) []Notice {
	var notices []Notice
	for _, problem := range a.problems {
		if len(p.owners(a.member, problem)) == 0 {
			notices = append(notices, otherProblem(a.member, problem))
		}
	}
	return notices
}

func otherProblem(m *member, problem mesh.Problem) Notice {
	return notice(problem.Code, m.ref(), "%s, %s (not part of this change): %s", m, problem.Object, problem.Text)
}

func (p *proposal) statuses() map[string]*mesh.Status {
	all := statuses(p.snap)
	for _, op := range p.ops {
		if op.join != nil {
			all[op.join.node] = op.join.status
		}
	}
	return all
}
