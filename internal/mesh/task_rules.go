package mesh

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Defaults of tasks, which are Swarm's.
const (
	DefaultStopGrace    = 10 * time.Second
	DefaultRestartDelay = 5 * time.Second
	DefaultMonitor      = 5 * time.Second
	DefaultParallelism  = 1
)

// Limits of tasks.
var (
	// Replicas are as many as a cluster of nodes with default blocks has slots for, and more.
	Replicas        = Limits{0, 10_000}
	Parallelisms    = Limits{1, 10_000}
	TaskSeconds     = Limits{0, int64(maxDrain / time.Second)}
	RestartAttempts = Limits{0, 1_000_000}
	MilliCPUs       = Limits{1, 1_000_000}
	// MemoryBytes begin with what Docker takes at least.
	MemoryBytes = Limits{6 << 20, 1 << 50}
	PIDs        = Limits{1, 1 << 22}
	Retries     = Limits{0, 1_000}
)

// Words of a task, as Swarm has them.
const (
	EngineDocker, EnginePodman                      = "docker", "podman"
	MountBind, MountVolume, MountTmpfs              = "bind", "volume", "tmpfs"
	RestartAny, RestartOnFailure, RestartNone       = "any", "on-failure", "none"
	StartFirst, StopFirst                           = "start-first", "stop-first"
	FailurePause, FailureRollback, FailureContinue  = "pause", "rollback", "continue"
	ownLabels                                       = "io.routingmesh."
	maxTaskEnv, maxTaskMounts, maxPlacementListings = 1_000, 100, 100
)

var (
	volumeNames = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$`)
	signals     = regexp.MustCompile(`^([A-Z0-9+-]{1,20}|[0-9]{1,2})$`)
	caps        = regexp.MustCompile(`^[A-Z_]{1,40}$`)
	sysctlKeys  = regexp.MustCompile(`^[a-zA-Z0-9_./-]{1,200}$`)
	images      = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.:/@+-]{0,511}$`)
)

// checkTask has the rules of a service's task, or of there being none. The endpoints are
// for checkTaskEndpoints.
func (s *Service) checkTask() error {
	if s.Task == nil {
		switch {
		case s.Previous != nil || len(s.Stopping) > 0:
			return s.fail("task", "A service without a task has none before it either.")
		case s.Replicas != 0:
			return s.fail("replicas", "Replicas are of a service with a task: without one its endpoints say where it runs.")
		case s.Global:
			return s.fail("global", "Only a service with a task can be global: without one its endpoints say where it runs.")
		case s.Placement != nil:
			return s.fail("placement", "A placement is for services with a task: without one the endpoints say where it runs.")
		case s.Update != nil:
			return s.fail("update", "An update is of a service with a task.")
		}
		return nil
	}
	if err := s.Task.check(); err != nil {
		return s.fail("task", "%s.", capitalized(err))
	}
	if s.Previous != nil {
		if err := s.Previous.check(); err != nil {
			return s.fail("task", "The task before: %v.", err)
		}
		if s.Previous.Revision() == s.Task.Revision() {
			return s.fail("task", "The task and the one before it are the same.")
		}
	}
	if err := s.checkStopping(); err != nil {
		return err
	}
	if err := Replicas.Check("replicas", int64(s.Replicas)); err != nil {
		return s.fail("replicas", "%s.", capitalized(err))
	}
	if s.Global && s.Replicas != 0 {
		return s.fail("replicas", "A global service has one task on each node that fits: leave replicas out, or global.")
	}
	if err := s.Placement.check(s.Global); err != nil {
		return s.fail("placement", "%s.", capitalized(err))
	}
	if err := s.Update.check(); err != nil {
		return s.fail("update", "%s.", capitalized(err))
	}
	return nil
}

// checkStopping has the rules of tasks that are between two revisions.
func (s *Service) checkStopping() error {
	if len(s.Stopping) > 0 && s.Previous == nil {
		return s.fail("task", "Tasks are stopped for an update, and there is none.")
	}
	for task, node := range s.Stopping {
		if CheckName(task) != nil || CheckName(node) != nil {
			return s.fail("task", "Task %.80q is stopped on node %.80q, which are not their names.", task, node)
		}
		for _, e := range s.Endpoints {
			if e.Task == task {
				return s.fail("task", "Task %s is stopped, and has an endpoint.", task)
			}
		}
	}
	return nil
}

// check reports what no engine would take.
func (t *Task) check() error {
	switch {
	case t.Engine != "" && t.Engine != EngineDocker && t.Engine != EnginePodman:
		return fmt.Errorf(`the engine must be "docker" or "podman", not %q`, t.Engine)
	case !images.MatchString(t.Image):
		return fmt.Errorf("%.80q is no image: want a name such as docker.io/library/nginx:1.27, with a tag or a digest", t.Image)
	case t.WorkDir != "" && (!path.IsAbs(t.WorkDir) || !isLine(t.WorkDir)):
		return fmt.Errorf("workdir must be a path from the root of the container, not %.80q", t.WorkDir)
	case !isLine(t.User):
		return fmt.Errorf("user must not have control characters: %.80q", t.User)
	case t.StopSignal != "" && !signals.MatchString(t.StopSignal):
		return fmt.Errorf("%.80q is no signal: want one such as SIGTERM", t.StopSignal)
	case !isLine(t.LogDriver) || len(t.Env) > maxTaskEnv:
		return fmt.Errorf("log_driver must not have control characters, and env at most %d variables", maxTaskEnv)
	}
	if err := checkSeconds("stop_grace_period", t.StopGraceSeconds); err != nil {
		return err
	}
	for what, words := range map[string][]string{"entrypoint": t.Entrypoint, "command": t.Command} {
		for _, word := range words {
			if !isText(word) {
				return fmt.Errorf("the words of %s must not have control characters or more than %d bytes: %.80q", what, maxText, word)
			}
		}
	}
	for _, check := range []func() error{t.checkMaps, t.checkMounts, t.checkCaps, t.checkNumbers, t.HealthCheck.check} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// isLine says that the text is plain, and one line.
func isLine(s string) bool { return isText(s) && !strings.ContainsAny(s, "\n\t") }

func checkSeconds(what string, seconds *int) error {
	if seconds != nil && !TaskSeconds.Has(int64(*seconds)) {
		return fmt.Errorf("%s must be 0s–24h, not %s", what, lasting(int64(*seconds), time.Second))
	}
	return nil
}

func (t *Task) checkMaps() error {
	for _, m := range []struct {
		what string
		of   map[string]string
		key  func(string) bool
	}{
		{"env", t.Env, func(k string) bool { return !strings.Contains(k, "=") }},
		{"labels", t.Labels, func(k string) bool { return !strings.HasPrefix(k, ownLabels) }},
		{"sysctls", t.Sysctls, sysctlKeys.MatchString},
		{"log_options", t.LogOptions, func(string) bool { return true }},
	} {
		for _, key := range slices.Sorted(maps.Keys(m.of)) {
			if key == "" || !isLine(key) || !isText(m.of[key]) || !m.key(key) {
				return fmt.Errorf("%s cannot have %.80q = %.80q: names must be plain (in env without =, in labels not of io.routingmesh), "+
					"and values have no control characters and at most %d bytes", m.what, key, m.of[key], maxText)
			}
		}
	}
	return nil
}

func (t *Task) checkMounts() error {
	if len(t.Mounts) > maxTaskMounts {
		return fmt.Errorf("mounts may be %d at most, not %d", maxTaskMounts, len(t.Mounts))
	}
	targets := map[string]bool{}
	for _, m := range t.Mounts {
		switch {
		case !path.IsAbs(m.Target) || !isLine(m.Target):
			return fmt.Errorf("the target of a mount must be a path from the root of the container, not %.80q", m.Target)
		case targets[m.Target]:
			return fmt.Errorf("two mounts have the target %.80q", m.Target)
		case m.Type == MountBind && (!path.IsAbs(m.Source) || !isLine(m.Source)):
			return fmt.Errorf("the source of a bind mount must be a path from the root of the node, not %.80q (target %s)", m.Source, m.Target)
		case m.Type == MountVolume && !volumeNames.MatchString(m.Source):
			return fmt.Errorf("the source of a volume mount must be the name of a volume, not %.80q (target %s)", m.Source, m.Target)
		case m.Type == MountTmpfs && m.Source != "":
			return fmt.Errorf("a tmpfs mount has no source (target %s)", m.Target)
		case m.Type != MountBind && m.Type != MountVolume && m.Type != MountTmpfs:
			return fmt.Errorf(`the type of a mount must be "bind", "volume" or "tmpfs", not %.80q (target %s)`, m.Type, m.Target)
		}
		targets[m.Target] = true
	}
	return nil
}

func (t *Task) checkCaps() error {
	for _, name := range slices.Concat(t.CapAdd, t.CapDrop) {
		if !caps.MatchString(name) {
			return fmt.Errorf("%.80q is no capability: want one such as NET_ADMIN, or ALL", name)
		}
	}
	return nil
}

func (t *Task) checkNumbers() error {
	for _, n := range []struct {
		what  string
		value int64
		in    Limits
	}{
		{"limits.cpus (in thousandths)", t.Limits.MilliCPUs, MilliCPUs},
		{"limits.memory (in bytes)", t.Limits.MemoryBytes, MemoryBytes},
		{"limits.pids", t.Limits.PIDs, PIDs},
		{"restart.max_attempts", int64(t.Restart.MaxAttempts), RestartAttempts},
	} {
		if err := n.in.Check(n.what, n.value); n.value != 0 && err != nil {
			return err
		}
	}
	if c := t.Restart.Condition; c != "" && c != RestartAny && c != RestartOnFailure && c != RestartNone {
		return fmt.Errorf(`restart.condition must be "any", "on-failure" or "none", not %q`, c)
	}
	return checkSeconds("restart.delay", t.Restart.DelaySeconds)
}

func (h *TaskHealthCheck) check() error {
	if h == nil {
		return nil
	}
	kind := ""
	if len(h.Test) > 0 {
		kind = h.Test[0]
	}
	switch {
	case kind == "NONE" && len(h.Test) == 1, kind == "CMD" && len(h.Test) > 1, kind == "CMD-SHELL" && len(h.Test) == 2:
	default:
		return fmt.Errorf(`health_check.test must be ["CMD", PROGRAM, …], ["CMD-SHELL", COMMAND] or ["NONE"], not %.80q`, h.Test)
	}
	for _, word := range h.Test {
		if !isText(word) {
			return fmt.Errorf("the words of health_check.test must not have control characters or more than %d bytes: %.80q", maxText, word)
		}
	}
	for what, seconds := range map[string]int{"interval": h.IntervalSeconds, "timeout": h.TimeoutSeconds, "start_period": h.StartPeriodSeconds} {
		if err := checkSeconds("health_check."+what, &seconds); err != nil {
			return err
		}
	}
	return Retries.Check("health_check.retries", int64(h.Retries))
}

func (p *Placement) check(global bool) error {
	if p == nil {
		return nil
	}
	if len(p.Constraints) > maxPlacementListings || len(p.Spread) > maxPlacementListings {
		return fmt.Errorf("constraints and spread may have %d entries each at most", maxPlacementListings)
	}
	for _, text := range p.Constraints {
		if _, err := parseConstraint(text); err != nil {
			return err
		}
	}
	for _, label := range p.Spread {
		if !isLabelKey(label) {
			return fmt.Errorf("tasks are spread over the values of a label of nodes, as in node.labels.zone, not over %.80q", label)
		}
	}
	switch {
	case global && (p.MaxPerNode != 0 || len(p.Spread) > 0):
		return fmt.Errorf("a global service has one task on each node that fits: it is neither spread nor has it a max_per_node")
	case p.MaxPerNode < 0 || !Replicas.Has(int64(p.MaxPerNode)):
		return fmt.Errorf("max_per_node must be 1–%d, not %d", Replicas.Last, p.MaxPerNode)
	}
	return nil
}

func (u *UpdatePolicy) check() error {
	if u == nil {
		return nil
	}
	if err := Parallelisms.Check("parallelism", int64(u.Parallelism)); u.Parallelism != 0 && err != nil {
		return err
	}
	switch {
	case u.Order != "" && u.Order != StartFirst && u.Order != StopFirst:
		return fmt.Errorf(`order must be "start-first" or "stop-first", not %q`, u.Order)
	case u.FailureAction != "" && u.FailureAction != FailurePause && u.FailureAction != FailureRollback && u.FailureAction != FailureContinue:
		return fmt.Errorf(`failure_action must be "pause", "rollback" or "continue", not %q`, u.FailureAction)
	}
	if err := checkSeconds("monitor", u.MonitorSeconds); err != nil {
		return err
	}
	return checkSeconds("delay", &u.DelaySeconds)
}

// checkTaskEndpoints has the rules of a service's endpoints that are tasks, all or none.
func (s *Service) checkTaskEndpoints() error {
	if s.Task == nil {
		for key, e := range s.Endpoints {
			if e.Task != "" || e.Revision != "" {
				return s.fail("endpoints", "Endpoint %q is a task, and the service has none.", key)
			}
		}
		return nil
	}
	current, previous := s.Task.Revision(), ""
	if s.Previous != nil {
		previous = s.Previous.Revision()
	}
	type one struct{ task, revision string }
	seen := map[one]bool{}
	for _, key := range slices.Sorted(maps.Keys(s.Endpoints)) {
		e := s.Endpoints[key]
		switch {
		case CheckName(e.Task) != nil || key != e.Task && !strings.HasPrefix(key, e.Task+"."):
			return s.fail("endpoints", "Endpoint %q is task %.80q of the service, which is not its name.", key, e.Task)
		case e.Revision == "" || e.Revision != current && e.Revision != previous:
			return s.fail("endpoints", "Endpoint %q has the revision %.80q, which neither the task nor the one before has.", key, e.Revision)
		case e.Container == nil || len(e.Slots) != 1 || e.Port != 0 || e.Weight != nil && *e.Weight != DefaultWeight:
			return s.fail("endpoints", "Endpoint %q is a task, and not one container with one slot.", key)
		case seen[one{e.Task, e.Revision}]:
			return s.fail("endpoints", "Task %s of the service is there twice.", e.Task)
		}
		seen[one{e.Task, e.Revision}] = true
	}
	return nil
}

// validateTasks checks in a record from outside that the tasks' containers are theirs.
func (r *Record) validateTasks() error {
	for name, s := range r.Services {
		if s.Task == nil {
			continue
		}
		for key, e := range s.Endpoints {
			if e.Task != "" && !maps.Equal(e.Container.Labels, r.TaskLabels(name, e.Task, e.Revision)) {
				return fmt.Errorf("the record's task %q of service %q has other labels than its own", key, name)
			}
		}
	}
	return nil
}

// clone is a deep copy.
func (t *Task) clone() *Task {
	if t == nil {
		return nil
	}
	c := *t
	c.Entrypoint, c.Command, c.Mounts = slices.Clone(t.Entrypoint), slices.Clone(t.Command), slices.Clone(t.Mounts)
	c.Env, c.Labels, c.Sysctls, c.LogOptions = maps.Clone(t.Env), maps.Clone(t.Labels), maps.Clone(t.Sysctls), maps.Clone(t.LogOptions)
	c.CapAdd, c.CapDrop = slices.Clone(t.CapAdd), slices.Clone(t.CapDrop)
	if t.HealthCheck != nil {
		h := *t.HealthCheck
		h.Test = slices.Clone(h.Test)
		c.HealthCheck = &h
	}
	return &c
}

// canonical leaves out what is the default, so that equal tasks have equal revisions.
func (t *Task) canonical() *Task {
	if t == nil {
		return nil
	}
	c := t.clone()
	if c.Restart.Condition == RestartAny {
		c.Restart.Condition = ""
	}
	c.Restart.DelaySeconds = unless(c.Restart.DelaySeconds, DefaultRestartDelay)
	c.StopGraceSeconds = unless(c.StopGraceSeconds, DefaultStopGrace)
	c.CapAdd, c.CapDrop = canonicalCaps(c.CapAdd), canonicalCaps(c.CapDrop)
	c.Entrypoint, c.Command, c.Mounts = noneIfEmpty(c.Entrypoint), noneIfEmpty(c.Command), noneIfEmpty(c.Mounts)
	for _, m := range []*map[string]string{&c.Env, &c.Labels, &c.Sysctls, &c.LogOptions} {
		if len(*m) == 0 {
			*m = nil
		}
	}
	return c
}

func noneIfEmpty[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// unless is nil for what is the default.
func unless(seconds *int, standard time.Duration) *int {
	if seconds != nil && time.Duration(*seconds)*time.Second == standard {
		return nil
	}
	return seconds
}

func canonicalCaps(names []string) []string {
	var short []string
	for _, name := range names {
		short = append(short, strings.TrimPrefix(name, "CAP_"))
	}
	return sortedSet(short)
}

// canonicalTask leaves out of what belongs to a task what is the default.
func (s *Service) canonicalTask() {
	s.Task, s.Previous = s.Task.canonical(), s.Previous.canonical()
	if p := s.Placement; p != nil {
		c := Placement{Spread: noneIfEmpty(slices.Clone(p.Spread)), MaxPerNode: p.MaxPerNode}
		for _, text := range p.Constraints {
			if normal, err := NormalConstraint(text); err == nil {
				text = normal
			}
			c.Constraints = append(c.Constraints, text)
		}
		s.Placement = &c
		if len(c.Constraints) == 0 && len(c.Spread) == 0 && c.MaxPerNode == 0 {
			s.Placement = nil
		}
	}
	if u := s.Update; u != nil {
		c := *u
		if c.Parallelism == DefaultParallelism {
			c.Parallelism = 0
		}
		if c.Order == s.defaultOrder() {
			c.Order = ""
		}
		if c.FailureAction == FailurePause {
			c.FailureAction = ""
		}
		c.MonitorSeconds = unless(c.MonitorSeconds, DefaultMonitor)
		s.Update = &c
		if c == (UpdatePolicy{}) {
			s.Update = nil
		}
	}
}

// defaultOrder is stop-first where two containers would share a volume.
func (s *Service) defaultOrder() string {
	if s.Task != nil && slices.ContainsFunc(s.Task.Mounts, func(m TaskMount) bool { return m.Type == MountVolume }) {
		return StopFirst
	}
	return StartFirst
}

// policy is the service's update policy with its defaults.
func (s *Service) policy() UpdatePolicy {
	var u UpdatePolicy
	if s.Update != nil {
		u = *s.Update
	}
	u.Parallelism = max(u.Parallelism, DefaultParallelism)
	if u.Order == "" {
		u.Order = s.defaultOrder()
	}
	if u.FailureAction == "" {
		u.FailureAction = FailurePause
	}
	return u
}

// Monitor is for how long a new task has to run to count as good.
func (s *Service) Monitor() time.Duration {
	if s.Update == nil || s.Update.MonitorSeconds == nil {
		return DefaultMonitor
	}
	return time.Duration(*s.Update.MonitorSeconds) * time.Second
}

// UpdateDelay is the pause from one batch of an update to the next.
func (s *Service) UpdateDelay() time.Duration {
	return time.Duration(s.policy().DelaySeconds) * time.Second
}

// FailureAction says what a failing update leads to.
func (s *Service) FailureAction() string { return s.policy().FailureAction }

// Canonical is the service as a record has it: without what is the default.
func (s *Service) Canonical() *Service { return s.clone().canonical() }
