package tasks

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Warnings says which tasks of this node do not run, and why.
func (s *Supervisor) Warnings() []mesh.Warning {
	s.mu.Lock()
	rec, node := s.rec, s.node
	s.mu.Unlock()
	if rec == nil {
		return nil
	}
	var all []mesh.Warning
	now, unasked := s.now(), map[string][]string{}
	workers := s.all()
	slices.SortFunc(workers, func(a, b *worker) int { return compareStatus(a.report(), b.report()) })
	for _, w := range workers {
		text, engine := w.warning(now)
		switch {
		case engine != "":
			unasked[engine] = append(unasked[engine], w.label())
		case text != "" && rec.Services[w.key.service] != nil:
			all = append(all, mesh.Warning{Code: mesh.WarnTask, Object: mesh.ServiceRef(w.key.service), Text: text})
		case text != "":
			all = append(all, mesh.Warning{Code: mesh.WarnTask, Object: mesh.NodeRef(node), Text: text})
		}
	}
	for why, tasks := range unasked {
		all = append(all, mesh.Warning{Code: mesh.WarnTask, Object: mesh.NodeRef(node), Text: fmt.Sprintf("The tasks of this node (%s) are not looked after: %s.", listed(tasks), strings.TrimSuffix(why, "."))})
	}
	mesh.SortWarnings(all)
	return all
}

// listed names a few.
func listed(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// warning says what is wrong with the task, "" for nothing. unasked is why its engine cannot be
// asked, which is said once for all tasks.
func (w *worker) warning(now time.Time) (text, unasked string) {
	label := w.label()
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &w.core
	old := now.Sub(c.status.Since) >= stuckAfter
	switch {
	case c.unasked != "" && now.Sub(c.asked) >= unaskedFor:
		return "", c.unasked
	case c.want == nil:
		if c.status.Error == "" {
			return "", ""
		}
		return fmt.Sprintf("The container %s of the task %s, which is no longer wanted, cannot be removed: %s.", w.name, label, strings.TrimSuffix(c.status.Error, ".")), ""
	case c.status.State == mesh.TaskRejected:
		return fmt.Sprintf("Task %s cannot run: %s. It is tried again.", label, strings.TrimSuffix(c.status.Error, ".")), ""
	case c.final && c.status.State == mesh.TaskFailed:
		return fmt.Sprintf("Task %s does not run: %s, so it is not started again%s. See `routingmesh-agent service logs %s` on this node, and change the service.", label, c.cause, c.wrote(), label), ""
	case c.failures > 1:
		return fmt.Sprintf("Task %s does not keep running: %s%s. See `routingmesh-agent service logs %s` on this node.", label, c.cause, c.wrote(), label), ""
	case c.status.State == mesh.TaskPreparing && old:
		return fmt.Sprintf("Task %s does not run yet: its image %s is still being pulled.", label, c.want.task.Image), ""
	case c.status.State == mesh.TaskStarting && old:
		return fmt.Sprintf("Task %s gets no connections yet: its health check has not passed. See `routingmesh-agent service logs %s` on this node.", label, label), ""
	}
	return "", ""
}

// wrote quotes the last line of what ended.
func (c *core) wrote() string {
	n := len(c.status.LastLines)
	if n == 0 {
		return ""
	}
	line := []rune(c.status.LastLines[n-1])
	if len(line) > maxQuoted {
		line = append(line[:maxQuoted], '…')
	}
	return fmt.Sprintf(" (it wrote last: %q)", string(line))
}

// maxQuoted is how much of a last line a warning has.
const maxQuoted = 160
