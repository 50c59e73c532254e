package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func (s *Server) status(w http.ResponseWriter, req *http.Request) {
	facts, err := s.Host.Facts()
	if err != nil {
		s.refuse(w, failed(http.StatusInternalServerError, "The agent cannot read the host's facts: %v.", err))
		return
	}
	ctx, cancel := context.WithTimeout(req.Context(), statusTimeout)
	defer cancel()
	stored, warning := s.current()
	applied, problems := s.Reconciler.Status(ctx)
	problems = withWarning(warning, withFront(s.Front.Problems(), problems))
	st := mesh.Status{
		API: mesh.APIVersion, Version: s.Version, Host: facts, BinarySHA256: s.BinarySHA256, Instance: s.instance,
		Node: stored.Node, Generation: stored.generation(), Hash: stored.hash(), Promised: s.Store.Promise().Generation,
		AppliedGeneration: applied, Problems: notNil(problems), Repairs: s.Reconciler.Repairs(),
		Unhealthy: unhealthy(stored, s.Health.Results(), s.Reconciler.Conditions()),
		Warnings:  s.Warned(),
	}
	s.addSelfTest(&st)
	if st.Hash == "" || req.URL.Query().Get("known") != st.Hash {
		st.Record = stored.Record
	}
	s.answer(w, st)
}

// Warned gathers what the parts of the agent have to warn of.
func (s *Server) Warned() []mesh.Warning {
	var all []mesh.Warning
	for _, of := range s.Options.Warnings {
		all = append(all, of()...)
	}
	mesh.SortWarnings(all)
	return slices.Compact(all)
}

// withWarning puts what the agent has to say of its record before the problems.
func withWarning(warning string, problems []mesh.Problem) []mesh.Problem {
	if warning == "" {
		return problems
	}
	return slices.Insert(slices.Clone(problems), 0, mesh.Problem{Code: mesh.ProblemRecordUnread, Object: mesh.ClusterRef, Text: warning})
}

// withFront adds what keeps the node's addresses from answering, sorted in.
func withFront(front, problems []mesh.Problem) []mesh.Problem {
	if len(front) == 0 {
		return problems
	}
	all := slices.Concat(problems, front)
	mesh.SortProblems(all)
	return all
}

func (s *Server) prepare(w http.ResponseWriter, req *http.Request) {
	var body mesh.PrepareRequest
	if err := decode(w, req, &body); err != nil {
		s.refuse(w, err)
		return
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	next, refusal := s.admit(&body)
	if refusal != nil {
		s.refuse(w, refusal)
		return
	}
	if body.Vote {
		if err := s.Store.Keep(mesh.Promise{Generation: next.generation(), Holder: body.Holder}); err != nil {
			s.refuse(w, failed(http.StatusInternalServerError, "The node could not keep what it promises, and changed nothing: %v. Is its disk full or read-only?", err))
			return
		}
	}
	s.lease = lease{holder: body.Holder, expires: s.Now().Add(mesh.LeaseTTL), next: next}
	problems := []mesh.Problem{}
	if next.Node != "" {
		ctx, cancel := context.WithTimeout(req.Context(), prepareTimeout)
		defer cancel()
		stored, _ := s.current()
		problems = s.Host.Preflight(ctx, stored.Record, next.Record, next.Node)
	}
	s.answer(w, mesh.PrepareResponse{Problems: notNil(problems)})
}

func (s *Server) commit(w http.ResponseWriter, req *http.Request) {
	var body mesh.CommitRequest
	if err := decode(w, req, &body); err != nil {
		s.refuse(w, err)
		return
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if refusal := s.lease.mayCommit(&body, s.Now()); refusal != nil {
		s.refuse(w, refusal)
		return
	}
	// A caller that hangs up does not stop the record, which is the node's own once
	// it is saved, from reaching the kernel.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(req.Context()), commitTimeout)
	defer cancel()
	s.resume(ctx)
	next := s.lease.next
	err := s.Reconciler.Announce(next.Record, next.Node, next.origin)
	if err == nil {
		err = s.Store.Save(next)
	}
	if err != nil {
		s.refuse(w, failed(http.StatusInternalServerError,
			"The node could not keep the record, and changed nothing: %v. Is its disk full or read-only?", err))
		return
	}
	next.encoded, next.origin = nil, nil
	s.replace(next)
	s.lease = lease{}
	s.Front.Follow(next.Record, next.Node) // a balancer hears of a drain before anything else changes
	problems := withFront(s.Front.Problems(), s.Reconciler.Commit(ctx, next.Record, next.Node))
	s.logApplied(next, problems)
	s.answer(w, mesh.CommitResponse{Problems: notNil(problems), Drains: s.Reconciler.Draining(), Warnings: s.Warned()})
}

// abort gives back the caller's own lease; that of another is left alone.
func (s *Server) abort(w http.ResponseWriter, req *http.Request) {
	var body mesh.AbortRequest
	if err := decode(w, req, &body); err != nil {
		s.refuse(w, err)
		return
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.lease.holder == body.Holder {
		s.lease = lease{}
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) unknown(w http.ResponseWriter, req *http.Request) {
	s.refuse(w, failed(http.StatusNotFound, "This agent (API %d) knows no %s %s: the provider and the agent are of different versions.",
		mesh.APIVersion, req.Method, req.URL.Path))
}

// decode reads one JSON value and nothing else. A field that this agent does
// not know is an error: to drop it would change the record's hash and meaning.
func decode(w http.ResponseWriter, req *http.Request, into any) *refusal {
	tooMuch := failed(http.StatusRequestEntityTooLarge, "The request is larger than %d MiB, the most that an agent reads.", maxBody>>20)
	if req.ContentLength > maxBody {
		return tooMuch
	}
	d := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, trailing := d.Token(); !errors.Is(trailing, io.EOF) {
			err = errors.New("there is more after the first JSON value")
		}
	}
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		return tooMuch
	default:
		return failed(http.StatusBadRequest, "The request is not what this agent (API %d) understands: %v. "+
			"Are the provider and the agent of the same version?", mesh.APIVersion, err)
	}
}

func (s *Server) answer(w http.ResponseWriter, body any) { s.write(w, http.StatusOK, body) }

func (s *Server) refuse(w http.ResponseWriter, r *refusal) { s.write(w, r.status, r.Refusal) }

func (s *Server) write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		s.Log.Warn("cannot answer", "error", err)
	}
}

// refusal is a mesh.Refusal with its HTTP status.
type refusal struct {
	mesh.Refusal
	status int
}

func failed(status int, format string, args ...any) *refusal {
	return &refusal{mesh.Refusal{Code: mesh.Failed, Text: fmt.Sprintf(format, args...)}, status}
}

func notNil(problems []mesh.Problem) []mesh.Problem {
	if problems == nil {
		return []mesh.Problem{}
	}
	return problems
}
