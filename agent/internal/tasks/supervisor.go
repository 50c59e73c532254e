// Package tasks runs the tasks of this node: for each a container, which it creates, starts, starts
// again when it ends, and removes once the record has no such task any more.
//
// Each task has a goroutine of its own, so that a call which an engine does not answer keeps no
// other task waiting. What a task does next is decided by a state machine without clock or engine
// (core). The truth is what the engine says of the container with the task's name; so a restarted
// agent goes on with what runs. The name is a lock, too: an engine has it once.
//
// Only containers with the label of the record's UID are touched.
package tasks

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/engine"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// sweepEvery is how often containers are searched for that no task is.
const sweepEvery = 20 * time.Second

// lag is for how much longer a task that goes runs than its connections may last: another node may
// have applied the record a little later.
const lag = 3 * time.Second

// Options are what a Supervisor works with.
type Options struct {
	// Root is a prefix of /run, /proc and root's home, for tests: "" is "/".
	Root string
	Log  *slog.Logger
	// Marker is a file that is there while containers of tasks may be: without it no engine is asked.
	Marker string
	// Held is called when Holds may say something else. It may be nil.
	Held func()
}

// Supervisor runs the tasks of the node.
type Supervisor struct {
	Options
	now     func() time.Time
	engines func() []*engine.Control
	ends    func(pid int) <-chan struct{}
	changed chan struct{} // a value: Keep was called

	mu      sync.Mutex
	rec     *mesh.Record
	node    string
	workers map[string]*worker // by the container's name
	run     func(*worker)      // starts a worker; nil before Run
	marked  bool               // the marker is there
	clean   map[string]bool    // sockets of engines that have no container of the cluster
}

// New returns a Supervisor that has no record yet, and runs nothing.
func New(o Options) *Supervisor {
	s := &Supervisor{Options: o, now: time.Now, changed: make(chan struct{}, 1), workers: map[string]*worker{}, clean: map[string]bool{}}
	_, err := os.Lstat(o.Marker)
	s.marked = err == nil
	s.engines = s.sockets()
	s.ends = endOf
	return s
}

// sockets returns the engines whose sockets exist. An engine's Control stays the same while it does.
func (s *Supervisor) sockets() func() []*engine.Control {
	var mu sync.Mutex
	known := map[string]*engine.Control{}
	return func() []*engine.Control {
		mu.Lock()
		defer mu.Unlock()
		all := engine.Controls(s.Root)
		for i, c := range all {
			if old := known[c.Socket()]; old != nil {
				all[i] = old
			}
			known[c.Socket()] = all[i]
		}
		return all
	}
}

// Keep says of which record, and as which node, the tasks are to run. A host that is no node of
// it runs none. Without a record nothing is touched: one that is lost must not take the tasks with it.
func (s *Supervisor) Keep(rec *mesh.Record, node string) {
	if rec == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before, now := s.rec, s.now()
	s.rec, s.node = rec, node
	wants := wantsOf(rec, node)
	clear(s.clean)
	s.mark(len(wants) > 0)
	for name, w := range s.workers {
		if wants[name] == nil {
			w.assign(nil, s.until(before, w, now), now)
		}
	}
	for name, want := range wants {
		s.worker(name, keyOf(want.labels)).assign(want, time.Time{}, now)
	}
	signal(s.changed)
}

// until is how long a task that the record does not have any more may drain.
func (s *Supervisor) until(before *mesh.Record, w *worker, now time.Time) time.Time {
	if before == nil || s.rec.Nodes[s.node] == nil {
		return time.Time{}
	}
	if service := before.Services[w.key.service]; service != nil {
		return now.Add(service.Drain() + lag)
	}
	return time.Time{}
}

// worker returns the one of a container's name, a new one if there is none. It is called with mu held.
func (s *Supervisor) worker(name string, k key) *worker {
	w := s.workers[name]
	if w == nil {
		w = newWorker(s, name, k)
		s.workers[name] = w
		if s.run != nil {
			s.run(w)
		}
	}
	return w
}

// key is what a container's labels say it is.
type key struct{ service, task, revision string }

func keyOf(labels map[string]string) key {
	return key{labels[mesh.LabelService], labels[mesh.LabelTask], labels[mesh.LabelRevision]}
}

// wantsOf are the tasks of the node, by the names of their containers.
func wantsOf(rec *mesh.Record, node string) map[string]*want {
	wants := map[string]*want{}
	if rec.Nodes[node] == nil {
		return wants
	}
	for name, service := range rec.Services {
		for endpoint, e := range service.Endpoints {
			if task := service.TaskOf(e); task != nil && e.Node == node {
				wants[ContainerName(rec.Cluster.Name, name, e.Task, e.Revision)] = newWant(rec, name, endpoint)
			}
		}
	}
	return wants
}

// newWant is a task of the service.
func newWant(rec *mesh.Record, service, endpoint string) *want {
	s := rec.Services[service]
	e := s.Endpoints[endpoint]
	w := &want{endpoint: endpoint, task: s.TaskOf(e), labels: rec.TaskLabels(service, e.Task, e.Revision)}
	if w.task.Names {
		w.dns = rec.Resolver()
	}
	return w
}

// ContainerName is that of a task's container.
func ContainerName(cluster, service, task, revision string) string {
	return cluster + "." + service + "." + task + "." + revision
}

// Run runs the tasks until ctx ends. The containers run on.
func (s *Supervisor) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	s.mu.Lock()
	s.run = func(w *worker) { running.Go(func() { w.run(ctx) }) }
	for _, w := range s.workers {
		s.run(w)
	}
	s.mu.Unlock()
	timer := time.NewTicker(sweepEvery)
	defer timer.Stop()
	sweeps := sweeper{s: s, busy: map[string]bool{}}
	for {
		sweeps.all(ctx, &running)
		select {
		case <-ctx.Done():
			s.mu.Lock()
			s.run = func(*worker) {}
			s.mu.Unlock()
			return
		case <-s.changed:
		case <-timer.C:
		}
	}
}

// sweeper finds the cluster's containers that no task is.
type sweeper struct {
	s    *Supervisor
	mu   sync.Mutex
	busy map[string]bool // an engine's socket: it is being asked
}

// all asks each engine that is not still being asked.
func (sw *sweeper) all(ctx context.Context, running *sync.WaitGroup) {
	s := sw.s
	engines := s.engines()
	rec := s.sweeps(engines)
	if rec == nil {
		return
	}
	for _, c := range engines {
		if !sw.take(c.Socket()) {
			continue
		}
		running.Go(func() {
			defer sw.give(c.Socket())
			if listed, err := c.List(ctx, mesh.LabelCluster, rec.UID); err == nil {
				s.adopt(rec, c, listed)
			}
		})
	}
}

func (sw *sweeper) take(socket string) bool {
	sw.mu.Lock()
	defer sw.mu.Unlock()
	busy := sw.busy[socket]
	sw.busy[socket] = true
	return !busy
}

func (sw *sweeper) give(socket string) {
	sw.mu.Lock()
	defer sw.mu.Unlock()
	sw.busy[socket] = false
}

// sweeps returns the record whose containers are to be searched for, nil if there is nothing to
// search: no engine is woken for a cluster without tasks.
func (s *Supervisor) sweeps(engines []*engine.Control) *mesh.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rec == nil || !s.marked {
		return nil
	}
	unclean := slices.ContainsFunc(engines, func(c *engine.Control) bool { return !s.clean[c.Socket()] })
	if len(s.workers) > 0 || unclean || len(engines) == 0 {
		return s.rec
	}
	if err := os.Remove(s.Marker); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.Log.Warn("cannot note that no tasks are left", "error", err)
	}
	s.marked = false
	return nil
}

// mark notes that there may be containers, before the first is made. It is called with mu held.
func (s *Supervisor) mark(wanted bool) {
	if !wanted || s.marked {
		return
	}
	s.marked = true
	if err := os.WriteFile(s.Marker, nil, 0o600); err != nil {
		s.Log.Warn("cannot note that tasks run here: what a crash leaves of them may stay", "error", err)
	}
}

// adopt gives each container of the cluster that an engine has somebody who looks after it.
func (s *Supervisor) adopt(rec *mesh.Record, from *engine.Control, listed []engine.Listed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rec != rec { // another sweep follows
		return
	}
	s.clean[from.Socket()] = len(listed) == 0
	for _, c := range listed {
		s.worker(c.Name, keyOf(c.Labels))
	}
}

// left is the end of a worker, unless its task has come back.
func (s *Supervisor) left(w *worker) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.core.want != nil {
		return false
	}
	delete(s.workers, w.name)
	return true
}

// Statuses are the tasks of this node, by service, task and revision.
func (s *Supervisor) Statuses() []mesh.TaskStatus {
	all := []mesh.TaskStatus{}
	for _, w := range s.all() {
		all = append(all, w.report())
	}
	slices.SortFunc(all, compareStatus)
	return all
}

// Tasks answers mesh.PathTasks.
func (s *Supervisor) Tasks() mesh.Tasks {
	s.mu.Lock()
	node := s.node
	s.mu.Unlock()
	return mesh.Tasks{Node: node, Tasks: s.Statuses()}
}

func (s *Supervisor) all() []*worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.workers))
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
