package compose

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// service turns one service of the file into ours.
func (r *reader) service(s types.ServiceConfig) (Service, error) {
	ours := Service{Name: r.full(s.Name), Networks: map[string]Membership{}}
	for name, in := range s.Networks {
		m := Membership{Aliases: []string{r.alias(s.Name, s.Name)}}
		if in != nil {
			for _, alias := range in.Aliases {
				m.Aliases = append(m.Aliases, r.alias(s.Name, alias))
			}
		}
		slices.Sort(m.Aliases)
		m.Aliases = slices.Compact(m.Aliases)
		ours.Networks[r.network(name)] = m
	}
	if s.Image == "" {
		return ours, fmt.Errorf("services.%s has no image: the nodes build none, so build it, push it to a registry that they reach, and name it", s.Name)
	}
	var err error
	ours.Task, err = r.task(s)
	r.deploy(s, &ours)
	return ours, err
}

// deploy has what Swarm takes from the part of that name.
func (r *reader) deploy(s types.ServiceConfig, ours *Service) {
	one := int64(1)
	ours.Replicas = &one
	if s.Scale != nil {
		ours.Replicas = new(int64(*s.Scale))
	}
	d := s.Deploy
	if d == nil {
		return
	}
	if d.Replicas != nil {
		ours.Replicas = new(int64(*d.Replicas))
	}
	switch d.Mode {
	case "global":
		ours.Global, ours.Replicas = new(true), nil
	case "", "replicated":
	default:
		r.note("services.%s.deploy.mode %q: tasks run all the time, not once", s.Name, d.Mode)
	}
	ours.EndpointMode = text(d.EndpointMode)
	if p := d.Placement; len(p.Constraints) > 0 || len(p.Preferences) > 0 || p.MaxReplicas > 0 {
		ours.Placement = &Placement{Constraints: p.Constraints, MaxPerNode: positive(int64(p.MaxReplicas))}
		for _, preference := range p.Preferences {
			ours.Placement.Spread = append(ours.Placement.Spread, preference.Spread)
		}
	}
	if u := d.UpdateConfig; u != nil {
		ours.Update = &Update{Delay: span(&u.Delay), Order: text(u.Order), Monitor: span(&u.Monitor), FailureAction: text(u.FailureAction)}
		if u.Parallelism != nil {
			ours.Update.Parallelism = new(int64(*u.Parallelism))
		}
	}
}

// task is what each container of the service is.
func (r *reader) task(s types.ServiceConfig) (Task, error) {
	t := Task{
		Image: s.Image, Entrypoint: s.Entrypoint, Command: s.Command,
		User: text(s.User), WorkDir: text(s.WorkingDir), StopGracePeriod: span(s.StopGracePeriod), StopSignal: text(s.StopSignal),
		Labels: s.Labels, CapAdd: s.CapAdd, CapDrop: s.CapDrop, Sysctls: s.Sysctls,
		Limits: limits(s), HealthCheck: healthCheck(s.HealthCheck),
	}
	if s.ReadOnly {
		t.ReadOnly = new(true)
	}
	for name, value := range s.Environment {
		if value == nil {
			r.note("services.%s.environment.%s has no value: give it in env", s.Name, name)
			continue
		}
		if t.Env == nil {
			t.Env = map[string]string{}
		}
		t.Env[name] = *value
	}
	if l := s.Logging; l != nil {
		t.LogDriver, t.LogOptions = text(l.Driver), l.Options
	}
	var err error
	if t.Restart, err = restart(s); err != nil {
		return t, err
	}
	t.Mounts, err = r.mounts(s)
	return t, err
}

// limits are those of deploy, or the service's own.
func limits(s types.ServiceConfig) *Limits {
	var l Limits
	if s.CPUS > 0 {
		l.CPUs = decimal(s.CPUS)
	}
	l.Memory, l.PIDs = bytes(s.MemLimit), positive(s.PidsLimit)
	if d := s.Deploy; d != nil && d.Resources.Limits != nil {
		of := d.Resources.Limits
		if of.NanoCPUs > 0 {
			l.CPUs = decimal(float32(of.NanoCPUs))
		}
		if of.MemoryBytes > 0 {
			l.Memory = bytes(of.MemoryBytes)
		}
		if of.Pids > 0 {
			l.PIDs = positive(of.Pids)
		}
	}
	if l == (Limits{}) {
		return nil
	}
	return &l
}

// restart is deploy's policy, or what Compose's own attribute stands for.
func restart(s types.ServiceConfig) (*Restart, error) {
	if d := s.Deploy; d != nil && d.RestartPolicy != nil {
		p := d.RestartPolicy
		r := &Restart{Condition: text(p.Condition), Delay: span(p.Delay)}
		if p.MaxAttempts != nil {
			r.MaxAttempts = positive(int64(*p.MaxAttempts))
		}
		return r, nil
	}
	condition, attempts, limited := strings.Cut(s.Restart, ":")
	switch condition {
	case "":
		return nil, nil
	case "no":
		return &Restart{Condition: new("none")}, nil
	case "always", "unless-stopped":
		return &Restart{Condition: new("any")}, nil
	case "on-failure":
		r := &Restart{Condition: new("on-failure")}
		if limited {
			n, err := strconv.ParseUint(attempts, 10, 31)
			if err != nil {
				return nil, fmt.Errorf("services.%s.restart: %q is not a number of attempts", s.Name, attempts)
			}
			r.MaxAttempts = positive(int64(n))
		}
		return r, nil
	}
	return nil, fmt.Errorf("services.%s.restart: %q is none of no, always, unless-stopped, on-failure, on-failure:N", s.Name, s.Restart)
}

// mounts are the volumes, and tmpfs.
func (r *reader) mounts(s types.ServiceConfig) ([]Mount, error) {
	var all []Mount
	for _, v := range s.Volumes {
		m := Mount{Type: v.Type, Source: text(v.Source), Target: v.Target}
		if v.ReadOnly {
			m.ReadOnly = new(true)
		}
		switch v.Type {
		case types.VolumeTypeBind:
			if !path.IsAbs(v.Source) {
				return nil, fmt.Errorf("services.%s.volumes: %q is a path beside the file, and tasks mount what is on their node: put it on the nodes, and give the path that it has there, which begins with /", s.Name, v.Source)
			}
		case types.VolumeTypeVolume:
			if v.Source == "" {
				return nil, fmt.Errorf("services.%s.volumes: the volume at %s has no name, so that nothing could find it again: give it one", s.Name, v.Target)
			}
			m.Source = new(r.volume(v.Source))
		case types.VolumeTypeTmpfs:
		default:
			r.note("services.%s.volumes: type %q at %s", s.Name, v.Type, v.Target)
			continue
		}
		all = append(all, m)
	}
	for _, target := range s.Tmpfs {
		target, options, _ := strings.Cut(target, ":")
		if options != "" {
			r.note("services.%s.tmpfs: the options %q of %s", s.Name, options, target)
		}
		all = append(all, Mount{Type: types.VolumeTypeTmpfs, Target: target})
	}
	return all, nil
}

func healthCheck(h *types.HealthCheckConfig) *HealthCheck {
	if h == nil {
		return nil
	}
	if h.Disable {
		return &HealthCheck{Test: []string{"NONE"}}
	}
	if len(h.Test) == 0 {
		return nil // the image's own
	}
	ours := &HealthCheck{Test: h.Test, Interval: span(h.Interval), Timeout: span(h.Timeout), StartPeriod: span(h.StartPeriod)}
	if h.Retries != nil {
		ours.Retries = positive(int64(*h.Retries))
	}
	return ours
}

// ports are those that the service publishes, by service, port and protocol.
func (r *reader) ports(s types.ServiceConfig, into map[string]Port) error {
	for _, p := range s.Ports {
		ours := Port{Service: s.Name, TargetPort: int64(p.Target), Protocol: p.Protocol, Mode: p.Mode}
		if ours.Protocol == "" {
			ours.Protocol = "tcp"
		}
		if ours.Mode == "" {
			ours.Mode = "ingress"
		}
		at := fmt.Sprintf("%s/%d/%s", s.Name, p.Target, ours.Protocol)
		if p.Published != "" {
			n, err := strconv.ParseUint(p.Published, 10, 16)
			if err != nil || n == 0 {
				return fmt.Errorf("services.%s.ports: %q is not one port, 1–65535: for several, write LOW-HIGH:LOW-HIGH", s.Name, p.Published)
			}
			ours.PublishedPort = new(int64(n))
			at = fmt.Sprintf("%s/%d/%s", s.Name, n, ours.Protocol)
		}
		if p.HostIP != "" && p.HostIP != "0.0.0.0" {
			ours.ListenAddresses = []string{p.HostIP}
		}
		if twin, ok := into[at]; ok {
			if slices.Equal(twin.ListenAddresses, ours.ListenAddresses) {
				return fmt.Errorf("services.%s.ports publishes %s twice", s.Name, at)
			}
			// One port that is open at several addresses.
			twin.ListenAddresses = append(twin.ListenAddresses, ours.ListenAddresses...)
			into[at] = twin
			continue
		}
		into[at] = ours
	}
	return nil
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// span is a time in whole seconds, at least one: those of tasks are.
func span(d *types.Duration) *string {
	if d == nil || *d <= 0 {
		return nil
	}
	seconds := (time.Duration(*d) + time.Second - 1).Truncate(time.Second)
	return new(seconds.String())
}

func positive(n int64) *int64 {
	if n <= 0 {
		return nil
	}
	return &n
}

func bytes(n types.UnitBytes) *string {
	if n <= 0 {
		return nil
	}
	return new(strconv.FormatInt(int64(n), 10))
}

// decimal is what the user wrote, which a float32 has rounded.
func decimal(f float32) *string { return new(strconv.FormatFloat(float64(f), 'f', -1, 32)) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
