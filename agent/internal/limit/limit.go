// Package limit bounds how many connections a listener has at the same time, so that one
// client cannot keep the others out.
package limit

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// limited accepts every connection at once, so that none waits for another's place. A
// source that has too many loses its oldest, those first that have sent nothing. Where
// all together are too many, the source with most of them does.
type limited struct {
	net.Listener
	maxTotal, maxPerSource int

	mu       sync.Mutex
	total    int
	bySource map[netip.Addr][]*limitedConn // the oldest first
}

// Connections bounds those of l: in all, and of one source.
func Connections(l net.Listener, total, perSource int) net.Listener {
	return newLimited(l, total, perSource)
}

func newLimited(l net.Listener, total, perSource int) *limited {
	return &limited{Listener: l, maxTotal: total, maxPerSource: perSource, bySource: map[netip.Addr][]*limitedConn{}}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &limitedConn{Conn: conn, of: l, source: sourceOf(conn)}
	if surplus := l.admit(c); surplus != nil {
		surplus.Conn.Close()
	}
	return c, nil
}

// sourceOf is the zero address where there is none, which counts as one source.
func sourceOf(conn net.Conn) netip.Addr {
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return from.Addr().Unmap()
}

// admit adds a connection, and takes out the one that is too many, if one is.
func (l *limited) admit(c *limitedConn) (surplus *limitedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.bySource[c.source]) >= l.maxPerSource:
		surplus = oldest(l.bySource[c.source])
	case l.total >= l.maxTotal:
		surplus = oldest(l.largest())
	}
	if surplus != nil {
		l.remove(surplus)
	}
	l.bySource[c.source] = append(l.bySource[c.source], c)
	l.total++
	return surplus
}

func oldest(conns []*limitedConn) *limitedConn {
	for _, c := range conns {
		if !c.said.Load() {
			return c
		}
	}
	return conns[0]
}

// largest are the connections of the source that has most of them.
func (l *limited) largest() (most []*limitedConn) {
	for _, conns := range l.bySource {
		if len(conns) > len(most) {
			most = conns
		}
	}
	return most
}

// remove is called with mu held. It may be called for one that has gone.
func (l *limited) remove(c *limitedConn) {
	conns := l.bySource[c.source]
	i := slices.Index(conns, c)
	if i < 0 {
		return
	}
	l.total--
	if l.bySource[c.source] = slices.Delete(conns, i, i+1); len(conns) == 1 {
		delete(l.bySource, c.source)
	}
}

// limitedConn is a connection that is counted until it is closed.
type limitedConn struct {
	net.Conn
	of     *limited
	source netip.Addr
	said   atomic.Bool // it has sent something
}

func (c *limitedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.said.Store(true)
	}
	return n, err
}

func (c *limitedConn) Close() error {
	c.of.mu.Lock()
	c.of.remove(c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
