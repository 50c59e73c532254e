package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/wait"
)

// session asks one engine for its containers.
type session struct {
	e       *Engines
	source  source
	api     *client
	watch   *watcher
	log     *slog.Logger
	running *sync.WaitGroup    // goroutines that use watch
	stop    context.CancelFunc // set before the session can be seen by another goroutine than serve's
	wake    chan struct{}      // a value: list again
	turns   chan struct{}      // a value per inspect under way

	failures  int    // in a row
	told      string // the kind of failure that was logged
	toldLimit bool
	toldPolls bool

	// What follows is guarded by the Engines' mu.
	present    bool // the socket exists
	listed     bool
	fault      *Fault
	containers map[string]*known
}

const maxInspects = 4 // under way at once, per session: an engine may hang on one container

func newSession(e *Engines, s source, w *watcher, running *sync.WaitGroup) *session {
	return &session{
		e: e, source: s, api: newClient(e.root, s, e.times.request), watch: w, running: running,
		log:  e.log.With("engine", s.name, "socket", s.path),
		wake: make(chan struct{}, 1), turns: make(chan struct{}, maxInspects),
		present: true, containers: map[string]*known{},
	}
}

// run asks the engine until ctx ends.
func (s *session) run(ctx context.Context) {
	delay := s.e.times.retryMin
	for {
		began := time.Now()
		err := s.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		s.failed(err)
		if time.Since(began) > s.e.times.retryMax {
			delay = s.e.times.retryMin
		}
		if !wait.For(ctx, delay) {
			return
		}
		delay = min(2*delay, s.e.times.retryMax)
	}
}

// connect follows the engine until something fails, or its events end: then there is no error.
func (s *session) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	v, err := s.api.negotiate(ctx)
	if err != nil {
		return err
	}
	events := s.api.subscribe(ctx, v, s.heard)
	defer func() { cancel(); <-events.done }()
	// An engine may begin its answer with the first event only, so there is no long waiting for it.
	select {
	case <-events.open:
	case <-events.done:
	case <-time.After(s.e.times.headers):
	}
	return s.follow(ctx, v, events)
}

// follow lists the containers whenever that may bring something new. A second list follows soon after the
// first, and after events: Docker begins to answer before it subscribes, and an event may be
// ahead of the list.
func (s *session) follow(ctx context.Context, v apiVersion, events *stream) error {
	pace := pace{times: s.e.times, again: true}
	for {
		pace.begin()
		rows, omitted, err := s.api.list(ctx, v)
		if err != nil {
			return err
		}
		s.succeeded(omitted)
		settled := s.compare(ctx, v, rows)
		pace.end()
		pace.polls = events.refused()
		ended := events.done
		if pace.polls {
			s.tellPoll(events.err)
			ended = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
			if !events.refused() {
				return nil
			}
		case <-s.wake:
			if !wait.For(ctx, pace.woken()) {
				return nil
			}
			select {
			case <-s.wake:
			default:
			}
		case <-time.After(pace.next(settled)):
		}
	}
}

// pace says when the next list is due.
type pace struct {
	times
	began, ended time.Time // the last list
	again        bool      // another is to follow soon
	polls        bool      // the engine has no events
	retry        time.Duration
}

func (p *pace) begin() { p.began = time.Now() }

func (p *pace) end() { p.ended = time.Now() }

// woken returns how long to wait after an event: what comes in a burst is one list, and lists that
// take long are at most a fifth of the time.
func (p *pace) woken() time.Duration {
	p.retry, p.again = 0, true
	rest := min(4*p.ended.Sub(p.began), p.retryMax) - time.Since(p.ended)
	return max(p.debounce, rest)
}

// next returns how long to wait where nothing happens.
func (p *pace) next(settled bool) time.Duration {
	again := p.again
	p.again = false
	if settled {
		p.retry = 0
	}
	switch {
	case !settled:
		p.retry = min(max(2*p.retry, p.retryMin), p.retryMax)
		return p.retry
	case p.polls:
		return p.poll
	case again:
		return p.settle
	}
	return p.resync
}

// heard takes an event.
func (s *session) heard(e event) {
	if e.restarts {
		s.e.mu.Lock()
		if k := s.containers[e.id]; k != nil {
			k.dirty = true
		}
		s.e.mu.Unlock()
	}
	signal(s.wake)
}

// failed notes how an attempt has ended. One failure may be a restart of the engine, the second in
// a row is a fault.
func (s *session) failed(err error) {
	if err == nil {
		s.failures = 0
		return
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if isMissing(err) {
		if s.present {
			signal(s.e.changed)
		}
		s.present, s.fault, s.failures = false, nil, 0 // the next look would find out
		return
	}
	if s.failures++; s.failures < 2 {
		return
	}
	if s.fault == nil || s.told != kind(err) {
		s.told = kind(err)
		s.fault = &Fault{Engine: s.source.name, Socket: s.source.path, Text: sentence(s.source, err)}
		s.log.Warn("engine cannot be asked", "err", err)
		signal(s.e.changed)
	}
}

// succeeded notes a list.
func (s *session) succeeded(omitted int) {
	s.failures = 0
	if omitted > 0 && !s.toldLimit {
		s.log.Warn("some containers are left out: their names or labels are beyond the limits, or there are too many", "containers", omitted, "at_most", maxContainers)
	}
	s.toldLimit = omitted > 0
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if s.fault != nil {
		s.fault = nil
		s.log.Info("engine answers again")
		signal(s.e.changed)
	}
}

func (s *session) tellPoll(err error) {
	if !s.toldPolls {
		s.log.Warn("engine has no events: containers that start are noticed later", "every", s.e.times.poll, "err", err)
	}
	s.toldPolls = true
}
