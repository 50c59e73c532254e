package mesh

import (
	"maps"
	"slices"
)

// An update of a service's task is a row of commits, and the record alone says what is left
// of it: Task is what is wanted, Previous what was, and each endpoint has its revision. So
// whoever comes next goes on with it, after a cut at any commit.

// UpdateStep is the next commit of an update.
type UpdateStep struct {
	// Empty are tasks that are stopped, to be started again on the same node when they have
	// ended: the order stop-first (Service.Stopping).
	Empty []string
	// Start are the tasks of which the new revision is started: beside the old one, or after it.
	Start []string
	// Stop are the tasks whose new revision is good, and whose old one goes.
	Stop []string
	// Finish says that nothing runs the old revision any more after the commit.
	Finish bool
}

// NextStep is what comes after the tasks of the new revision, as far as there are any, have
// been found good; nil without an update.
func (s *Service) NextStep() *UpdateStep {
	if s.Task == nil || s.Previous == nil {
		return nil
	}
	step, old, updated := &UpdateStep{}, s.tasksOf(s.Previous.Revision()), s.tasksOf(s.Task.Revision())
	var left []string
	for _, task := range old {
		if slices.Contains(updated, task) {
			step.Stop = append(step.Stop, task)
		} else {
			left = append(left, task)
		}
	}
	batch := left[:min(len(left), s.policy().Parallelism)]
	switch {
	case len(step.Stop) > 0:
		step.Finish = len(left) == 0 && len(s.Stopping) == 0
	case len(s.Stopping) > 0:
		step.Start = slices.SortedFunc(maps.Keys(s.Stopping), compareTasks)
	case len(left) > 0 && s.policy().Order == StopFirst:
		step.Empty = batch
	case len(left) > 0:
		step.Start = batch
	default:
		step.Finish = true
	}
	return step
}

// Updated says how many tasks there are, and how many of them the update has done with.
func (s *Service) Updated() (done, of int) {
	tasks := map[string]bool{}
	for _, e := range s.Endpoints {
		tasks[e.Task] = true
	}
	of = len(tasks) + len(s.Stopping)
	if s.Previous == nil {
		return of, of
	}
	return len(tasks) - len(s.tasksOf(s.Previous.Revision())), of
}

// tasksOf are the tasks that have an endpoint of the revision, in order.
func (s *Service) tasksOf(revision string) []string {
	var tasks []string
	for _, e := range s.Endpoints {
		if e.Revision == revision {
			tasks = append(tasks, e.Task)
		}
	}
	slices.SortFunc(tasks, compareTasks)
	return tasks
}

// TakeStep makes a step of the service's update to the revision. It may be taken twice. ok is
// false where the service wants another revision by now.
func (r *Record) TakeStep(service, revision string, step *UpdateStep) (ok bool, err error) {
	old := r.Services[service]
	if old == nil || old.Task == nil || old.Task.Revision() != revision {
		return false, nil
	}
	if old.Previous == nil {
		return true, nil
	}
	put := old.clone()
	previous := put.Previous.Revision()
	for _, task := range step.Stop {
		if slices.Contains(put.tasksOf(revision), task) {
			put.dropTask(task, previous)
		}
	}
	for _, task := range step.Empty {
		put.empty(task, previous)
	}
	for _, task := range step.Start {
		r.startNew(put, task, revision)
	}
	if step.Finish && len(put.Stopping) == 0 && len(put.tasksOf(previous)) == 0 {
		put.Previous = nil
	}
	if err := r.allocateSlots(put); err != nil {
		return true, err
	}
	r.Services[service] = put
	return true, nil
}

// startNew starts the task's new revision where its old one runs.
func (r *Record) startNew(s *Service, task, revision string) {
	used := map[string]bool{}
	for key := range s.Endpoints {
		used[key] = true
	}
	if slices.Contains(s.tasksOf(revision), task) {
		return
	}
	node := s.Stopping[task]
	for _, e := range s.Endpoints {
		if e.Task == task {
			node = e.Node
		}
	}
	delete(s.Stopping, task)
	if len(s.Stopping) == 0 {
		s.Stopping = nil
	}
	if node != "" {
		s.Endpoints[newTaskKey(used, task, revision)] = r.taskEndpoint(s.Name, node, task, revision)
	}
}

// empty stops what the task runs of the revision, and remembers where.
func (s *Service) empty(task, revision string) {
	for key, e := range s.Endpoints {
		if e.Task == task && e.Revision == revision {
			if s.Stopping == nil {
				s.Stopping = map[string]string{}
			}
			s.Stopping[task] = e.Node
			delete(s.Endpoints, key)
		}
	}
}

func (s *Service) dropTask(task, revision string) {
	maps.DeleteFunc(s.Endpoints, func(_ string, e Endpoint) bool { return e.Task == task && e.Revision == revision })
}

// succeed makes s, which is to replace old, go on from what old runs: it says what the task
// before is, and returns the endpoints to go on with.
func (r *Record) succeed(s, old *Service) map[string]Endpoint {
	s.Previous, s.Stopping = nil, nil
	if old == nil || old.Task == nil {
		return nil
	}
	from := old.clone()
	s.Stopping = from.Stopping
	wanted, current := s.Task.Revision(), old.Task.Revision()
	previous := ""
	if old.Previous != nil {
		previous = old.Previous.Revision()
	}
	switch {
	case wanted == current:
		s.Previous = old.Previous
		return from.Endpoints
	case previous == "" || len(from.tasksOf(previous)) == 0:
		s.Previous = old.Task
		return from.Endpoints
	}
	// An update is left in its midst. Of a task that is there twice the old one stays.
	for _, task := range from.tasksOf(previous) {
		from.dropTask(task, current)
	}
	if wanted == previous { // back
		s.Previous = old.Task
		return from.Endpoints
	}
	// On to a third one: what the update has replaced already is replaced again, at once.
	s.Previous = old.Previous
	for _, task := range from.tasksOf(current) {
		if s.policy().Order == StopFirst {
			from.empty(task, current)
			s.Stopping = from.Stopping
		} else {
			r.replaceNow(from, task, current, wanted)
		}
	}
	return from.Endpoints
}

func (r *Record) replaceNow(s *Service, task, current, wanted string) {
	used := map[string]bool{}
	for key := range s.Endpoints {
		used[key] = true
	}
	for key, e := range s.Endpoints {
		if e.Task == task && e.Revision == current {
			delete(s.Endpoints, key)
			s.Endpoints[newTaskKey(used, task, wanted)] = r.taskEndpoint(s.Name, e.Node, task, wanted)
			return
		}
	}
}
