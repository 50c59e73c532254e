package meshclient

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/prose"
)

// rollout sees a change of a service's task through: it waits until tasks run, and makes the
// commits of the update, one step after the other (mesh.UpdateStep). It keeps nothing that the
// record does not have: after a cut the next one goes on.
type rollout struct {
	*Client
	cluster, service string
	results          []*Result // of the commits so far
	// good are endpoints whose tasks have been found to run, or are passed over.
	good map[watched]bool
	// updating says that an update was under way when it began, or is.
	updating, back bool
	told           string // last, of the progress
}

// watched is one task on one node.
type watched struct{ key, node, revision string }

func watchedOf(key string, e mesh.Endpoint) watched { return watched{key, e.Node, e.Revision} }

// last is the record of the last commit.
func (o *rollout) last() *mesh.Record { return o.results[len(o.results)-1].Record }

// result waits for what the commits have taken out, and returns what they led to.
func (o *rollout) result(ctx context.Context) *Result {
	var warnings []Notice
	var traffic []Warning
	for _, r := range o.results {
		o.portsDrained(ctx, r, func(p *mesh.PublishedPort) bool { return p.Service == o.service })
		if r != nil {
			warnings, traffic = append(warnings, r.Warnings...), append(traffic, r.Traffic...)
		}
	}
	last := o.results[len(o.results)-1]
	if last != nil && len(o.results) > 1 {
		last.Warnings, last.Traffic = unique(warnings), traffic
	}
	return last
}

// run begins after the commit that changed the service from before, nil for none.
func (o *rollout) run(ctx context.Context, before *mesh.Service) error {
	s := o.last().Services[o.service]
	if s == nil || s.Task == nil {
		return nil
	}
	revision := s.Task.Revision()
	o.updating = s.Previous != nil
	o.good = map[watched]bool{}
	var existed map[string]mesh.Endpoint
	if before != nil {
		existed = before.Endpoints
	}
	begun := false
	for {
		s := o.last().Services[o.service]
		if s == nil || s.Task == nil || s.Task.Revision() != revision {
			return o.overtaken()
		}
		if err := o.await(ctx, s, existed); err != nil {
			return err
		}
		step := s.NextStep()
		if step == nil {
			return nil
		}
		if len(s.Stopping) > 0 {
			if err := o.awaitEnd(ctx, s); err != nil {
				return err
			}
		} else if len(step.Start)+len(step.Empty) > 0 && begun {
			if err := o.pauseBetween(ctx, s); err != nil {
				return err
			}
		}
		begun = true
		if err := o.take(ctx, revision, step); err != nil {
			return err
		}
	}
}

func (o *rollout) overtaken() error {
	return &mesh.Error{Object: mesh.ServiceRef(o.service), Attribute: "task", Summary: "Service changed by somebody else", Detail: fmt.Sprintf(
		"While its tasks were updated, another apply has changed the task of service %s, and goes on with its own. Run the plan again: it starts from what the nodes then have.", o.service)}
}

// pauseBetween waits for update.delay between two batches.
func (o *rollout) pauseBetween(ctx context.Context, s *mesh.Service) error {
	delay := s.UpdateDelay()
	if delay == 0 {
		return nil
	}
	done, of := s.Updated()
	o.tell(ctx, "%s: %d of %d updated, waiting %s (delay) before the next", o.service, done, of, delay)
	select {
	case <-time.After(delay):
		return nil
	case <-ctx.Done():
		return &TasksError{Service: o.service, Done: done, Of: of, Updating: true, Err: context.Cause(ctx)}
	}
}

// take commits one step.
func (o *rollout) take(ctx context.Context, revision string, step *mesh.UpdateStep) error {
	object := mesh.ServiceRef(o.service)
	result, err := o.queue.submit(ctx, &operation{
		objects: []mesh.Ref{object},
		apply: func(r *mesh.Record) error {
			if err := inCluster(r, o.cluster, object); err != nil {
				return err
			}
			ok, err := r.TakeStep(o.service, revision, step)
			if !ok {
				return o.overtaken()
			}
			return err
		},
	})
	if result != nil {
		o.results = append(o.results, result)
	}
	return err
}

// await waits until the tasks of the service's revision run. What does not is handled as the
// update's failure_action says.
func (o *rollout) await(ctx context.Context, s *mesh.Service, existed map[string]mesh.Endpoint) error {
	failed := o.watch(ctx, s, existed)
	if len(failed) == 0 {
		return nil
	}
	done, of := s.Updated()
	e := &TasksError{Service: o.service, Failed: failed, Done: done, Of: of, Updating: s.Previous != nil, Err: context.Cause(ctx)}
	switch {
	case s.Previous == nil || ctx.Err() != nil:
		return e
	case o.back:
		e.Back = true
		return e
	case s.FailureAction() == mesh.FailureContinue:
		last := o.results[len(o.results)-1]
		for _, f := range failed {
			o.good[f.watched] = true
			last.Warnings = append(last.Warnings, notice(mesh.ProblemTask, mesh.ServiceRef(o.service), "The update went on without it, as failure_action says: %s", f))
		}
		return nil
	case s.FailureAction() == mesh.FailureRollback:
		return o.rollBack(ctx, s, e)
	}
	return e
}

// rollBack commits the task before as the one that is wanted, and sees that through.
func (o *rollout) rollBack(ctx context.Context, s *mesh.Service, why *TasksError) error {
	object, revision := mesh.ServiceRef(o.service), s.Task.Revision()
	o.tell(ctx, "%s: %s; rolling back", o.service, why.Failed[0])
	result, err := o.queue.submit(ctx, &operation{
		objects: []mesh.Ref{object},
		apply: func(r *mesh.Record) error {
			now := r.Services[o.service]
			if now == nil || now.Task == nil || now.Task.Revision() != revision || now.Previous == nil {
				return o.overtaken()
			}
			back := *now
			back.Task = now.Previous
			return r.PutService(&back)
		},
	})
	if result != nil {
		o.results = append(o.results, result)
	}
	if err != nil {
		return err
	}
	again := &rollout{Client: o.Client, cluster: o.cluster, service: o.service, results: o.results, back: true}
	err = again.run(ctx, s)
	o.results = again.results
	if err != nil {
		return err
	}
	why.RolledBack = true
	return why
}

// tell logs the progress, once.
func (o *rollout) tell(ctx context.Context, format string, args ...any) {
	if text := fmt.Sprintf(format, args...); text != o.told {
		o.told = text
		o.log(ctx, text, map[string]any{"service": o.service})
	}
}

// TaskFailure is a task that does not run.
type TaskFailure struct {
	Service, Task, Node string
	// Why is a sentence without its end, ExitCode nil without one.
	Why      string
	ExitCode *int
	Lines    []string
	watched  watched
}

// String is the failure as a sentence that begins with its node.
func (f TaskFailure) String() string {
	text := fmt.Sprintf("%s: %s.%s %s", mesh.NodeRef(f.Node).Words(), f.Service, f.Task, strings.TrimSuffix(f.Why, "."))
	if f.ExitCode != nil {
		text += fmt.Sprintf(" (exit code %d)", *f.ExitCode)
	}
	return text + "."
}

// TasksError is a service whose tasks do not run although the record asks for them.
type TasksError struct {
	Service string
	Failed  []TaskFailure
	// Done and Of are how many tasks were updated when it stopped, if Updating.
	Done, Of int
	Updating bool
	// RolledBack says that the task before runs again, Back that going back to it has failed.
	RolledBack, Back bool
	// Err is why the wait has ended too soon, nil where it has not.
	Err error
}

func (e *TasksError) Unwrap() error { return e.Err }

func (e *TasksError) Error() string {
	var lines []string
	for _, f := range e.Failed {
		lines = append(lines, f.String())
		if len(f.Lines) > 0 {
			lines = append(lines, "  Its last lines:")
		}
		for _, line := range f.Lines {
			lines = append(lines, "    "+prose.Clean(line))
		}
	}
	return strings.Join(append(lines, e.consequence()), "\n")
}

// consequence says how things are now, and what to do.
func (e *TasksError) consequence() string {
	counted := fmt.Sprintf("%d of %d tasks are updated", e.Done, e.Of)
	switch {
	case e.RolledBack:
		return "The update was rolled back: all tasks are as before. Repair the task and apply again."
	case e.Back:
		return fmt.Sprintf("This happened while the update was rolled back, which has stopped: %s. The next apply goes on.", counted)
	case e.Err != nil && e.Updating:
		return fmt.Sprintf("The time was over before the update was: %s, the others run as before. The next apply goes on with it.", counted)
	case e.Err != nil:
		return "The time was over before all tasks ran. They are in the cluster's record, and their nodes go on starting them. The resource's timeouts attribute gives more time."
	case e.Updating:
		return fmt.Sprintf("The update is paused: %s, the others run as before. Repair the task and apply again, or set it back to what it was and apply. "+
			"An apply of the same task tries again.", counted)
	}
	return "The tasks are in the cluster's record, and their nodes go on trying to start them. Repair the task and apply again. `routingmesh-agent service ps` on the node says more."
}

// Sentences are the failures as drift.
func (e *TasksError) Sentences() []string {
	var all []string
	for _, f := range e.Failed {
		all = append(all, f.String())
	}
	if len(all) == 0 || e.Updating {
		all = append(all, fmt.Sprintf("service %s: its update is not finished, %d of %d tasks are updated; the next apply goes on with it.", e.Service, e.Done, e.Of))
	}
	return slices.Compact(all)
}
