package tasks

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/engine"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Times of the state machine.
const (
	defaultDelay = 5 * time.Second // before the first restart
	longestDelay = 5 * time.Minute
	// ranLong is for how long a container has run whose end is the first failure again.
	ranLong = time.Minute
	// stuckAfter is how long a task may be on its way before that is said.
	stuckAfter = time.Minute
	// Waits until the next look: nothing tells of health, and of a container that was removed
	// while it did not run.
	pollRunning   = 10 * time.Second
	pollHealth    = 3 * time.Second
	pollStarting  = time.Second
	pollUnasked   = 3 * time.Second
	unaskedFor    = 20 * time.Second // an engine may restart
	pollEnded     = time.Second
	retryLeaving  = 5 * time.Second
	shortestRetry = time.Second
)

// want is a task that the record has for this node.
type want struct {
	endpoint string
	task     *mesh.Task
	labels   map[string]string
	dns      netip.Addr // whom it asks for names, not valid for its engine's own
}

// action is what is to be done next.
type action int

const (
	nothing action = iota
	create         // pull the image if it is missing, and create the container
	start
	stop
	remove
	end // the task has gone: nobody needs to look after it any more
)

// found is what an engine says of a task's container.
type found struct {
	engine string
	engine.Inspected
}

// core is the state machine of one task on this node. It knows no engine and no clock: what is
// found, and when, it is told.
type core struct {
	name   string // of the container
	uid    string // of the cluster
	want   *want  // nil for one that is to go
	until  time.Time
	status mesh.TaskStatus

	run      string    // StartedAt of the run that was seen last
	since    time.Time // when that was seen first
	counted  string    // the run whose end has been counted
	seen     bool      // its container has been seen running, or was made, by this agent
	failures int       // in a row
	attempts int       // restarts in a row
	retry    time.Time // no start before
	cause    string    // of the last failure, "" once it has run long enough
	final    bool      // its policy does not start it again
	lines    bool      // it has failed: its last lines are wanted
	unasked  string    // why its engine cannot be asked, "" if it can
	asked    time.Time // when it was asked last with success
}

// assign says what the record wants of the task from now on, nil for nothing: then its
// connections may drain until a moment.
func (c *core) assign(w *want, until, now time.Time) {
	switch {
	case w == nil && c.want != nil:
		c.until = until
		c.status.Endpoint = ""
	case w == nil && until.IsZero(): // it goes at once, also while it drains
		c.until = until
	case w != nil:
		c.status.Endpoint = w.endpoint
		if c.want == nil {
			c.retry, c.final, c.failures, c.attempts = time.Time{}, false, 0, 0
			c.enter(now, mesh.TaskPreparing, "")
		}
	}
	c.want = w
}

// enter notes a state and why it is one.
func (c *core) enter(now time.Time, s mesh.TaskState, why string) {
	if c.status.State != s {
		c.status.State, c.status.Since = s, now
	}
	c.status.Error = why
}

// step decides what to do: f is the container, nil where there is none. wait is how long nothing
// happens by itself, if nothing is to be done.
func (c *core) step(now time.Time, f *found) (do action, wait time.Duration) {
	c.unasked, c.asked = "", now
	if f != nil {
		c.status.Engine, c.status.Container = f.engine, f.Name
	}
	switch {
	case f != nil && !c.owns(f):
		return c.foreign(now, f)
	case c.want == nil:
		return c.leave(now, f)
	case f == nil:
		return c.missing(now)
	case f.Running:
		return c.running(now, f)
	case f.Status == "dead" || f.Status == "removing":
		return remove, 0
	}
	return c.ended(now, f)
}

// owns says whether a container is the task's: its labels tell, not its name.
func (c *core) owns(f *found) bool {
	if c.want == nil {
		return f.Labels[mesh.LabelCluster] == c.uid
	}
	for key, value := range c.want.labels {
		if f.Labels[key] != value {
			return false
		}
	}
	return true
}

// foreign is a container of somebody else that has the task's name.
func (c *core) foreign(now time.Time, f *found) (action, time.Duration) {
	if c.want == nil {
		return end, 0
	}
	c.enter(now, mesh.TaskRejected, fmt.Sprintf("The container %s of %s has the task's name, and it is not one of this cluster. Remove or rename it.", f.Name, f.engine))
	c.status.Container = ""
	return nothing, pollRunning
}

// leave drains, stops and removes.
func (c *core) leave(now time.Time, f *found) (action, time.Duration) {
	if f == nil {
		return end, 0
	}
	c.enter(now, mesh.TaskStopping, "")
	switch {
	case f.Running && now.Before(c.until):
		return nothing, min(c.until.Sub(now), pollRunning)
	case f.Running:
		return stop, 0
	}
	return remove, 0
}

// missing has no container.
func (c *core) missing(now time.Time) (action, time.Duration) {
	c.status.Container = ""
	if c.seen && !c.final && (c.run == "" || c.counted != c.run) {
		c.fail(now, "its container was removed", nil)
	}
	c.seen = false
	return c.due(now, create)
}

// due is an action that starts the task, once that may be.
func (c *core) due(now time.Time, do action) (action, time.Duration) {
	switch {
	case c.final:
		return nothing, pollRunning
	case now.Before(c.retry):
		return nothing, min(c.retry.Sub(now), pollRunning)
	case do == create && c.failures == 0:
		c.enter(now, mesh.TaskPreparing, "")
	}
	return do, 0
}

func (c *core) running(now time.Time, f *found) (action, time.Duration) {
	if c.run != f.StartedAt || !c.seen {
		c.run, c.since, c.seen, c.final = f.StartedAt, now, true, false
		if c.status.State == mesh.TaskRejected { // it is not any more
			c.failures = 0
		}
	}
	if now.Sub(c.since) >= ranLong && f.Health != "unhealthy" {
		c.failures, c.attempts, c.cause, c.status.LastLines = 0, 0, "", nil
	}
	switch f.Health {
	case "unhealthy":
		if c.counted != c.run {
			c.counted = c.run
			c.fail(now, "its health check fails"+after(": ", f.HealthOutput), nil)
		}
		return stop, 0
	case "starting":
		c.enter(now, mesh.TaskStarting, "")
		return nothing, pollStarting
	}
	c.enter(now, mesh.TaskRunning, "")
	if f.Health != "" {
		return nothing, pollHealth
	}
	return nothing, pollRunning
}

// ended has a container that does not run: it was never started, or it has ended.
func (c *core) ended(now time.Time, f *found) (action, time.Duration) {
	switch {
	case f.Status == "created" || f.Status == "configured" || f.Status == "initialized":
		return c.due(now, start)
	case c.counted != f.StartedAt: // else this end is known
		saw := c.seen
		c.counted, c.seen = f.StartedAt, true
		c.over(now, f, saw)
	}
	return c.due(now, start)
}

// over is the end of a run. One that this agent did not see, as there is after a reboot of the
// host, is no failure: the task goes on where it was.
func (c *core) over(now time.Time, f *found, saw bool) {
	code, condition := f.ExitCode, c.want.task.Restart.Condition
	switch {
	case code == 0 && (condition == "none" || condition == "on-failure"):
		c.final, c.status.ExitCode = true, &code
		c.enter(now, mesh.TaskComplete, "")
	case saw || condition == "none":
		c.fail(now, how(f), &code)
	}
}

// fail counts a failure, and says when the next start may be.
func (c *core) fail(now time.Time, why string, code *int) {
	if now.Sub(c.since) >= ranLong {
		c.failures, c.attempts = 0, 0
	}
	c.failures++
	c.attempts++
	c.lines, c.status.ExitCode, c.status.Since = true, code, now
	switch policy := c.want.task.Restart; {
	case policy.Condition == "none":
		c.final = true
		why += `, and its restart condition is "none"`
	case policy.MaxAttempts > 0 && c.attempts > policy.MaxAttempts:
		c.final = true
		why += fmt.Sprintf(", and was started again max_attempts = %d times", policy.MaxAttempts)
	default:
		c.retry = now.Add(c.delay())
	}
	c.cause = why
	c.enter(now, mesh.TaskFailed, why)
}

// delay is the wait before the next start: it doubles with each failure in a row.
func (c *core) delay() time.Duration {
	first := defaultDelay
	if s := c.want.task.Restart.DelaySeconds; s != nil {
		first = time.Duration(*s) * time.Second
	}
	if c.failures <= 1 {
		return first
	}
	d := max(first, shortestRetry)
	for i := 1; i < c.failures && d < longestDelay; i++ {
		d *= 2
	}
	return max(first, min(d, longestDelay))
}

// done takes what has come of an action.
func (c *core) done(now time.Time, did action, err error) (wait time.Duration) {
	if err != nil {
		return c.refused(now, did, err)
	}
	if did == start {
		if c.counted != "" || c.failures > 0 {
			c.status.Restarts++
		}
		c.seen, c.since = true, now
		c.run = "" // it is told by the next look
	}
	return 0
}

// refused takes an error of an action: of an engine that cannot be asked, or that refuses.
func (c *core) refused(now time.Time, did action, err error) time.Duration {
	if u, ok := err.(*engine.Unreachable); ok { //nolint:errorlint // it is not wrapped
		return c.cannotAsk(u.Error())
	}
	switch {
	case c.want == nil || did == stop || did == remove:
		c.status.Error = err.Error()
		return retryLeaving
	case did == create && engine.IsTaken(err): // somebody was faster: the next look tells who
		return pollEnded
	}
	c.failures++
	c.retry = now.Add(c.delay())
	c.enter(now, mesh.TaskRejected, err.Error())
	return min(c.delay(), pollRunning)
}

// cannotAsk is that the task's engine does not answer. What was known stays.
func (c *core) cannotAsk(why string) time.Duration {
	c.unasked = why
	return pollUnasked
}

// noEngine is that the node has none for the task.
func (c *core) noEngine(now time.Time, why string) time.Duration {
	c.enter(now, mesh.TaskRejected, why)
	return pollUnasked
}

// report is the status for others.
func (c *core) report() mesh.TaskStatus {
	s := c.status
	s.Error = cmp.Or(c.unasked, s.Error)
	return s
}

// how says how a container has ended.
func how(f *found) string {
	switch {
	case f.OutOfMemory:
		return fmt.Sprintf("it was killed for want of memory (exit code %d)", f.ExitCode)
	case f.Error != "":
		return fmt.Sprintf("it ended with exit code %d: %s", f.ExitCode, f.Error)
	}
	return fmt.Sprintf("it ended with exit code %d", f.ExitCode)
}

func after(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + text
}
