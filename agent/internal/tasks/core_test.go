package tasks

import (
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/engine"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// rig drives a core by a clock of its own.
type rig struct {
	*testing.T
	core core
	now  time.Time
}

func newRig(t *testing.T, policy mesh.TaskRestart) *rig {
	r := &rig{T: t, now: epoch, core: core{name: "c.web.1.r", uid: "u"}}
	r.core.assign(r.want(policy), time.Time{}, r.now)
	return r
}

func (r *rig) want(policy mesh.TaskRestart) *want {
	return &want{endpoint: "1", task: &mesh.Task{Image: "web", Restart: policy}, labels: map[string]string{mesh.LabelCluster: "u", mesh.LabelService: "web"}}
}

// container is the task's, in a state of a run.
func container(status, run string, change ...func(*found)) *found {
	f := &found{"docker", engine.Inspected{
		ID: "0123456789ab", Name: "c.web.1.r", Status: status, Running: status == "running", StartedAt: run, Grace: 10 * time.Second,
		Labels: map[string]string{mesh.LabelCluster: "u", mesh.LabelService: "web"},
	}}
	for _, do := range change {
		do(f)
	}
	return f
}

func code(n int) func(*found)      { return func(f *found) { f.ExitCode = n } }
func health(s string) func(*found) { return func(f *found) { f.Health, f.HealthOutput = s, "503" } }

// is has the core decide, and says what it must.
func (r *rig) is(f *found, do action, state mesh.TaskState) time.Duration {
	r.Helper()
	got, wait := r.core.step(r.now, f)
	if got != do || r.core.status.State != state {
		r.Errorf("after %s: action %d and %s (%s), want %d and %s", r.now.Sub(epoch), got, r.core.status.State, r.core.status.Error, do, state)
	}
	if do == nothing && wait <= 0 {
		r.Errorf("after %s: it waits %s", r.now.Sub(epoch), wait)
	}
	return wait
}

func (r *rig) did(do action)         { r.core.done(r.now, do, nil) }
func (r *rig) later(d time.Duration) { r.now = r.now.Add(d) }
func (r *rig) errorHas(text string) {
	r.Helper()
	if got := r.core.report().Error; !strings.Contains(got, text) {
		r.Errorf("its error is %q, want %q in it", got, text)
	}
}

// up creates and starts the task.
func (r *rig) up(run string) {
	r.Helper()
	r.is(nil, create, mesh.TaskPreparing)
	r.did(create)
	r.is(container("created", ""), start, mesh.TaskPreparing)
	r.did(start)
	r.is(container("running", run), nothing, mesh.TaskRunning)
}

// TestCore_CrashLoop: the wait doubles to five minutes, and begins again after a run that was long enough.
func TestCore_CrashLoop(t *testing.T) {
	r := newRig(t, mesh.TaskRestart{})
	r.up("run 0")
	run := "run 0"
	for _, seconds := range []int{5, 10, 20, 40, 80, 160, 300, 300} {
		want := time.Duration(seconds) * time.Second
		r.is(container("exited", run, code(3)), nothing, mesh.TaskFailed)
		r.errorHas("exit code 3")
		if !r.core.lines {
			t.Error("its last lines are not wanted")
		}
		r.later(want - time.Millisecond)
		r.is(container("exited", run, code(3)), nothing, mesh.TaskFailed)
		r.later(time.Millisecond)
		r.is(container("exited", run, code(3)), start, mesh.TaskFailed)
		r.did(start)
		run += "+"
		r.is(container("running", run), nothing, mesh.TaskRunning)
	}
	if n := r.core.status.Restarts; n != 8 {
		t.Errorf("%d restarts", n)
	}
	if text := (&worker{s: &Supervisor{}, key: key{"web", "1", "r"}, core: r.core}); true {
		if got, _ := text.warning(r.now); !strings.Contains(got, "Task web.1 does not keep running: it ended with exit code 3") {
			t.Errorf("the warning %q", got)
		}
	}
	r.later(ranLong)
	r.is(container("running", run), nothing, mesh.TaskRunning)
	r.is(container("exited", run, code(3)), nothing, mesh.TaskFailed)
	r.later(5 * time.Second)
	r.is(container("exited", run, code(3)), start, mesh.TaskFailed)
}

// TestCore_Policy: what a policy makes of an end that the agent saw, and of one that it did not.
func TestCore_Policy(t *testing.T) {
	zero := 0
	for name, test := range map[string]struct {
		policy mesh.TaskRestart
		code   int
		saw    bool
		do     action
		state  mesh.TaskState
	}{
		"any, 0":                    {mesh.TaskRestart{}, 0, true, nothing, mesh.TaskFailed},
		"any without a wait":        {mesh.TaskRestart{DelaySeconds: &zero}, 0, true, start, mesh.TaskFailed},
		"on-failure, 0":             {mesh.TaskRestart{Condition: "on-failure"}, 0, true, nothing, mesh.TaskComplete},
		"on-failure, 1":             {mesh.TaskRestart{Condition: "on-failure", DelaySeconds: &zero}, 1, true, start, mesh.TaskFailed},
		"none, 0":                   {mesh.TaskRestart{Condition: "none", DelaySeconds: &zero}, 0, true, nothing, mesh.TaskComplete},
		"none, 1":                   {mesh.TaskRestart{Condition: "none", DelaySeconds: &zero}, 1, true, nothing, mesh.TaskFailed},
		"any after a reboot":        {mesh.TaskRestart{}, 255, false, start, mesh.TaskPreparing},
		"on-failure after a reboot": {mesh.TaskRestart{Condition: "on-failure"}, 255, false, start, mesh.TaskPreparing},
		"on-failure, 0, not seen":   {mesh.TaskRestart{Condition: "on-failure"}, 0, false, nothing, mesh.TaskComplete},
		"none, 1, not seen":         {mesh.TaskRestart{Condition: "none"}, 1, false, nothing, mesh.TaskFailed},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, test.policy)
			if test.saw {
				r.up("run")
			}
			r.is(container("exited", "run", code(test.code)), test.do, test.state)
		})
	}
}

func TestCore_MaxAttempts(t *testing.T) {
	zero := 0
	r := newRig(t, mesh.TaskRestart{MaxAttempts: 2, DelaySeconds: &zero})
	r.up("1")
	r.is(container("exited", "1", code(1)), start, mesh.TaskFailed)
	r.did(start)
	r.is(container("running", "2"), nothing, mesh.TaskRunning)
	r.is(container("exited", "2", code(1)), nothing, mesh.TaskFailed)
	r.later(time.Second * 2)
	r.is(container("exited", "2", code(1)), start, mesh.TaskFailed)
	r.did(start)
	r.is(container("exited", "3", code(1)), nothing, mesh.TaskFailed)
	r.errorHas("max_attempts = 2")
	r.later(time.Hour)
	r.is(container("exited", "3", code(1)), nothing, mesh.TaskFailed)
	r.is(nil, nothing, mesh.TaskFailed)
}

// TestCore_Adoption: a restarted agent leaves what runs alone.
func TestCore_Adoption(t *testing.T) {
	r := newRig(t, mesh.TaskRestart{})
	r.is(container("running", "run"), nothing, mesh.TaskRunning)
	r.core.assign(r.want(mesh.TaskRestart{}), time.Time{}, r.now)
	r.is(container("running", "run"), nothing, mesh.TaskRunning)
	if r.core.status.Restarts != 0 || r.core.status.Container != "c.web.1.r" || r.core.status.Engine != "docker" {
		t.Errorf("%+v", r.core.status)
	}
}

func TestCore_Removed(t *testing.T) {
	r := newRig(t, mesh.TaskRestart{})
	r.up("run")
	r.is(nil, nothing, mesh.TaskFailed)
	r.errorHas("was removed")
	r.later(5 * time.Second)
	r.is(nil, create, mesh.TaskFailed)
	r.did(create)
	r.is(container("created", ""), start, mesh.TaskFailed)
	r.did(start)
	r.is(container("running", "next"), nothing, mesh.TaskRunning)
	r.errorHas("")
}

// TestCore_Foreign: what has the name and not the labels is not touched.
func TestCore_Foreign(t *testing.T) {
	r := newRig(t, mesh.TaskRestart{})
	for _, label := range []string{mesh.LabelCluster, mesh.LabelService} {
		other := func(f *found) {
			f.Labels = map[string]string{mesh.LabelCluster: "u", mesh.LabelService: "web", label: "other"}
		}
		r.is(container("exited", "run", other), nothing, mesh.TaskRejected)
		r.errorHas("The container c.web.1.r of docker has the task's name")
	}
	r.core.assign(nil, time.Time{}, r.now)
	r.is(container("running", "run", func(f *found) { f.Labels = nil }), end, mesh.TaskRejected)
}

func TestCore_Drain(t *testing.T) {
	r := newRig(t, mesh.TaskRestart{})
	r.up("run")
	r.core.assign(nil, r.now.Add(time.Minute), r.now)
	if wait := r.is(container("running", "run"), nothing, mesh.TaskStopping); wait > pollRunning {
		t.Errorf("it waits %s", wait)
	}
	r.later(30 * time.Second)
	r.core.assign(nil, r.now.Add(time.Minute), r.now) // a record that does not have it either
	r.later(30 * time.Second)
	r.is(container("running", "run"), stop, mesh.TaskStopping)
	r.did(stop)
	r.is(container("exited", "run"), remove, mesh.TaskStopping)
	r.did(remove)
	r.is(nil, end, mesh.TaskStopping)
}

// TestCore_DrainEnds: one that ends by itself is not waited for, one that comes back goes on, and a
// node that leaves waits for nobody.
func TestCore_DrainEnds(t *testing.T) {
	r := newRig(t, mesh.TaskRestart{})
	r.up("run")
	r.core.assign(nil, r.now.Add(time.Minute), r.now)
	r.is(container("exited", "run"), remove, mesh.TaskStopping)
	r.core.assign(r.want(mesh.TaskRestart{}), time.Time{}, r.now)
	r.is(container("running", "run"), nothing, mesh.TaskRunning)
	r.core.assign(nil, r.now.Add(time.Minute), r.now)
	r.core.assign(nil, time.Time{}, r.now)
	r.is(container("running", "run"), stop, mesh.TaskStopping)
}

func TestCore_Health(t *testing.T) {
	r := newRig(t, mesh.TaskRestart{})
	r.is(nil, create, mesh.TaskPreparing)
	r.did(create)
	r.is(container("created", ""), start, mesh.TaskPreparing)
	r.did(start)
	r.is(container("running", "run", health("starting")), nothing, mesh.TaskStarting)
	r.is(container("running", "run", health("healthy")), nothing, mesh.TaskRunning)
	r.is(container("running", "run", health("unhealthy")), stop, mesh.TaskFailed)
	r.errorHas("its health check fails: 503")
	r.is(container("running", "run", health("unhealthy")), stop, mesh.TaskFailed) // an engine that did not
	r.did(stop)
	r.is(container("exited", "run", code(137)), nothing, mesh.TaskFailed)
	r.errorHas("its health check fails")
	r.later(5 * time.Second)
	r.is(container("exited", "run", code(137)), start, mesh.TaskFailed)
	if r.core.failures != 1 {
		t.Errorf("%d failures, want one", r.core.failures)
	}
}

func TestCore_Refusals(t *testing.T) {
	r := newRig(t, mesh.TaskRestart{})
	r.is(nil, create, mesh.TaskPreparing)
	r.core.done(r.now, create, &engine.Refused{Status: 404})
	r.is(nil, nothing, mesh.TaskRejected)
	r.later(5 * time.Second)
	r.is(nil, create, mesh.TaskRejected)
	r.core.done(r.now, create, &engine.Refused{Status: 500})
	r.later(10 * time.Second)
	r.is(nil, create, mesh.TaskRejected)
	if wait := r.core.done(r.now, create, &engine.Refused{Status: 409}); wait != pollEnded || r.core.failures != 2 {
		t.Errorf("a name that is taken: %s, %d failures", wait, r.core.failures)
	}
	r.is(container("created", ""), start, mesh.TaskRejected)
	r.did(start)
	r.is(container("running", "run"), nothing, mesh.TaskRunning)
	if r.core.failures != 0 {
		t.Errorf("%d failures after it was rejected", r.core.failures)
	}
}

// TestCore_EngineDown: what was known stays, and is told with why nobody knows more.
func TestCore_EngineDown(t *testing.T) {
	r := newRig(t, mesh.TaskRestart{})
	r.up("run")
	r.core.cannotAsk("docker is away")
	if s := r.core.report(); s.State != mesh.TaskRunning || s.Error != "docker is away" {
		t.Errorf("%+v", s)
	}
	w := &worker{s: &Supervisor{}, key: key{"web", "1", "r"}, core: r.core}
	if text, why := w.warning(r.now.Add(unaskedFor)); text != "" || why != "docker is away" {
		t.Errorf("warns %q, %q", text, why)
	}
	r.is(container("running", "run"), nothing, mesh.TaskRunning)
	r.errorHas("")
	if r.core.report().Error != "" {
		t.Errorf("%+v", r.core.report())
	}
}
