package meshtest

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// SetTasks says what becomes of the node's tasks: it may change each status, which says that
// the task runs. nil lets all run.
func (n *Node) SetTasks(change func(t *mesh.TaskStatus, task *mesh.Task)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tasks = change
}

// takeTasks answers for the tasks that the record has on the node. Called with mu held.
func (n *Node) takeTasks() mesh.Tasks {
	answer := mesh.Tasks{Node: n.agent.node, Tasks: []mesh.TaskStatus{}}
	if n.agent.record == nil {
		return answer
	}
	for _, name := range slices.Sorted(maps.Keys(n.agent.record.Services)) {
		s := n.agent.record.Services[name]
		for key, e := range s.Endpoints {
			if e.Task == "" || e.Node != n.agent.node {
				continue
			}
			t := mesh.TaskStatus{
				Service: name, Endpoint: key, Task: e.Task, Revision: e.Revision, State: mesh.TaskRunning, Since: time.Now(), Engine: mesh.EngineDocker, Container: key,
			}
			if n.tasks != nil {
				n.tasks(&t, s.TaskOf(e))
			}
			answer.Tasks = append(answer.Tasks, t)
		}
	}
	slices.SortFunc(answer.Tasks, func(a, b mesh.TaskStatus) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Endpoint, b.Endpoint))
	})
	return answer
}
