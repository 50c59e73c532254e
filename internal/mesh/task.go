package mesh

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Task is the container that the agents run for each task of a service: the same on every
// node. A service with one has no endpoints that the user names: Place makes one for
// each task, with a slot, and says on which node.
type Task struct {
	// Engine is "docker" or "podman"; "" is what the task's node has, Docker if both.
	Engine string `json:"engine,omitempty"`
	// Image is as the user wrote it. A node that does not have it pulls it.
	Image      string   `json:"image"`
	Entrypoint []string `json:"entrypoint,omitempty"`
	// Command is the arguments, in place of those of the image.
	Command []string          `json:"command,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	User    string            `json:"user,omitempty"`
	WorkDir string            `json:"workdir,omitempty"`
	Mounts  []TaskMount       `json:"mounts,omitempty"`
	Limits  TaskLimits        `json:"limits,omitzero"`
	Restart TaskRestart       `json:"restart,omitzero"`
	// StopGraceSeconds is how long a container may take to end before it is killed, nil is 10.
	StopGraceSeconds *int   `json:"stop_grace_seconds,omitempty"`
	StopSignal       string `json:"stop_signal,omitempty"`
	// Labels are the container's, beside those of the mesh (TaskLabels).
	Labels      map[string]string `json:"labels,omitempty"`
	CapAdd      []string          `json:"cap_add,omitempty"`
	CapDrop     []string          `json:"cap_drop,omitempty"`
	ReadOnly    bool              `json:"read_only,omitempty"`
	Sysctls     map[string]string `json:"sysctls,omitempty"`
	LogDriver   string            `json:"log_driver,omitempty"`
	LogOptions  map[string]string `json:"log_options,omitempty"`
	HealthCheck *TaskHealthCheck  `json:"health_check,omitempty"`
	// Names says that the container asks the mesh for names (Record.Resolver). PutService sets it for
	// a service in networks: an engine knows that when it makes a container, and not later.
	Names bool `json:"names,omitempty"`
}

// TaskMount is a folder or file of the node, a volume of the engine, or memory.
type TaskMount struct {
	// Type is "bind", "volume" or "tmpfs".
	Type string `json:"type"`
	// Source is a path on the node (bind) or a volume's name; "" for tmpfs.
	Source   string `json:"source,omitempty"`
	Target   string `json:"target"`
	ReadOnly bool   `json:"read_only,omitempty"`
}

// TaskLimits are 0 where there is none.
type TaskLimits struct {
	MilliCPUs   int64 `json:"milli_cpus,omitempty"`
	MemoryBytes int64 `json:"memory_bytes,omitempty"`
	PIDs        int64 `json:"pids,omitempty"`
}

// TaskRestart is what the agent does when a task's container ends.
type TaskRestart struct {
	// Condition is "" for any, "on-failure" or "none".
	Condition string `json:"condition,omitempty"`
	// DelaySeconds is the first wait, nil is 5. It doubles with each failure that follows
	// soon, to 5 minutes at most.
	DelaySeconds *int `json:"delay_seconds,omitempty"`
	// MaxAttempts is how many restarts are tried, 0 is without end.
	MaxAttempts int `json:"max_attempts,omitempty"`
}

// TaskHealthCheck is the engine's HEALTHCHECK. A task that it calls unhealthy is taken for
// one that is not running, and started again.
type TaskHealthCheck struct {
	// Test is as in Docker's API: ["NONE"], ["CMD", …] or ["CMD-SHELL", "…"].
	Test               []string `json:"test"`
	IntervalSeconds    int      `json:"interval_seconds,omitempty"`
	TimeoutSeconds     int      `json:"timeout_seconds,omitempty"`
	StartPeriodSeconds int      `json:"start_period_seconds,omitempty"`
	Retries            int      `json:"retries,omitempty"`
}

// Placement says where tasks may run.
type Placement struct {
	// Constraints are in Swarm's grammar: "node.labels.disk==ssd", "node.name!=n1".
	Constraints []string `json:"constraints,omitempty"`
	// Spread are labels over whose values the tasks are spread evenly: "node.labels.zone".
	Spread []string `json:"spread,omitempty"`
	// MaxPerNode is 0 without a limit.
	MaxPerNode int `json:"max_per_node,omitempty"`
}

// UpdatePolicy is how tasks of one revision are replaced by those of the next.
type UpdatePolicy struct {
	// Parallelism is how many at a time, 0 is 1.
	Parallelism  int `json:"parallelism,omitempty"`
	DelaySeconds int `json:"delay_seconds,omitempty"`
	// Order is "start-first" or "stop-first"; "" is stop-first for a task that mounts a volume,
	// else start-first.
	Order string `json:"order,omitempty"`
	// MonitorSeconds is for how long a new task has to run to count as good, nil is 5.
	MonitorSeconds *int `json:"monitor_seconds,omitempty"`
	// FailureAction is "" for pause, "rollback" or "continue".
	FailureAction string `json:"failure_action,omitempty"`
}

// Labels of a task's container, by which it is found.
const (
	LabelCluster  = "io.routingmesh.cluster"  // the record's UID
	LabelService  = "io.routingmesh.service"  // its service
	LabelTask     = "io.routingmesh.task"     // Endpoint.Task
	LabelRevision = "io.routingmesh.revision" // Endpoint.Revision
)

// Revision identifies what a task runs: 12 hex digits of the SHA-256 of its JSON.
func (t *Task) Revision() string {
	data, err := json.Marshal(t)
	if err != nil {
		panic("mesh: a task that cannot be written as JSON: " + err.Error())
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6])
}

// TaskLabels are the labels of the container of a task of the record.
func (r *Record) TaskLabels(service, task, revision string) map[string]string {
	return map[string]string{LabelCluster: r.UID, LabelService: service, LabelTask: task, LabelRevision: revision}
}

// TaskOf is what the endpoint runs: the service's task, or the one before while an update is
// under way. It is nil for an endpoint that is no task.
func (s *Service) TaskOf(e Endpoint) *Task {
	switch {
	case e.Task == "":
		return nil
	case s.Previous != nil && s.Previous.Revision() == e.Revision:
		return s.Previous
	}
	return s.Task
}
