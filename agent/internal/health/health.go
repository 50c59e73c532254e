// Package health checks the endpoints of services from this node, over the way
// that traffic takes: from S, in the mesh's network namespace, to H of the
// endpoint's node.
//
// One goroutine begins the checks when they are due; those under way are bounded
// in number and in starts per second. A verdict is written to a file before
// anybody is told of it, so that an agent that starts again sends nothing to who
// was down.
package health

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Spaces runs fn on a thread that is in the mesh's network namespace: an error
// when that is not there. What fn opens stays in the namespace.
type Spaces interface {
	InMesh(fn func() error) error
}

// Options are what a Checker works with.
type Options struct {
	Spaces Spaces
	// File keeps the verdicts; "" keeps none. It must be where a boot takes it away.
	File string
	// Version is the agent's, for the User-Agent of http checks.
	Version string
	Log     *slog.Logger
}

// Result is what the checks of an address have come to.
type Result struct {
	// Endpoint is its name in the service.
	Endpoint string
	Failing  bool
	// Reason is why it fails: a short text that stays the same while the reason
	// does, "connection refused". "" while it passes.
	Reason string
	// Since is when it began to fail or to pass, the zero time where it never did
	// anything else.
	Since time.Time
}

// Limits over all checks. Those under way are as many as begin within the default
// timeout of two seconds: a whole site that is silent does not keep the others
// from their turn. One that waits costs a socket and a goroutine, no thread.
const (
	maxStarts   = 500 // per second
	maxInFlight = 2 * maxStarts
	// startBurst lets checks begin on time that are due together by chance.
	startBurst = 64
)

// Checker makes the checks of one node's record. Its methods may be called from
// several goroutines; nothing is checked before Run.
type Checker struct {
	options Options
	// try makes one check; tests replace it, and random.
	try    func(context.Context, attempt) error
	random func() float64
	starts *rate.Limiter

	changed chan struct{} // a value: what Failing returns has changed
	wake    chan struct{} // a value: another target may be first in the queue
	dirty   chan struct{} // a value: a verdict has changed

	mu      sync.Mutex
	targets map[compile.Check]*target
	queue   queue
	// published is what Failing returns: the verdicts that the file has.
	published map[compile.Check]bool
	// remembered are the verdicts of an earlier agent, until the first Keep.
	remembered map[compile.Check]Result
	// What was logged already.
	toldRate, toldSlots bool
	untried             rate.Sometimes
}

// New returns a Checker with the verdicts that an earlier one has left.
func New(o Options) *Checker {
	c := &Checker{
		options: o,
		try:     newProber(o).try,
		random:  rand.Float64,
		starts:  rate.NewLimiter(maxStarts, startBurst),
		changed: make(chan struct{}, 1), wake: make(chan struct{}, 1), dirty: make(chan struct{}, 1),
		targets: map[compile.Check]*target{}, published: map[compile.Check]bool{},
		untried: rate.Sometimes{Interval: time.Minute},
	}
	c.remembered = c.load()
	return c
}

// Keep makes what the node has to check by rec the checks from now on. New ones
// pass until they have failed often enough; one that is made in another way, or
// was there before the agent started, keeps its verdict.
func (c *Checker) Keep(rec *mesh.Record, node string) {
	checks := compile.Checks(rec, node)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for check, endpoint := range checks {
		def := definition{*rec.Services[check.Service].HealthCheck, rec.Nodes[node].MeshAddress()}
		c.keep(now, check, endpoint, def)
	}
	for check, t := range c.targets {
		if _, wanted := checks[check]; !wanted {
			c.forget(t)
		}
	}
	if len(c.remembered) > 0 {
		signal(c.dirty) // the file may have some that are not there any more
	}
	c.remembered = nil
	c.warnOfTooMany()
	signal(c.wake)
}

// keep takes up one check. As the functions below it is called with mu held.
func (c *Checker) keep(now time.Time, check compile.Check, endpoint string, def definition) {
	t := c.targets[check]
	switch {
	case t == nil:
		t = &target{check: check, definition: def, due: c.firstDue(now, def)}
		if was, failed := c.remembered[check]; failed {
			t.verdict = verdict{failing: true, reason: was.Reason, since: was.Since}
			c.published[check] = true
		}
		c.targets[check] = t
		c.queue.add(t)
	case t.definition != def:
		t.definition, t.row = def, 0
		if first := c.firstDue(now, def); first.Before(t.due) {
			t.due = first
			c.queue.moved(t)
		}
	}
	t.endpoint = endpoint
}

// firstDue spreads the first checks over a period.
func (c *Checker) firstDue(now time.Time, def definition) time.Time {
	return now.Add(time.Duration(c.random() * float64(def.how.Period())))
}

func (c *Checker) forget(t *target) {
	c.queue.remove(t)
	delete(c.targets, t.check)
	delete(c.published, t.check)
	if t.failing {
		signal(c.dirty) // the file still has it
	}
}

// warnOfTooMany says that there are more checks than may begin in a second: they
// all come later, each by the same.
func (c *Checker) warnOfTooMany() {
	var perSecond float64
	for _, t := range c.targets {
		perSecond += 1 / t.how.Period().Seconds()
	}
	tooMany := perSecond > maxStarts
	if tooMany && !c.toldRate {
		c.options.Log.Warn("there are more health checks than a node makes: they come less often, and a dead endpoint is found later. "+
			"Raise the intervals of the services' health_check", "checks", len(c.targets), "per_second", int(perSecond), "at_most", maxStarts)
	}
	c.toldRate = tooMany
}

// Failing returns the checks that fail: of each the verdict outlives this process.
func (c *Checker) Failing() map[compile.Check]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.published)
}

// Changed gets a value when Failing returns something else than before, other
// than by a Keep.
func (c *Checker) Changed() <-chan struct{} { return c.changed }

// Results returns what each check has come to.
func (c *Checker) Results() map[compile.Check]Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	results := make(map[compile.Check]Result, len(c.targets))
	for check, t := range c.targets {
		results[check] = t.result()
	}
	return results
}

// signal leaves a value in a channel of size one, or the one that is there.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
