package sshdial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// keepAliveEvery is how often an idle connection is made to say something: to
	// keep it in the tables of the firewalls on its way, and to notice when there
	// is no other end any more. An answer that takes longer ends the connection:
	// both together are less than any call's own timeout.
	keepAliveEvery  = 10 * time.Second
	keepAliveAnswer = 10 * time.Second
	// httpSessions per connection: one for a short call while the other is busy
	// with a long one. Fewer where sshd's MaxSessions is less: see sessions.
	httpSessions = 2
)

// Conn is an SSH connection that is logged in; its calls share it, and may be
// made at the same time.
type Conn struct {
	ep       *Endpoint
	client   *ssh.Client
	hostKey  ssh.PublicKey
	sessions *sessions
	http     *http.Client // over sessions of client
	dead     chan struct{}
	once     sync.Once
}

// dial makes one attempt. The way to a bastion is a connection of the pool.
func (p *Pool) dial(ctx context.Context, ep *Endpoint) (*Conn, error) {
	answer := p.patience()
	if p.inVain(ep) > 0 {
		answer = failingConnect
	}
	dialTCP := (&net.Dialer{Timeout: answer}).DialContext
	if ep.Via != nil {
		bastion, err := p.Get(ctx, ep.Via, 0)
		if err != nil {
			return nil, viaError(ep, err)
		}
		dialTCP = bastion.client.DialContext
	}
	// The slot is taken after the bastion's, which could not be had otherwise.
	release, err := p.slot(ctx, ep)
	if err != nil {
		return nil, err
	}
	defer release()
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	tcp, err := dialTCP(ctx, "tcp", ep.Address())
	if err != nil {
		if ep.Via != nil {
			err = viaError(ep, err)
		}
		return nil, err
	}
	return p.handshake(ctx, ep, awaitGreeting(tcp, answer))
}

func (p *Pool) handshake(ctx context.Context, ep *Endpoint, tcp net.Conn) (*Conn, error) {
	// A channel of a bastion has no deadlines: closing is what ends it.
	stop := context.AfterFunc(ctx, func() { tcp.Close() })
	defer stop()
	login := newAttempt(ctx, ep, func() bool { return p.keys.trusted(ep) })
	defer login.close()
	var shown ssh.PublicKey
	var keyErr error
	cfg := &ssh.ClientConfig{
		HostKeyAlgorithms: p.keys.algorithms(ep),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			shown = key
			keyErr = p.keys.accept(ep, key)
			return keyErr
		},
	}
	login.configure(cfg)
	sshConn, channels, requests, err := ssh.NewClientConn(tcp, ep.Address(), cfg)
	switch {
	case err == nil:
	case keyErr != nil:
		return nil, keyErr
	case ctx.Err() != nil:
		return nil, fmt.Errorf("the SSH handshake did not end in time: %w", errors.Join(context.Cause(ctx), err))
	default:
		if refusal := login.failure(err); refusal != nil {
			return nil, refusal
		}
		return nil, err
	}
	c := &Conn{ep: ep, client: ssh.NewClient(sshConn, channels, requests), hostKey: shown, sessions: newSessions(), dead: make(chan struct{})}
	c.http = c.newHTTPClient(p.http)
	go c.watch()
	go c.keepAlive()
	return c, nil
}

func (c *Conn) watch() {
	_ = c.client.Wait() // its error says no more than that the connection ended
	c.close()
	c.http.CloseIdleConnections()
}

// keepAlive finds out that a host is gone, for which TCP alone takes minutes.
func (c *Conn) keepAlive() {
	tick := time.NewTicker(keepAliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.dead:
			return
		case <-tick.C:
		}
		late := time.AfterFunc(keepAliveAnswer, c.close)
		_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
		late.Stop()
		if err != nil {
			c.close()
			return
		}
	}
}

func (c *Conn) alive() bool {
	select {
	case <-c.dead:
		return false
	default:
		return true
	}
}

func (c *Conn) close() {
	c.once.Do(func() {
		close(c.dead)
		c.client.Close()
	})
}
