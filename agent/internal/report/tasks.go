package report

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/term"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// taskRow is what an endpoint has that is a task, in the words of docker's `service ps`.
type taskRow struct {
	Task     string `json:"task"`
	Revision string `json:"revision"`
	Image    string `json:"image,omitempty"`
	// Desired is "running", or "shutdown" for one that is no longer in the record.
	Desired string `json:"desired_state"`
	// Current is a mesh.TaskState on this node; of others only running, empty, silent or unknown.
	Current  string    `json:"current_state"`
	Since    time.Time `json:"since,omitzero"`
	Error    string    `json:"error,omitempty"`
	ExitCode *int      `json:"exit_code,omitempty"`
	Restarts int       `json:"restarts,omitempty"`
}

// Desired states.
const (
	desiredRunning  = "running"
	desiredShutdown = "shutdown"
)

// tasks are those of this node. An agent is asked only if the cluster has some.
func (r *Reporter) tasks(ctx context.Context, rec *mesh.Record) ([]mesh.TaskStatus, error) {
	for _, s := range rec.Services {
		if s.Task != nil {
			var tasks mesh.Tasks
			err := r.agent().Ask(ctx, http.MethodGet, mesh.PathTasks, nil, &tasks)
			return tasks.Tasks, err
		}
	}
	return nil, nil
}

// task is an endpoint that is one.
func (k known) task(s *mesh.Service, key string) endpointRow {
	e := s.Endpoints[key]
	row := endpointRow{Service: s.Name, Endpoint: key, Node: e.Node, State: string(mesh.SlotUnknown)}
	t := &taskRow{Task: e.Task, Revision: e.Revision, Image: s.TaskOf(e).Image, Desired: desiredRunning, Current: string(mesh.SlotUnknown)}
	row.Task = t
	for _, slot := range k.slots {
		if slot.Service == s.Name && slot.Endpoint == key {
			row.Address, row.Container, row.Engine = slot.Address.String(), slot.Container, slot.Engine
			row.State = k.state(s.Name, key, string(slot.State), slot.Address.String())
			t.Current = string(slot.State)
		}
	}
	if t.Current == string(mesh.SlotFilled) {
		t.Current = string(mesh.TaskRunning)
	}
	for _, st := range k.tasks {
		if e.Node == k.Node && st.Service == s.Name && st.Task == e.Task && st.Revision == e.Revision {
			row.Container, row.Engine = st.Container, st.Engine
			t.fill(st)
		}
	}
	return row
}

func (t *taskRow) fill(st mesh.TaskStatus) {
	t.Current, t.Since, t.Error, t.ExitCode, t.Restarts = string(st.State), st.Since, st.Error, st.ExitCode, st.Restarts
}

// leavingTasks are those of this node that the record does not have any more.
func (k known) leavingTasks(service string) (rows []endpointRow) {
	for _, st := range k.tasks {
		if st.Endpoint != "" || service != "" && st.Service != service {
			continue
		}
		t := &taskRow{Task: st.Task, Revision: st.Revision, Desired: desiredShutdown}
		t.fill(st)
		rows = append(rows, endpointRow{Service: st.Service, Node: k.Node, State: string(st.State), Container: st.Container, Engine: st.Engine, Task: t})
	}
	return rows
}

// writeTasks shows tasks as docker's `service ps`.
func writeTasks(out io.Writer, rows []endpointRow, now time.Time) error {
	return writeTable(out, "TASK\tIMAGE\tNODE\tDESIRED\tCURRENT\tERROR", rows, func(e endpointRow) string {
		t := e.Task
		current := t.Current
		if !t.Since.IsZero() {
			current += " " + age(now.Sub(t.Since))
		}
		oneLine := func(s string) string { return cmp.Or(strings.Join(strings.Fields(s), " "), "-") }
		return strings.Join([]string{e.Service + "." + t.Task, oneLine(t.Image), e.Node, t.Desired, current, oneLine(t.Error)}, "\t")
	}, func(e endpointRow) (int, term.Style) {
		switch mesh.TaskState(e.Task.Current) {
		case mesh.TaskFailed, mesh.TaskRejected:
			return 4, term.Bad
		case mesh.TaskRunning, mesh.TaskComplete:
			return 4, term.Plain
		}
		return 4, term.Worth
	})
}

// age is a duration to one unit.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// taskLog is what one task wrote last.
type taskLog struct {
	Service  string   `json:"service"`
	Task     string   `json:"task"`
	Revision string   `json:"revision"`
	Lines    []string `json:"lines"`
}

// Logs shows what tasks of this node wrote last: all of a service, or the one that is named
// SERVICE.TASK.
func (r *Reporter) Logs(ctx context.Context, of string, lines int, asJSON bool) error {
	var tasks mesh.Tasks
	if err := r.agent().Ask(ctx, http.MethodGet, mesh.PathTasks, nil, &tasks); err != nil {
		return err
	}
	service, task, one := strings.Cut(of, ".") // names of services have no dots
	logs, seen := []taskLog{}, map[string]bool{}
	for _, st := range tasks.Tasks {
		if st.Service != service || one && st.Task != task || seen[st.Task] {
			continue
		}
		seen[st.Task] = true
		query := url.Values{"service": {st.Service}, "task": {st.Task}, "lines": {strconv.Itoa(lines)}}
		text, err := r.agent().Text(ctx, mesh.PathTaskLogs+"?"+query.Encode())
		if err != nil {
			if one {
				return err
			}
			fmt.Fprintf(r.Stderr, "%s.%s: %v\n", st.Service, st.Task, err)
			continue
		}
		written := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		if len(text) == 0 {
			written = []string{}
		}
		logs = append(logs, taskLog{st.Service, st.Task, st.Revision, written})
	}
	switch {
	case len(seen) == 0:
		return fmt.Errorf("this node runs no task of %s: `routingmesh-agent service ps` says which nodes do", of)
	case asJSON:
		return r.writeJSON(logs)
	}
	for _, l := range logs {
		prefix := ""
		if !one {
			prefix = l.Service + "." + l.Task + " | "
		}
		for _, line := range l.Lines {
			fmt.Fprintf(r.Stdout, "%s%s\n", prefix, line)
		}
	}
	return nil
}
