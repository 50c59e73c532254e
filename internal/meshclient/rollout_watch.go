package meshclient

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
)

const (
	// taskPoll is from one look at the tasks to the next.
	taskPoll = 250 * time.Millisecond
	// taskPatience is how long a task may stay in one state on its way, as one that is not
	// healthy yet. How long an image may be pulled is for the caller's deadline to say.
	taskPatience = 5 * time.Minute
	// silentPatience is how long a node that is to start a task may not answer.
	silentPatience = 30 * time.Second
	// maxCrashes is how often a task may fail that nothing has run before: it may depend on
	// another one that is only starting.
	maxCrashes = 3
)

// taskWatch is one task that is waited for.
type taskWatch struct {
	watched
	task string
	// existed says that it was in the record before. settled says that it has run before, too:
	// to run is enough, and a node that cannot be asked is passed over.
	existed, settled bool
	// crashes is how many failures are too many.
	crashes int
	monitor time.Duration
	once    bool // that it ends well is fine

	looked   bool
	restarts int // at the first look
	state    mesh.TaskState
	run      string    // which run of it has been seen to run
	since    time.Time // it is in its state
	heard    time.Time // from its node, last
	why      string
}

// watch waits until every task of the service's revision runs, and returns what does not.
func (o *rollout) watch(ctx context.Context, s *mesh.Service, before map[string]mesh.Endpoint) []TaskFailure {
	waiting := o.watches(s, before)
	var failed []TaskFailure
	for len(waiting) > 0 {
		said := o.askTasks(ctx, waiting)
		if ctx.Err() != nil { // which is no answer of the nodes
			return append(failed, timeOver(s, waiting)...)
		}
		now := time.Now()
		waiting = slices.DeleteFunc(waiting, func(w *taskWatch) bool {
			good, failure := w.judge(said[w.node], s, now)
			if failure != nil {
				failed = append(failed, *failure)
			}
			o.good[w.watched] = good
			return good || failure != nil
		})
		if len(waiting) == 0 || len(failed) > 0 && o.updating {
			break
		}
		o.tellWaiting(ctx, s, waiting)
		select {
		case <-time.After(taskPoll):
		case <-ctx.Done():
		}
	}
	return failed
}

// timeOver says of each task that it does not run yet.
func timeOver(s *mesh.Service, waiting []*taskWatch) (failed []TaskFailure) {
	for _, w := range waiting {
		failed = append(failed, *w.failure(s, nil, "does not run yet: "+w.standing()))
	}
	return failed
}

// watches lists the tasks to wait for.
func (o *rollout) watches(s *mesh.Service, before map[string]mesh.Endpoint) []*taskWatch {
	var all []*taskWatch
	revision, now := s.Task.Revision(), time.Now()
	for _, key := range slices.Sorted(maps.Keys(s.Endpoints)) {
		e := s.Endpoints[key]
		if e.Revision != revision || o.good[watchedOf(key, e)] {
			continue
		}
		was, existed := before[key]
		w := &taskWatch{
			watched: watchedOf(key, e), task: e.Task, existed: existed && watchedOf(key, was) == watchedOf(key, e), crashes: maxCrashes, monitor: s.Monitor(),
			once: s.Task.Restart.Condition != "", since: now, heard: now,
		}
		w.settled = w.existed && !o.updating
		switch restart := s.Task.Restart; {
		case w.existed || o.updating || restart.Condition == mesh.RestartNone:
			w.crashes = 1
		case restart.MaxAttempts > 0:
			w.crashes = min(w.crashes, restart.MaxAttempts)
		}
		all = append(all, w)
	}
	return all
}

// saidTasks is what a node has said of its tasks.
type saidTasks struct {
	tasks []mesh.TaskStatus
	err   error
}

func (o *rollout) askTasks(ctx context.Context, waiting []*taskWatch) map[string]saidTasks {
	var mu sync.Mutex
	said := map[string]saidTasks{}
	var members []*member
	for _, w := range waiting {
		n := o.last().Nodes[w.node]
		if n == nil || slices.ContainsFunc(members, func(m *member) bool { return m.node == w.node }) {
			continue
		}
		if ep, err := o.nodeEndpoint(n); err == nil {
			members = append(members, &member{ep: ep, node: w.node})
		} else {
			said[w.node] = saidTasks{err: err}
		}
	}
	each(members, func(_ int, m *member) {
		got, err := o.agents.Tasks(ctx, m.ep)
		mu.Lock()
		defer mu.Unlock()
		said[m.node] = saidTasks{got.Tasks, err}
	})
	return said
}

// judge takes in what the node has said: the task is good, or has failed, or neither yet.
func (w *taskWatch) judge(said saidTasks, s *mesh.Service, now time.Time) (good bool, failed *TaskFailure) {
	if said.err != nil {
		w.why = "its node cannot be asked: it " + silence(said.err)
		if agentapi.IsRefusal(said.err) {
			w.why = "its node says: " + said.err.Error()
		}
		if w.settled {
			return true, nil
		}
		if now.Sub(w.heard) > silentPatience {
			return false, w.failure(s, nil, "is not known to run, for "+w.why)
		}
		return false, nil
	}
	w.heard, w.why = now, ""
	at := slices.IndexFunc(said.tasks, func(t mesh.TaskStatus) bool {
		return t.Service == s.Name && t.Task == w.task && t.Revision == w.revision
	})
	if at < 0 {
		return false, w.tooLong(s, &mesh.TaskStatus{State: "pending"}, now)
	}
	return w.judgeTask(&said.tasks[at], s, now)
}

func (w *taskWatch) judgeTask(t *mesh.TaskStatus, s *mesh.Service, now time.Time) (good bool, failed *TaskFailure) {
	if !w.looked {
		w.looked, w.restarts = true, t.Restarts
		if !w.existed {
			w.restarts = 0
		}
	}
	crashes := t.Restarts - w.restarts
	if t.State == mesh.TaskFailed && (w.state == mesh.TaskRunning || !w.existed) {
		crashes++ // it has not been started again yet
	}
	run := fmt.Sprint(t.Container, " ", t.Restarts)
	if t.State != w.state || t.State == mesh.TaskRunning && run != w.run {
		w.state, w.run, w.since = t.State, run, now
	}
	w.why = t.Error
	switch t.State {
	case mesh.TaskRunning:
		if crashes >= w.crashes {
			return false, w.failure(s, t, "has failed, and was started again")
		}
		return w.settled || now.Sub(w.since) >= w.monitor, nil
	case mesh.TaskComplete:
		if w.once && (t.ExitCode == nil || *t.ExitCode == 0) {
			return true, nil
		}
		return false, w.failure(s, t, "has ended, and is not started again")
	case mesh.TaskRejected:
		return false, w.failure(s, t, "cannot be started")
	case mesh.TaskFailed:
		if crashes >= w.crashes {
			return false, w.failure(s, t, "fails")
		}
	}
	return false, w.tooLong(s, t, now)
}

// tooLong is a failure where the task has been on its way for too long.
func (w *taskWatch) tooLong(s *mesh.Service, t *mesh.TaskStatus, now time.Time) *TaskFailure {
	if t.State != w.state {
		w.state, w.since = t.State, now
	}
	if t.State == mesh.TaskPreparing || now.Sub(w.since) < taskPatience {
		return nil
	}
	return w.failure(s, t, fmt.Sprintf("has been %s for %s", t.State, taskPatience))
}

// failure puts into words what the task's status says.
func (w *taskWatch) failure(s *mesh.Service, t *mesh.TaskStatus, what string) *TaskFailure {
	f := &TaskFailure{Service: s.Name, Task: w.task, Node: w.node, Why: what, watched: w.watched}
	if t == nil {
		return f
	}
	if t.Error != "" {
		f.Why += ": " + strings.TrimSuffix(prose.Clean(t.Error), ".")
	}
	f.ExitCode, f.Lines = t.ExitCode, t.LastLines
	return f
}

// standing is the state in a few words.
func (w *taskWatch) standing() string {
	text := string(cmp.Or(w.state, "pending"))
	if w.why != "" {
		text += ", " + strings.TrimSuffix(prose.Clean(w.why), ".")
	}
	return text
}

// awaitEnd waits until the containers of the tasks that were stopped have ended, as the order
// stop-first promises: they drain, and have their grace.
func (o *rollout) awaitEnd(ctx context.Context, s *mesh.Service) error {
	var stopping []*taskWatch
	began := time.Now()
	for task, node := range s.Stopping {
		stopping = append(stopping, &taskWatch{watched: watched{task, node, ""}, task: task, heard: began})
	}
	for {
		said, now := o.askTasks(ctx, stopping), time.Now()
		if ctx.Err() != nil {
			done, of := s.Updated()
			return &TasksError{Service: s.Name, Done: done, Of: of, Updating: true, Err: context.Cause(ctx)}
		}
		var failed []TaskFailure
		stopping = slices.DeleteFunc(stopping, func(w *taskWatch) bool {
			if err := said[w.node].err; err != nil {
				w.why = "its node cannot be asked: it " + silence(err)
				if now.Sub(w.heard) > silentPatience {
					failed = append(failed, *w.failure(s, nil, "is not known to have ended, for "+w.why))
				}
				return false
			}
			w.heard, w.why = now, ""
			return !slices.ContainsFunc(said[w.node].tasks, func(t mesh.TaskStatus) bool { return t.Service == s.Name && t.Task == w.task })
		})
		if len(stopping) == 0 {
			return nil
		}
		w := stopping[0]
		if w.state = mesh.TaskStopping; now.Sub(began) > s.Drain()+taskPatience && len(failed) == 0 {
			failed = append(failed, *w.failure(s, nil, "does not end"))
		}
		done, of := s.Updated()
		if len(failed) > 0 {
			return &TasksError{Service: s.Name, Failed: failed, Done: done, Of: of, Updating: true, Back: o.back}
		}
		o.tell(ctx, "%s: %d of %d updated, waiting for %s.%s on %s to end (%s)", s.Name, done, of, s.Name, w.task, w.node, w.standing())
		select {
		case <-time.After(taskPoll):
		case <-ctx.Done():
		}
	}
}

// tellWaiting logs what is waited for.
func (o *rollout) tellWaiting(ctx context.Context, s *mesh.Service, waiting []*taskWatch) {
	w := waiting[0]
	verb, wait := "running", ""
	done, of := len(s.Endpoints)-len(waiting), len(s.Endpoints)
	if s.Previous != nil {
		verb = "updated"
		done, of = s.Updated()
	}
	if w.state == mesh.TaskRunning {
		wait = w.monitor.String() + " "
	}
	others := ""
	if len(waiting) > 1 {
		others = fmt.Sprintf(" and %d more", len(waiting)-1)
	}
	o.tell(ctx, "%s: %d of %d %s, waiting %sfor %s.%s on %s (%s)%s", s.Name, done, of, verb, wait, s.Name, w.task, w.node, w.standing(), others)
}
