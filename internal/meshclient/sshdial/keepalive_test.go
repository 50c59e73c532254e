package sshdial

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"
)

// wire is one end of a connection in memory. A silent one is what a host leaves
// behind that has lost its power: everything can be sent, nothing comes back,
// and nobody resets it.
type wire struct {
	net.Conn // nil: what is not below is not called
	in       <-chan []byte
	out      chan<- []byte
	rest     []byte
	silent   *atomic.Bool
	once     sync.Once
	closed   chan struct{}
}

func newWire() (near, far *wire, silent *atomic.Bool) {
	silent = &atomic.Bool{}
	there, back := make(chan []byte, 1000), make(chan []byte, 1000)
	near = &wire{in: back, out: there, silent: silent, closed: make(chan struct{})}
	far = &wire{in: there, out: back, silent: silent, closed: make(chan struct{})}
	return near, far, silent
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.rest) == 0 {
		select {
		case w.rest = <-w.in:
		case <-w.closed:
			return 0, net.ErrClosed
		}
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

func (w *wire) Write(p []byte) (int, error) {
	if !w.silent.Load() {
		w.out <- append([]byte{}, p...)
	}
	return len(p), nil
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return nil
}

func (w *wire) LocalAddr() net.Addr  { return nowhere() }
func (w *wire) RemoteAddr() net.Addr { return nowhere() }

// connect logs in over a wire to a server that counts what keeps it alive.
func connect(t *testing.T, keptAlive *atomic.Int64) (c *Conn, silent *atomic.Bool) {
	t.Helper()
	near, far, silent := newWire()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &ssh.ServerConfig{PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return nil, nil }}
	cfg.AddHostKey(key)
	go func() {
		_, channels, requests, err := ssh.NewServerConn(far, cfg)
		if err != nil {
			return
		}
		go func() {
			for ch := range channels {
				_ = ch.Reject(ssh.Prohibited, "none")
			}
		}()
		for r := range requests {
			keptAlive.Add(1)
			_ = r.Reply(false, nil) // as sshd does
		}
	}()
	p := NewPool(Config{HostKeyPolicy: HostKeyInsecure}, HTTPCommand{}, nil)
	c, err = p.handshake(t.Context(), &Endpoint{Host: "192.0.2.1", Port: 22, User: "root", login: &login{password: "x"}}, near)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.close()
		far.Close()
	})
	return c, silent
}

func TestIdleConnectionIsKeptAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var keptAlive atomic.Int64
		c, _ := connect(t, &keptAlive)
		time.Sleep(time.Hour) // of the bubble
		if got := keptAlive.Load(); !c.alive() || got < 300 {
			t.Errorf("after an hour alive=%v, and the host has heard %d times", c.alive(), got)
		}
	})
}

// shortCall is what a short call over a connection may take by itself
// (meshclient's statusTimeout).
const shortCall = 30 * time.Second

// A host that is gone without a word is noticed before any call of an agent
// times out by itself, and ends what is under way.
func TestSilentConnectionIsNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var keptAlive atomic.Int64
		c, silent := connect(t, &keptAlive)
		time.Sleep(time.Minute + 100*time.Millisecond)
		silent.Store(true)
		start := time.Now()
		_, err := c.session(context.Background(), true)
		if broken, ok := errors.AsType[*UnreachableError](err); !ok || broken.Attempts != 0 {
			t.Errorf("a call over it ends with %v", err)
		}
		if took := time.Since(start); took > keepAliveEvery+keepAliveAnswer || took >= shortCall || c.alive() {
			t.Errorf("noticed after %s, alive=%v", took, c.alive())
		}
	})
}

// A host that takes the connection and says nothing holds nobody up for as long
// as a login may take.
func TestSilentHandshakeEnds(t *testing.T) {
	t.Parallel()
	for timeout, greeting := range map[time.Duration]time.Duration{DefaultTimeout: connectTimeout, 2 * time.Second: connectTimeout, time.Minute: 20 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			near, far, _ := newWire()
			defer far.Close()
			p := NewPool(Config{HostKeyPolicy: HostKeyInsecure, Timeout: timeout}, HTTPCommand{}, nil)
			start := time.Now()
			_, err := p.handshake(t.Context(), &Endpoint{Host: "192.0.2.1", Port: 22, User: "root", login: &login{password: "x"}}, awaitGreeting(near, p.patience()))
			if err == nil || !strings.Contains(err.Error(), "no SSH greeting within "+greeting.String()) {
				t.Errorf("the handshake ends with %v", err)
			}
			if took := time.Since(start); took != greeting {
				t.Errorf("it took %s", took)
			}
		})
	}
}
