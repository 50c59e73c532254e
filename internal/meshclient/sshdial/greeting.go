package sshdial

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// greeted is a connection whose other end must say something soon: a host that
// hangs, or a port forwarder in front of one that is gone, takes connections
// and then is silent, which the handshake's own time (minutes, perhaps, for a
// person's second factor) is too long to wait for.
type greeted struct {
	net.Conn
	within time.Duration
	timer  *time.Timer
	late   atomic.Bool
}

func awaitGreeting(c net.Conn, within time.Duration) *greeted {
	g := &greeted{Conn: c, within: within}
	g.timer = time.AfterFunc(within, func() {
		g.late.Store(true)
		c.Close()
	})
	return g
}

func (g *greeted) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if n > 0 {
		g.timer.Stop()
	}
	if n == 0 && err != nil && g.late.Load() {
		return 0, fmt.Errorf("it takes the connection and then says nothing: no SSH greeting within %s", g.within)
	}
	return n, err
}

func (g *greeted) Close() error {
	g.timer.Stop()
	return g.Conn.Close()
}
