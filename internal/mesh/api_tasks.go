package mesh

import "time"

// PathTasks is GET: the tasks of this node (Tasks). PathTaskLogs is GET with the query
// service, task and lines: the last lines that the container wrote, as text.
const (
	PathTasks    = "/v1/tasks"
	PathTaskLogs = "/v1/tasks/logs"
)

// TaskState is where a task is on its way, in Swarm's words.
type TaskState string

const (
	TaskPreparing TaskState = "preparing" // its image is pulled
	TaskStarting  TaskState = "starting"  // its container runs, and its health check has not passed yet
	TaskRunning   TaskState = "running"
	TaskFailed    TaskState = "failed"   // it ended, and is started again after a wait
	TaskComplete  TaskState = "complete" // it ended, and its policy does not start it again
	TaskRejected  TaskState = "rejected" // the engine refuses it: no such image, no engine, a bad mount
	TaskStopping  TaskState = "stopping" // it is no longer in the record: it drains, and ends
)

// TaskStatus is one task on its node.
type TaskStatus struct {
	Service  string    `json:"service"`
	Endpoint string    `json:"endpoint"` // the key of its endpoint, "" if it is no longer in the record
	Task     string    `json:"task"`
	Revision string    `json:"revision"`
	State    TaskState `json:"state"`
	// Since is when it came into the state.
	Since time.Time `json:"since"`
	// Engine and Container are who runs it, "" before there is one.
	Engine    string `json:"engine,omitempty"`
	Container string `json:"container,omitempty"`
	// Error is why it failed or was rejected; ExitCode is of the last end, nil without one.
	Error    string `json:"error,omitempty"`
	ExitCode *int   `json:"exit_code,omitempty"`
	// Restarts counts those that the agent has made since the task came to the node.
	Restarts int `json:"restarts,omitempty"`
	// LastLines is what it wrote last before it failed, at most 10 lines and 2 KiB.
	LastLines []string `json:"last_lines,omitempty"`
}

// Tasks is the answer to PathTasks, by service, task and revision.
type Tasks struct {
	Node  string       `json:"node"`
	Tasks []TaskStatus `json:"tasks"`
}
