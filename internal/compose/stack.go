// Package compose turns a Compose file (https://compose-spec.io) into what the provider's resources
// take. It reads nothing but the text that it is given: no other file, and no environment.
package compose

// Stack is what a Compose file asks for, in the words of the provider's resources. All names begin with
// the project's, as those of `docker stack deploy` do.
type Stack struct {
	// Networks are by their name, without those that exist already ("external").
	Networks map[string]Network `tfsdk:"networks"`
	// Services are by their name in the file.
	Services map[string]Service `tfsdk:"services"`
	// Ports are by service, port and protocol, "web/8080/tcp".
	Ports map[string]Port `tfsdk:"ports"`
	// Unsupported are the attributes that have no counterpart, and what is special about each, sorted.
	Unsupported []string `tfsdk:"unsupported"`
}

// Network is a routingmesh_network.
type Network struct {
	Name string `tfsdk:"name"`
}

// Service is a routingmesh_service.
type Service struct {
	Name         string                `tfsdk:"name"`
	Networks     map[string]Membership `tfsdk:"networks"`
	EndpointMode *string               `tfsdk:"endpoint_mode"`
	Replicas     *int64                `tfsdk:"replicas"`
	Global       *bool                 `tfsdk:"global"`
	Placement    *Placement            `tfsdk:"placement"`
	Update       *Update               `tfsdk:"update"`
	Task         Task                  `tfsdk:"task"`
}

// Membership is a service in a network.
type Membership struct {
	Aliases []string `tfsdk:"aliases"`
}

// Placement is where tasks may run.
type Placement struct {
	Constraints []string `tfsdk:"constraints"`
	Spread      []string `tfsdk:"spread"`
	MaxPerNode  *int64   `tfsdk:"max_per_node"`
}

// Update is how tasks are replaced.
type Update struct {
	Parallelism   *int64  `tfsdk:"parallelism"`
	Delay         *string `tfsdk:"delay"`
	Order         *string `tfsdk:"order"`
	Monitor       *string `tfsdk:"monitor"`
	FailureAction *string `tfsdk:"failure_action"`
}

// Task is what each task runs.
type Task struct {
	Image           string            `tfsdk:"image"`
	Entrypoint      []string          `tfsdk:"entrypoint"`
	Command         []string          `tfsdk:"command"`
	Env             map[string]string `tfsdk:"env"`
	User            *string           `tfsdk:"user"`
	WorkDir         *string           `tfsdk:"workdir"`
	Mounts          []Mount           `tfsdk:"mounts"`
	Limits          *Limits           `tfsdk:"limits"`
	Restart         *Restart          `tfsdk:"restart"`
	StopGracePeriod *string           `tfsdk:"stop_grace_period"`
	StopSignal      *string           `tfsdk:"stop_signal"`
	Labels          map[string]string `tfsdk:"labels"`
	CapAdd          []string          `tfsdk:"cap_add"`
	CapDrop         []string          `tfsdk:"cap_drop"`
	ReadOnly        *bool             `tfsdk:"read_only"`
	Sysctls         map[string]string `tfsdk:"sysctls"`
	LogDriver       *string           `tfsdk:"log_driver"`
	LogOptions      map[string]string `tfsdk:"log_options"`
	HealthCheck     *HealthCheck      `tfsdk:"health_check"`
}

// Mount is a path of the node, a volume of the engine, or memory.
type Mount struct {
	Type     string  `tfsdk:"type"`
	Source   *string `tfsdk:"source"`
	Target   string  `tfsdk:"target"`
	ReadOnly *bool   `tfsdk:"read_only"`
}

// Limits of a task.
type Limits struct {
	CPUs   *string `tfsdk:"cpus"`
	Memory *string `tfsdk:"memory"`
	PIDs   *int64  `tfsdk:"pids"`
}

// Restart is what happens when a task ends.
type Restart struct {
	Condition   *string `tfsdk:"condition"`
	Delay       *string `tfsdk:"delay"`
	MaxAttempts *int64  `tfsdk:"max_attempts"`
}

// HealthCheck is the engine's HEALTHCHECK.
type HealthCheck struct {
	Test        []string `tfsdk:"test"`
	Interval    *string  `tfsdk:"interval"`
	Timeout     *string  `tfsdk:"timeout"`
	StartPeriod *string  `tfsdk:"start_period"`
	Retries     *int64   `tfsdk:"retries"`
}

// Port is a routingmesh_published_port.
type Port struct {
	// Service is the service's name in the file.
	Service string `tfsdk:"service"`
	// PublishedPort is nil for one that the cluster is to find.
	PublishedPort   *int64   `tfsdk:"published_port"`
	TargetPort      int64    `tfsdk:"target_port"`
	Protocol        string   `tfsdk:"protocol"`
	Mode            string   `tfsdk:"mode"`
	ListenAddresses []string `tfsdk:"listen_addresses"`
}
