package report

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// TestTasks: tasks as docker's `service ps` shows them, within 80 columns, and what they wrote.
func TestTasks(t *testing.T) {
	r, stdout, _ := newReporter(t)
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	r.Clock = func() time.Time { return now }
	st := agenttest.Status(t)
	rec := st.Record.Clone()
	task := &mesh.Task{Image: "registry.example.org/shop/web:1.4"}
	s := &mesh.Service{Name: "shop", Task: task, Replicas: 3, Endpoints: map[string]mesh.Endpoint{}}
	for number, node := range map[string]string{"1": "n1", "2": "n1", "3": "n2"} {
		s.Endpoints[number] = mesh.Endpoint{
			Node: node, Task: number, Revision: task.Revision(), Slots: []uint16{0}, Container: &mesh.Container{Labels: rec.TaskLabels("shop", number, task.Revision())},
		}
	}
	agenttest.Must(t, rec.PutService(s))
	rec.Services["shop"].Endpoints = s.Endpoints // else they are where the scheduler puts them
	st.Record = rec
	slot := func(number, node string, state mesh.SlotState) mesh.Slot {
		return mesh.Slot{Service: "shop", Endpoint: number, Node: node, Address: netip.MustParseAddr("10.255.0.128"), State: state}
	}
	code := 137
	tasks := mesh.Tasks{Node: "n1", Tasks: []mesh.TaskStatus{
		{Service: "shop", Endpoint: "1", Task: "1", Revision: task.Revision(), State: mesh.TaskRunning, Since: now.Add(-5 * time.Minute), Engine: "docker", Container: "c"},
		{Service: "shop", Endpoint: "2", Task: "2", Revision: task.Revision(), State: mesh.TaskFailed, Since: now.Add(-9 * time.Second), Error: "it ended with exit code 137", ExitCode: &code},
		{Service: "shop", Task: "4", Revision: "old", State: mesh.TaskStopping, Since: now.Add(-3 * time.Hour)},
	}}
	agenttest.Serve(t, r.Socket(), map[string]any{
		"GET " + mesh.PathStatus: st, "GET " + mesh.PathTasks: tasks, "GET " + mesh.PathTaskLogs: []string{"written"},
		"GET " + mesh.PathSlots: mesh.Slots{Slots: []mesh.Slot{slot("1", "n1", mesh.SlotFilled), slot("2", "n1", mesh.SlotEmpty), slot("3", "n2", mesh.SlotFilled)}},
	})
	agenttest.Must(t, r.Endpoints(t.Context(), "shop", false))
	golden(t, "service-ps-tasks.golden", stdout.String())
	for line := range strings.Lines(stdout.String()) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	stdout.Reset()
	agenttest.Must(t, r.Endpoints(t.Context(), "shop", true))
	if !strings.Contains(stdout.String(), `"current_state": "failed"`) || !strings.Contains(stdout.String(), `"exit_code": 137`) {
		t.Errorf("as JSON:\n%s", stdout)
	}
	stdout.Reset()
	agenttest.Must(t, r.Logs(t.Context(), "shop", 5, false))
	if got := stdout.String(); !strings.Contains(got, "shop.1 | ") || !strings.Contains(got, "written") {
		t.Errorf("logs:\n%s", got)
	}
	stdout.Reset()
	agenttest.Must(t, r.Logs(t.Context(), "shop.2", 5, false))
	if got := stdout.String(); strings.Contains(got, " | ") {
		t.Errorf("logs of one:\n%s", got)
	}
	if err := r.Logs(t.Context(), "web", 5, false); err == nil || !strings.Contains(err.Error(), "this node runs no task of web") {
		t.Errorf("logs of none: %v", err)
	}
}
