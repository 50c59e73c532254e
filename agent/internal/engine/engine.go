// Package engine knows which containers run on this host: of Docker and Podman, by
// their API sockets.
//
// Each socket has a session, a goroutine that lists the engine's containers. The list is the
// truth; events only say that it is time to list again. The end of a container's process
// is told by its pidfd, a second or more before any event, and the container leaves
// Running at once, whatever the engine still says.
//
// What an engine has listed stays while the engine is away: its containers run on where
// dockerd restarts with live-restore, and a pidfd tells which do not.
//
// Any user of the host may run an engine of their own, so nothing that it says is trusted: answers,
// counts and texts are limited, and a process must be in a user namespace of that user.
package engine

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Process is the main process of a container: PID and its start time (field 22 of
// /proc/PID/stat, clock ticks since boot), so that a reused PID is not taken for it.
type Process struct {
	PID   int
	Start uint64
}

// Container is a container that runs, or is paused. Its texts are as the users of the host have
// written them: show Labels through package plain.
type Container struct {
	// Engine is "docker", "podman" or "podman of user 1000".
	Engine string
	ID     string
	// Name is without the leading "/".
	Name string
	// Created is in seconds since 1970.
	Created int64
	Labels  map[string]string
	Process Process
	// HostNetwork says that it has no network namespace of its own but the host's: it asked
	// for that, or joined a container or a namespace that leads there.
	HostNetwork bool
}

// Fault says that an engine cannot be asked, in a sentence fit for a user. Its text stays
// the same while the reason does.
type Fault struct{ Engine, Socket, Text string }

// Options are what Engines work with.
type Options struct {
	// Root is a prefix of /run and /proc, for tests: "" is "/".
	Root string
	Log  *slog.Logger
}

// times are what tests shorten.
type times struct {
	look               time.Duration // between two searches for sockets
	resync             time.Duration // between two lists where no event comes
	poll               time.Duration // the same where the engine has no events
	debounce           time.Duration // from an event to the list, at least
	retryMin, retryMax time.Duration // exponential backoff
	request            time.Duration // for any request but that for events
	headers            time.Duration // to wait for the head of the events' answer
	settle             time.Duration // to the second list after a subscription
}

var usualTimes = times{
	look: 3 * time.Second, resync: 30 * time.Second, poll: 5 * time.Second, debounce: 50 * time.Millisecond,
	retryMin: 200 * time.Millisecond, retryMax: 5 * time.Second, request: 30 * time.Second,
	headers: 500 * time.Millisecond, settle: 2 * time.Second,
}

// Engines are the engines of this host. Its methods may be called from several goroutines.
type Engines struct {
	root  string
	log   *slog.Logger
	times times
	// pidfdOpen is replaced by tests.
	pidfdOpen func(pid, flags int) (int, error)

	changed chan struct{} // a value: what the methods return may have changed
	wake    chan struct{} // a value: Want was called

	mu sync.Mutex
	// round is nil while no engine is wanted. Each Want(true) begins a new one, so that
	// what an old session finds out late reaches nobody.
	round *round
}

// round is what is known since a Want(true).
type round struct {
	looked   bool
	sessions map[string]*session // by the path of the socket
}

// New returns Engines that ask no engine before Want and Run.
func New(o Options) *Engines {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Engines{
		root: o.Root, log: log, times: usualTimes, pidfdOpen: unix.PidfdOpen,
		changed: make(chan struct{}, 1), wake: make(chan struct{}, 1),
	}
}

// Want says whether the containers are wanted. At first they are not: no engine is asked, no
// socket or pidfd is open, and Running is empty.
func (e *Engines) Want(wanted bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if wanted == (e.round != nil) {
		return
	}
	e.round = nil
	if wanted {
		e.round = &round{sessions: map[string]*session{}}
	}
	signal(e.wake)
	signal(e.changed)
}

// Run asks the engines while they are wanted, until ctx ends. What was known then stays.
func (e *Engines) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if r := e.current(); r != nil {
			e.serve(ctx, r)
			continue
		}
		select {
		case <-ctx.Done():
		case <-e.wake:
		}
	}
}

func (e *Engines) current() *round {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.round
}

// Running returns the containers that run, sorted by Created, then ID.
func (e *Engines) Running() []Container {
	e.mu.Lock()
	defer e.mu.Unlock()
	var running []Container
	for _, s := range e.sessions() {
		for _, k := range s.containers {
			if k.process != (Process{}) {
				running = append(running, k.container(s.source.name))
			}
		}
	}
	slices.SortFunc(running, func(a, b Container) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Engine, b.Engine))
	})
	// One engine may listen on two sockets. The process counts: an ID is what anybody's engine may claim.
	return slices.CompactFunc(running, func(a, b Container) bool { return a.ID == b.ID && a.Process == b.Process })
}

// Ready says that every engine whose socket exists has been listed since Want(true), or has
// a Fault. Until then, and while nothing is wanted, a container that is not in Running may run.
func (e *Engines) Ready() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.round == nil || !e.round.looked {
		return false
	}
	for _, s := range e.round.sessions {
		if s.present && !s.listed && s.fault == nil {
			return false
		}
	}
	return true
}

// Faults returns what is wrong with engines whose socket exists, sorted by socket. A socket
// that is missing is none.
func (e *Engines) Faults() []Fault {
	e.mu.Lock()
	defer e.mu.Unlock()
	var faults []Fault
	for _, s := range e.sessions() {
		if s.present && s.fault != nil {
			faults = append(faults, *s.fault)
		}
	}
	return faults
}

// Present returns the names of the engines whose socket exists, sorted.
func (e *Engines) Present() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var names []string
	for _, s := range e.sessions() {
		if s.present {
			names = append(names, s.source.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Changed gets a value when Running, Ready, Faults or Present may return something else.
func (e *Engines) Changed() <-chan struct{} { return e.changed }

// sessions returns those of the current round, sorted by socket. It is called with mu held.
func (e *Engines) sessions() []*session {
	if e.round == nil {
		return nil
	}
	var sessions []*session
	for _, path := range slices.Sorted(maps.Keys(e.round.sessions)) {
		sessions = append(sessions, e.round.sessions[path])
	}
	return sessions
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
