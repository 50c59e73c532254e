package sshdial

import (
	"context"
	"errors"
	"math"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// freedWithin is how long sshd may take until it has noticed that sessions
	// of ours have ended, and takes another one.
	freedWithin = 10 * time.Second
	firstRetry  = 20 * time.Millisecond
	maxRetry    = 500 * time.Millisecond
)

// sessions counts the sessions of one connection, and learns how many the server
// takes: sshd's MaxSessions is 10 where nobody has changed it, 2 where Lynis was
// asked, and may be 1.
type sessions struct {
	mu      sync.Mutex
	open    int
	limit   int
	changed chan struct{} // closed when a session has ended
}

func newSessions() *sessions { return &sessions{limit: math.MaxInt, changed: make(chan struct{})} }

// take counts a session that is to be opened; false when the server takes no
// more. The channel is closed when that may have changed.
func (s *sessions) take() (ok bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open >= s.limit {
		return false, s.changed
	}
	s.open++
	return true, s.changed
}

func (s *sessions) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	close(s.changed)
	s.changed = make(chan struct{})
}

// refused learns from a session that was counted and not opened. alone says that
// there is no other: no wait for one of ours can help.
func (s *sessions) refused() (alone bool) {
	s.release()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = min(s.limit, max(s.open, 1))
	return s.open == 0
}

// session opens a channel that is released when it has ended at the other end as
// well. A command (needed) takes precedence over the HTTP sessions that
// are idle; those are closed where the server takes no more.
func (c *Conn) session(ctx context.Context, needed bool) (*ssh.Session, error) {
	retry := firstRetry
	var refusedSince time.Time // with no session of ours
	for {
		ok, changed := c.sessions.take()
		if !ok {
			if err := c.awaitSession(ctx, changed, needed); err != nil {
				return nil, err
			}
			continue
		}
		session, err := c.newSession(ctx)
		if err == nil {
			return session, nil
		}
		if _, refused := errors.AsType[*ssh.OpenChannelError](err); !refused {
			return nil, err
		}
		if alone := c.sessions.refused(); !alone {
			refusedSince = time.Time{}
			continue
		}
		if refusedSince.IsZero() {
			refusedSince = time.Now()
		}
		if time.Since(refusedSince) > freedWithin {
			return nil, &sessionError{&SessionsError{Address: c.ep.Address(), Err: err}}
		}
		select {
		case <-time.After(retry):
			retry = min(2*retry, maxRetry)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// awaitSession waits until a session has ended.
func (c *Conn) awaitSession(ctx context.Context, changed <-chan struct{}, needed bool) error {
	if needed {
		c.http.CloseIdleConnections()
	}
	select {
	case <-changed:
		return nil
	case <-time.After(maxRetry): // one more may be idle by now
		return nil
	case <-c.dead:
		return &sessionError{c.broken("no session: %w", net.ErrClosed)}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// newSession opens a channel. A caller that leaves must not take the connection
// with it, which others use: the channel is closed when it comes.
func (c *Conn) newSession(ctx context.Context) (*ssh.Session, error) {
	type opened struct {
		session *ssh.Session
		err     error
	}
	result := make(chan opened, 1)
	go func() {
		s, err := c.client.NewSession()
		result <- opened{s, err}
	}()
	select {
	case o := <-result:
		if o.err == nil {
			return o.session, nil
		}
		if _, refused := errors.AsType[*ssh.OpenChannelError](o.err); refused {
			return nil, o.err
		}
		c.sessions.release()
		c.close()
		return nil, &sessionError{c.broken("no session: %w", o.err)}
	case <-ctx.Done():
		go func() {
			o := <-result
			if o.err == nil {
				o.session.Close()
			}
			c.sessions.release()
		}()
		return nil, context.Cause(ctx)
	}
}
