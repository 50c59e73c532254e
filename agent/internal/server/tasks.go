package server

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Tasks runs the tasks of this node.
type Tasks interface {
	// Keep has the tasks run that rec has for the named node, and ends the others.
	Keep(rec *mesh.Record, node string)
	// Tasks lists them.
	Tasks() mesh.Tasks
	// Logs are the last lines that a task's container wrote.
	Logs(ctx context.Context, service, task string, lines int) ([]byte, error)
}

type noTasks struct{}

func (noTasks) Keep(*mesh.Record, string) {}
func (noTasks) Tasks() mesh.Tasks         { return mesh.Tasks{Tasks: []mesh.TaskStatus{}} }
func (noTasks) Logs(context.Context, string, string, int) ([]byte, error) {
	return nil, nil
}

const (
	logsTimeout = 30 * time.Second
	usualLines  = 100
	maxLines    = 10000
)

func (s *Server) tasks(w http.ResponseWriter, _ *http.Request) { s.answer(w, s.Tasks.Tasks()) }

func (s *Server) taskLogs(w http.ResponseWriter, req *http.Request) {
	query := req.URL.Query()
	lines, err := strconv.Atoi(query.Get("lines"))
	if err != nil || lines < 1 {
		lines = usualLines
	}
	ctx, cancel := context.WithTimeout(req.Context(), logsTimeout)
	defer cancel()
	text, err := s.Tasks.Logs(ctx, query.Get("service"), query.Get("task"), min(lines, maxLines))
	if err != nil {
		s.refuse(w, failed(http.StatusNotFound, "The agent has no log of this task: %v.", err))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if _, err := w.Write(text); err != nil { //nolint:gosec // text, and no browser asks
		s.Log.Warn("cannot answer", "error", err)
	}
}
