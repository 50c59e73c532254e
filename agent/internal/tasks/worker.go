package tasks

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/engine"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/plain"
)

// Limits of the last lines that a status has.
const (
	lastLines = 10
	lastBytes = 2 << 10
)

// worker looks after one container.
type worker struct {
	s    *Supervisor
	name string
	wake chan struct{} // a value: the record has changed

	mu   sync.Mutex
	key  key
	core core
	quit func() // ends a pull that is under way
	held string // ID of the container that is not to get connections, "" for none
}

// newWorker is called with the mu of s held.
func newWorker(s *Supervisor, name string, k key) *worker {
	w := &worker{s: s, name: name, key: k, wake: make(chan struct{}, 1), quit: func() {}}
	w.core = core{name: name, uid: s.rec.UID}
	w.core.enter(s.now(), mesh.TaskStopping, "")
	return w
}

// assign says what the record wants of the task.
func (w *worker) assign(want *want, until, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.core.assign(want, until, now)
	if want == nil {
		w.quit()
	}
	signal(w.wake)
}

func (w *worker) report() mesh.TaskStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.core.report()
	s.Service, s.Task, s.Revision = w.key.service, w.key.task, w.key.revision
	s.LastLines = slices.Clone(s.LastLines)
	return s
}

// run looks after the container until ctx ends, or it has gone.
func (w *worker) run(ctx context.Context) {
	var ended <-chan struct{}
	var of string // the run whose end is watched
	for ctx.Err() == nil {
		c, f, wait := w.look(ctx)
		if f != nil && f.Running && f.PID != 0 && of != f.StartedAt {
			ended, of = w.s.ends(f.PID), f.StartedAt
		}
		if wait == 0 {
			var gone bool
			if wait, gone = w.act(ctx, c, f); gone {
				return
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-w.wake:
		case <-ended:
			ended = nil
		case <-timer.C:
		}
		timer.Stop()
	}
}

// look finds the task's container, and the engine that has it or is to have it. wait is how
// long to wait where an engine cannot be asked, or there is none.
func (w *worker) look(ctx context.Context) (c *engine.Control, f *found, wait time.Duration) {
	wants := w.engine()
	var where []*engine.Control
	for _, c := range w.s.engines() {
		if wants == "" || c.Name() == wants {
			where = append(where, c)
		}
	}
	var unasked error
	for _, c := range where {
		i, err := c.Inspect(ctx, w.name)
		switch {
		case err == nil && i.Name == w.name: // else an ID begins with the name
			return c, &found{c.Name(), i}, 0
		case err != nil && !engine.IsMissing(err):
			unasked = err
		}
	}
	if unasked != nil { // the container may be there: nobody makes another one
		return nil, nil, w.with(func(core *core, _ time.Time) time.Duration { return core.cannotAsk(unasked.Error()) })
	}
	if len(where) == 0 {
		return nil, nil, w.with(func(core *core, now time.Time) time.Duration { return core.noEngine(now, lacks(wants)) })
	}
	return where[0], nil, 0
}

// engine is the one that the task is for, or that has its container; "" is any.
func (w *worker) engine() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.core.want == nil {
		return w.core.status.Engine
	}
	return w.core.want.task.Engine
}

// lacks says that the node has no engine.
func lacks(name string) string {
	switch name {
	case engine.Docker:
		return "This node has no Docker: /run/docker.sock is missing. Install it and run `systemctl enable --now docker.socket`."
	case engine.Podman:
		return "This node has no Podman that can be asked: /run/podman/podman.sock is missing. Run `systemctl enable --now podman.socket`."
	}
	return "This node has neither Docker's socket nor Podman's. Install one of them; for Podman, run `systemctl enable --now podman.socket`."
}

// with changes the state machine.
func (w *worker) with(do func(*core, time.Time) time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return do(&w.core, w.s.now())
}

// act has the state machine decide, and does it.
func (w *worker) act(ctx context.Context, c *engine.Control, f *found) (wait time.Duration, gone bool) {
	var do action
	var wanted *want
	var last bool
	wait = w.with(func(core *core, now time.Time) (wait time.Duration) {
		do, wait = core.step(now, f)
		wanted = core.want
		last, core.lines = core.lines && f != nil, false
		return wait
	})
	w.hold(do, f)
	if last {
		w.keepLines(ctx, c, f)
	}
	var err error
	switch do {
	case nothing:
		return wait, false
	case end:
		return pollEnded, w.s.left(w)
	case create:
		err = w.create(ctx, c, wanted)
	case start:
		w.s.Log.Info(fmt.Sprintf("task %s: starting the container %s of %s", w.label(), w.name, c.Name()))
		err = c.Start(ctx, f.ID)
	case stop:
		w.s.Log.Info(fmt.Sprintf("task %s: stopping the container %s of %s", w.label(), w.name, c.Name()))
		err = c.Stop(ctx, f.ID, f.Grace)
	case remove:
		err = c.Remove(ctx, f.ID)
	}
	if ctx.Err() != nil {
		return 0, false
	}
	if err != nil {
		w.s.Log.Warn(fmt.Sprintf("task %s: the container %s of %s: %v", w.label(), w.name, c.Name(), err))
	}
	return w.with(func(core *core, now time.Time) time.Duration { return core.done(now, do, err) }), false
}

// create pulls the image if the engine does not have it, and makes the container.
func (w *worker) create(ctx context.Context, c *engine.Control, wanted *want) error {
	task := wanted.task
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	w.mu.Lock()
	w.quit = quit
	w.mu.Unlock()
	has, err := c.HasImage(ctx, task.Image)
	if err == nil && !has {
		w.s.Log.Info(fmt.Sprintf("task %s: %s pulls the image %s", w.label(), c.Name(), task.Image))
		err = c.Pull(ctx, w.s.Root, task.Image)
	}
	if err != nil {
		return err
	}
	if !w.wanted(task) { // the record may have changed while the image was pulled
		return nil
	}
	return c.Create(ctx, w.name, task, wanted.labels, wanted.dns)
}

func (w *worker) wanted(task *mesh.Task) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.core.want != nil && w.core.want.task == task
}

// keepLines keeps what the container wrote last.
func (w *worker) keepLines(ctx context.Context, c *engine.Control, f *found) {
	text, err := c.Logs(ctx, f.ID, lastLines, lastBytes)
	if err != nil {
		return // its log driver may not be one that can be read
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.core.status.LastLines = linesOf(string(text))
}

// linesOf is text that a container wrote, fit to be shown.
func linesOf(text string) []string {
	text = strings.Trim(plain.Text(text), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-lastLines):]
}

// label names the task as a user does: web.1.
func (w *worker) label() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.key.service + "." + w.key.task
}

// hold keeps a container from getting connections from its start to the first success of its
// health check, and while that fails.
func (w *worker) hold(do action, f *found) {
	w.mu.Lock()
	was := w.held
	w.held = ""
	if f != nil && (do == start || f.Running && f.Health != "" && f.Health != "healthy") {
		w.held = f.ID
	}
	is := w.held
	w.mu.Unlock()
	if was != is && w.s.Held != nil {
		w.s.Held()
	}
}

// Holds says whether a container is not to get connections yet.
func (s *Supervisor) Holds(id string) bool {
	for _, w := range s.all() {
		w.mu.Lock()
		held := w.held
		w.mu.Unlock()
		if held != "" && held == id {
			return true
		}
	}
	return false
}

// Logs returns the last lines of a task's container: of several that of the record.
func (s *Supervisor) Logs(ctx context.Context, service, task string, lines int) ([]byte, error) {
	all := slices.DeleteFunc(s.Statuses(), func(t mesh.TaskStatus) bool { return t.Service != service || t.Task != task })
	if len(all) == 0 {
		return nil, fmt.Errorf("this node has no task %s.%s", service, task)
	}
	slices.SortStableFunc(all, func(a, b mesh.TaskStatus) int {
		return cmp.Or(strings.Compare(b.Endpoint, a.Endpoint), b.Since.Compare(a.Since))
	})
	chosen := all[0]
	for _, c := range s.engines() {
		if c.Name() == chosen.Engine && chosen.Container != "" {
			return c.Logs(ctx, chosen.Container, lines, maxLogs)
		}
	}
	return nil, fmt.Errorf("the task %s.%s has no container on this node yet", service, task)
}

// maxLogs is how much of a log is answered.
const maxLogs = 4 << 20

func compareStatus(a, b mesh.TaskStatus) int {
	return cmp.Or(strings.Compare(a.Service, b.Service), compareTask(a.Task, b.Task), strings.Compare(a.Revision, b.Revision))
}

// compareTask has 2 before 10.
func compareTask(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
