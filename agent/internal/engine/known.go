package engine

import (
	"context"
	"errors"
	"maps"
)

// known is a container in an engine's list.
type known struct {
	row
	process     Process // the null value: it does not run, as far as is known
	startedAt   string  // of the process
	hostNetwork bool
	token       int32 // of the watcher

	inspecting bool
	tried      bool // an inspect has ended
	dirty      bool // to be inspected though its process is known
	// refused says that its process is none of the engine's user. It is not tried again before it restarts.
	refused bool
	told    bool // its trouble is logged

	// The last process that has ended. An engine may show it for seconds after.
	endedPID int
	endedAt  string // its startedAt
}

func (k *known) container(engine string) Container {
	return Container{
		Engine: engine, ID: k.id, Name: k.name, Created: k.created, Labels: maps.Clone(k.labels),
		Process: k.process, HostNetwork: k.hostNetwork,
	}
}

func (k *known) settled() bool { return !k.dirty && (k.process != (Process{}) || k.refused) }

// compare makes what is known what the list says, and has new and restarted containers inspected. It
// returns false while some are not settled.
func (s *session) compare(ctx context.Context, v apiVersion, rows []row) (settled bool) {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	settled = true
	listed := make(map[string]bool, len(rows))
	for _, r := range rows {
		listed[r.id] = true
		k := s.containers[r.id]
		if k == nil {
			k = &known{}
			s.containers[r.id] = k
		}
		if k.name != r.name || !maps.Equal(k.labels, r.labels) || k.created != r.created {
			signal(s.e.changed)
		}
		k.row = r
		if k.process != (Process{}) && k.token == unwatched && !s.e.lives(k.process) {
			s.end(k)
		}
		if !k.settled() {
			settled = false
			s.inspect(ctx, v, k)
		}
	}
	for id, k := range s.containers {
		if !listed[id] {
			s.forget(k)
		}
	}
	s.noteListed()
	return settled
}

// noteListed makes the session listed as soon as a list and its inspects are done. The functions from here
// on are called with mu held.
func (s *session) noteListed() {
	if s.listed {
		return
	}
	for _, k := range s.containers {
		if !k.tried {
			return
		}
	}
	s.listed = true
	signal(s.e.changed)
}

func (s *session) forget(k *known) {
	s.end(k)
	delete(s.containers, k.id)
}

func (s *session) anyRuns() bool {
	for _, k := range s.containers {
		if k.process != (Process{}) {
			return true
		}
	}
	return false
}

// end takes a container out of Running.
func (s *session) end(k *known) {
	if k.process == (Process{}) {
		return
	}
	s.watch.unwatch(k.token)
	k.endedPID, k.endedAt = k.process.PID, k.startedAt
	k.process, k.token = Process{}, unwatched
	signal(s.e.changed)
}

// inspect asks the engine for a container's process, unless that is under way.
func (s *session) inspect(ctx context.Context, v apiVersion, k *known) {
	if k.inspecting {
		return
	}
	k.inspecting, k.dirty = true, false
	id := k.id
	s.running.Go(func() {
		s.turns <- struct{}{} // it comes soon: ctx ends the requests of the others, too
		d, err := s.api.inspect(ctx, v, id)
		<-s.turns
		var o opened
		if err == nil {
			o, err = s.find(d)
		}
		s.inspected(ctx, k, d, o, err)
	})
}

var errNotRunning = errors.New("it has no process")

// find opens the process of a container.
func (s *session) find(d details) (opened, error) {
	if d.pid == 0 {
		return opened{}, errNotRunning
	}
	return s.e.open(d.pid, s.source.uid)
}

// inspected takes what an inspect has found.
func (s *session) inspected(ctx context.Context, k *known, d details, o opened, err error) {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	k.inspecting = false
	if err == nil && d.pid == k.endedPID && d.startedAt == k.endedAt {
		o.close() // the PID may be another process's by now
		err = errEnded
	}
	if s.containers[k.id] != k || ctx.Err() != nil {
		if err == nil {
			o.close()
		}
		k.dirty = true // another attempt will ask again
		return
	}
	k.tried = true
	k.refused = errors.Is(err, errForeign)
	switch {
	case err == nil:
		s.found(k, d, o)
	case errors.Is(err, errNotRunning) || errors.Is(err, errEnded) || k.refused:
		s.end(k)
	default:
		k.dirty = true
	}
	s.tellTrouble(k, err)
	s.noteListed()
}

// found takes the process of a container.
func (s *session) found(k *known, d details, o opened) {
	hostNetwork := o.hostNetwork || d.hostNetwork
	if k.process == o.process {
		o.close()
		if k.hostNetwork != hostNetwork {
			signal(s.e.changed)
		}
		k.startedAt, k.hostNetwork = d.startedAt, hostNetwork
		return
	}
	s.end(k)
	k.process, k.startedAt, k.hostNetwork = o.process, d.startedAt, hostNetwork
	k.token = s.watch.watch(o.fd, func() { s.ended(k, o.process) })
	signal(s.e.changed)
}

// ended is told by the watcher.
func (s *session) ended(k *known, p Process) {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if k.process == p {
		s.end(k)
		signal(s.wake)
	}
}

// tellTrouble logs what keeps a container out of Running, once. One that has just ended is none.
func (s *session) tellTrouble(k *known, err error) {
	trouble := err != nil && !errors.Is(err, errNotRunning) && !errors.Is(err, errEnded) && !isGone(err)
	if trouble && !k.told {
		s.log.Warn("container is left out", "container", k.name, "id", k.id, "err", err)
	}
	k.told = trouble || k.told && err != nil
}
