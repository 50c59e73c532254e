package health

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Run makes the checks until ctx ends.
func (c *Checker) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { c.publish(ctx) })
	slots := make(chan struct{}, inFlight())
	for c.sleep(ctx) {
		for c.isDue(time.Now()) {
			if c.starts.Wait(ctx) != nil || !c.slot(ctx, slots) {
				return
			}
			a, ok := c.begin(time.Now())
			if !ok { // a Keep came between
				<-slots
				continue
			}
			running.Go(func() {
				defer func() { <-slots }()
				c.check(ctx, a)
			})
		}
	}
}

// inFlight is maxInFlight, or half of the files that this process may open.
func inFlight() int {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil || files.Cur/2 > maxInFlight {
		return maxInFlight
	}
	return int(files.Cur / 2)
}

// sleep waits until a target is due; false when ctx has ended.
func (c *Checker) sleep(ctx context.Context) bool {
	const never = time.Hour // Keep wakes
	for {
		c.mu.Lock()
		wait := never
		if len(c.queue) > 0 {
			wait = time.Until(c.queue[0].due)
		}
		c.mu.Unlock()
		if wait <= 0 {
			return ctx.Err() == nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.wake:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// slot waits until there are fewer than maxInFlight checks under way.
func (c *Checker) slot(ctx context.Context, slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	default:
	}
	c.warnOfSlots()
	select {
	case slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *Checker) warnOfSlots() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.toldSlots {
		c.toldSlots = true
		c.options.Log.Warn("as many health checks as a node makes at the same time wait for an answer: the others come less often, "+
			"and a dead endpoint is found later. Lower the timeouts of the services' health_check", "at_most", inFlight())
	}
}

// The next check begins a tenth sooner at most, so that those of several nodes do
// not stay in step; and a hundredth at least, for what a start is late. A hundredth
// is also how much sooner a check begins when another one begins anyway: to wake up
// costs more than a check.
const leastJitter, mostJitter, company = 0.01, 0.09, 0.01

// isDue says that there is a check to begin.
func (c *Checker) isDue(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queue.isDue(now)
}

func (q queue) isDue(now time.Time) bool {
	return len(q) > 0 && q[0].due.Sub(now) <= time.Duration(company*float64(q[0].how.Period()))
}

// begin takes the first target that is due and puts it back for its next check.
// One that began late is back in step with the next, unless that would be much
// sooner than its turn: too many checks come later, each by the same.
func (c *Checker) begin(now time.Time) (attempt, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.queue.isDue(now) {
		return attempt{}, false
	}
	t := c.queue[0]
	jitter := leastJitter + (mostJitter-leastJitter)*c.random()
	gap := time.Duration(float64(t.how.Period()) * (1 - jitter))
	if now.Sub(t.due) > gap/10 {
		t.due = now
	}
	t.due = t.due.Add(gap)
	c.queue.moved(t)
	t.attempts++
	return attempt{definition: t.definition, target: t, addr: t.check.Addr, number: t.attempts}, true
}

// notTriedError is why a check was not made: something of this node, which says
// nothing about the endpoint.
type notTriedError struct{ cause error }

func (e *notTriedError) Error() string { return "not tried: " + e.cause.Error() }
func (e *notTriedError) Unwrap() error { return e.cause }

// check makes one check and notes what came of it.
func (c *Checker) check(ctx context.Context, a attempt) {
	timed, cancel := context.WithTimeout(ctx, a.how.Timeout())
	defer cancel()
	err := c.try(timed, a)
	if ctx.Err() != nil {
		return
	}
	if notTried, ok := errors.AsType[*notTriedError](err); ok {
		c.untried.Do(func() {
			c.options.Log.Warn("health checks cannot be made; what is known of the endpoints stays", "error", notTried.cause)
		})
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := a.target
	if c.targets[t.check] != t || t.definition != a.definition {
		return // nobody asks for it any more
	}
	if t.note(a.number, reason(err, a.how.Timeout()), &a.how, time.Now().UTC().Round(0)) { // as it is read back from the file
		signal(c.dirty)
	}
}
