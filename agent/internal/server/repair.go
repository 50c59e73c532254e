package server

import (
	"context"
	"net/http"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// repair repairs what was asked for. It changes no record, so it needs no lease;
// but it waits for a commit that is under way, and a commit for it.
func (s *Server) repair(w http.ResponseWriter, req *http.Request) {
	var body mesh.RepairRequest
	if err := decode(w, req, &body); err != nil {
		s.refuse(w, err)
		return
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	// As with a commit: what has begun is ended, whoever waits for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(req.Context()), commitTimeout)
	defer cancel()
	s.resume(ctx)
	problems := withFront(s.frontOf(body.Objects), s.Reconciler.RepairObjects(ctx, body.Objects))
	if _, warning := s.current(); len(body.Objects) == 0 || slices.Contains(body.Objects, mesh.ClusterRef) {
		problems = withWarning(warning, problems)
	}
	s.answer(w, mesh.RepairResponse{Problems: notNil(problems)})
}

// frontOf is what keeps the node's addresses from answering, of these objects, or
// all without any. It is tried again without being asked for.
func (s *Server) frontOf(objects []mesh.Ref) []mesh.Problem {
	problems := slices.Clone(s.Front.Problems())
	if len(objects) == 0 {
		return problems
	}
	return slices.DeleteFunc(problems, func(p mesh.Problem) bool { return !slices.Contains(objects, p.Object) })
}
