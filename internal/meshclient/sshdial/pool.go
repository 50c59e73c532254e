package sshdial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
)

const (
	// parallelDials is how many hosts are logged in to at the same time, each by its
	// own sshd. dialsPerGate is for those behind one bastion, and for an sshd with
	// several users: it stays below sshd's MaxStartups (10:30:100), beyond which
	// logins are dropped at random.
	parallelDials = 32
	dialsPerGate  = 8
	firstBackoff  = 100 * time.Millisecond
	maxBackoff    = 3 * time.Second
	// connectTimeout bounds the TCP connect, and then the wait for sshd's
	// greeting; failingConnect does to a host that did not answer before:
	// everyone who needs it would wait anew otherwise.
	connectTimeout = 10 * time.Second
	failingConnect = 5 * time.Second
)

// patience is for the TCP connect and for the greeting: connectTimeout, or a
// third of what the user gives a login where that is longer.
func (p *Pool) patience() time.Duration { return max(connectTimeout, p.timeout/3) }

// Pool has one SSH connection per endpoint, made when first needed and shared
// by all who need it. It remembers the host keys that it accepts. It is safe for
// concurrent use.
type Pool struct {
	keys    *hostKeys
	timeout time.Duration // of one dial and login
	http    HTTPCommand
	detach  func(context.Context, time.Duration) (context.Context, context.CancelFunc)
	dials   *semaphore.Weighted
	flights singleflight.Group

	mu     sync.Mutex
	gates  map[string]*semaphore.Weighted // of dials, see gate
	conns  map[string]*Conn               // by endpoint key; dead ones are replaced
	failed map[string]time.Duration       // the longest patience in vain, by endpoint key
	closed error                          // why no connection is made any more
}

// NewPool dials nothing yet. http is what the connections' HTTP clients speak
// with. detach makes a context for a dial that may outlive the caller's, with a
// bound on its time; it should end when the pool is closed.
func NewPool(cfg Config, http HTTPCommand, detach func(context.Context, time.Duration) (context.Context, context.CancelFunc)) *Pool {
	return &Pool{
		keys: newHostKeys(cfg.HostKeyPolicy), timeout: cmp.Or(max(cfg.Timeout, 0), DefaultTimeout), http: http, detach: detach, dials: semaphore.NewWeighted(parallelDials),
		gates: map[string]*semaphore.Weighted{}, conns: map[string]*Conn{}, failed: map[string]time.Duration{},
	}
}

// Get returns the endpoint's connection, dialling with backoff for as long as
// patience lasts. A refused login or host key is not tried again, and a host
// that tired out a caller as patient gets one try. Errors are
// *UnreachableError, *AuthError, *HostKeyError, the context's, or the reason
// that Close was given.
func (p *Pool) Get(ctx context.Context, ep *Endpoint, patience time.Duration) (*Conn, error) {
	start, pause := time.Now(), firstBackoff
	for attempts := 1; ; attempts++ {
		c, err := p.once(ctx, ep)
		if err == nil {
			return c, p.keys.recheck(ep, c.hostKey)
		}
		if refused(err) || ctx.Err() != nil {
			return nil, err
		}
		wait := pause/2 + rand.N(pause)
		if p.inVain(ep) >= patience || time.Since(start)+wait > patience {
			p.tired(ep, patience)
			return nil, &UnreachableError{Host: ep.Name, Address: ep.Address(), Attempts: attempts, Err: err}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, &UnreachableError{Host: ep.Name, Address: ep.Address(), Attempts: attempts, Err: errors.Join(context.Cause(ctx), err)}
		}
		pause = min(2*pause, maxBackoff)
	}
}

// refused tells errors that another try cannot change.
func refused(err error) bool {
	_, auth := errors.AsType[*AuthError](err)
	_, key := errors.AsType[*HostKeyError](err)
	_, closed := errors.AsType[*closedError](err)
	return auth || key || closed
}

// once returns the live connection or joins the one dial that is under way.
// The dial belongs to nobody: a caller that leaves does not end it.
func (p *Pool) once(ctx context.Context, ep *Endpoint) (*Conn, error) {
	if c := p.live(ep); c != nil {
		return c, nil
	}
	flight := p.flights.DoChan(ep.Key(), func() (any, error) {
		if c := p.live(ep); c != nil {
			return c, nil
		}
		// Twice the timeout: once for the bastion, once for the host.
		ctx, cancel := p.detach(ctx, 2*p.timeout)
		defer cancel()
		c, err := p.dial(ctx, ep)
		if err != nil {
			return nil, err
		}
		return c, p.add(ep, c)
	})
	select {
	case r := <-flight:
		if r.Err != nil {
			return nil, r.Err
		}
		c, _ := r.Val.(*Conn) // nothing else is in there
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// slot waits until ep may be logged in to; the returned function ends that. Its
// bastion, if it has one, is logged in to by then.
func (p *Pool) slot(ctx context.Context, ep *Endpoint) (release func(), err error) {
	behind := p.gate(ep)
	// First that: who waits behind a bastion keeps nobody from going elsewhere.
	if err := behind.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	if err := p.dials.Acquire(ctx, 1); err != nil {
		behind.Release(1)
		return nil, err
	}
	return func() { p.dials.Release(1); behind.Release(1) }, nil
}

// gate bounds the logins through ep's bastion; of a host without one, to that.
func (p *Pool) gate(ep *Endpoint) *semaphore.Weighted {
	key := ep.Address()
	if ep.Via != nil {
		key = ep.Via.Key()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gates[key] == nil {
		p.gates[key] = semaphore.NewWeighted(dialsPerGate)
	}
	return p.gates[key]
}

func (p *Pool) live(ep *Endpoint) *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.conns[ep.Key()]; c != nil && c.alive() {
		return c
	}
	return nil
}

func (p *Pool) add(ep *Endpoint, c *Conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil {
		c.close()
		return p.closed
	}
	p.conns[ep.Key()] = c
	delete(p.failed, ep.Key())
	return nil
}

// inVain is the longest patience that anyone had with the endpoint since it
// last answered; who has more tries on.
func (p *Pool) inVain(ep *Endpoint) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed[ep.Key()]
}

func (p *Pool) tired(ep *Endpoint, patience time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed[ep.Key()] = max(p.failed[ep.Key()], patience)
}

// Forget drops what is known of ep: the keys that were pinned for or seen at its
// address, that callers waited for it in vain, and the connection to it.
func (p *Pool) Forget(ep *Endpoint) {
	p.keys.forget(ep)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.failed, ep.Key())
	if c := p.conns[ep.Key()]; c != nil {
		c.close()
	}
}

// recheck closes the connections to an address whose key was pinned since.
func (p *Pool) recheck(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		if c.ep.Address() == address && p.keys.recheck(c.ep, c.hostKey) != nil {
			c.close()
		}
	}
}

// closedError is the reason that Close was given.
type closedError struct{ reason error }

func (e *closedError) Error() string { return e.reason.Error() }
func (e *closedError) Unwrap() error { return e.reason }

// Close ends every connection. A dial that is under way fails with the reason.
func (p *Pool) Close(reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = &closedError{reason}
	for _, c := range p.conns {
		c.close()
	}
}

// viaError says at which host of a chain the way ended.
func viaError(ep *Endpoint, err error) error {
	if refused(err) {
		return err
	}
	return fmt.Errorf("through %s: %w", ep.Via.Name, err)
}
