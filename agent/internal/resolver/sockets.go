package resolver

import (
	"context"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// The names of the sockets in the store.
	datagramName = "dns-udp"
	streamName   = "dns-tcp"
	// receiveBuffer holds what is asked while the agent restarts, in bytes.
	receiveBuffer = 4 << 20
)

// sockets are those at R.
type sockets struct {
	place
	datagrams *net.UDPConn
	streams   *net.TCPListener
	broken    atomic.Bool // one is not read any more
}

// fits says that the sockets still work, in this namespace and at this address.
func (s *sockets) fits(at place) bool { return s.place == at && !s.broken.Load() }

// open takes up the sockets that an earlier start of the agent has left, or opens others.
func (r *Resolver) open(ctx context.Context, at place) (*sockets, error) {
	s := &sockets{place: at}
	if r.adopt(s) {
		return s, nil
	}
	if err := r.kernel.InMesh(func() error { return s.listen(ctx) }); err != nil {
		s.close()
		return nil, err
	}
	r.keep(s)
	return s, nil
}

// listen opens the sockets that are missing.
func (s *sockets) listen(ctx context.Context) error {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		// Needs CAP_NET_ADMIN; without it the default holds enough for a short restart.
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) })
	}}
	if s.datagrams == nil {
		c, err := config.ListenPacket(ctx, "udp4", s.from.String())
		if err != nil {
			return err
		}
		s.datagrams, _ = c.(*net.UDPConn)
	}
	if s.streams == nil {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", s.from.String())
		if err != nil {
			return err
		}
		s.streams, _ = l.(*net.TCPListener)
	}
	return nil
}

func (s *sockets) close() {
	if s.datagrams != nil {
		s.datagrams.Close()
	}
	if s.streams != nil {
		s.streams.Close()
	}
}

// close closes sockets, nil for none, and has the store forget them, unless the agent ends.
func (r *Resolver) close(s *sockets) {
	if s == nil {
		return
	}
	s.close()
	if !r.ending.Load() {
		r.drop(datagramName)
		r.drop(streamName)
	}
}

// keep stores the sockets in place of what the store has of them.
func (r *Resolver) keep(s *sockets) {
	for name, c := range map[string]syscall.Conn{datagramName: s.datagrams, streamName: s.streams} {
		r.drop(name)
		if err := r.store.Keep(name, c); err != nil {
			r.unkept.Do(func() { r.log.Warn("queries for names are not kept over a restart of the agent", "error", err) })
		}
	}
}

func (r *Resolver) drop(name string) {
	if err := r.store.Drop(name); err != nil {
		r.unkept.Do(func() {
			r.log.Warn("a socket that is closed is still in the service manager's store", "name", name, "error", err)
		})
	}
}

// inherited are sockets by their names in the store, each at most once.
type inherited map[string][]*os.File

// disown closes the sockets that an earlier start of the agent has left and nobody has taken up.
func (r *Resolver) disown() {
	for name, files := range r.inherited {
		for _, f := range files {
			f.Close()
		}
		r.drop(name)
	}
	r.inherited = nil
}

// adopt takes up inherited sockets that are at the place, and closes the others. kept says
// that both were taken up and that the store has them and no others.
func (r *Resolver) adopt(s *sockets) (kept bool) {
	files := r.inherited
	for _, f := range files[datagramName] {
		if c, err := net.FilePacketConn(f); err == nil {
			if u, ok := c.(*net.UDPConn); ok && s.datagrams == nil && r.holds(s.place, u, u.LocalAddr()) {
				s.datagrams = u
			} else {
				c.Close()
			}
		}
	}
	for _, f := range files[streamName] {
		if l, err := net.FileListener(f); err == nil {
			if t, ok := l.(*net.TCPListener); ok && s.streams == nil && r.holds(s.place, t, t.Addr()) {
				s.streams = t
			} else {
				l.Close()
			}
		}
	}
	if s.datagrams != nil && s.streams != nil && len(files) == 2 && len(files[datagramName]) == 1 && len(files[streamName]) == 1 {
		files[datagramName][0].Close()
		files[streamName][0].Close()
		r.inherited = nil
		return true
	}
	r.disown()
	return false
}

// holds says that a socket is at the place: what the store has may be of a namespace that is
// gone, and comes back as if all were well.
func (r *Resolver) holds(p place, c syscall.Conn, at net.Addr) bool {
	return at.String() == p.from.String() && r.spaceOf(c) == p.space
}

// spaceOf is the id of the network namespace that a socket is in, 0 where that cannot be told.
func spaceOf(c syscall.Conn) (id uint64) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		ns, err := unix.IoctlRetInt(int(fd), unix.SIOCGSKNS)
		if err != nil {
			return
		}
		defer unix.Close(ns)
		var st unix.Stat_t
		if unix.Fstat(ns, &st) == nil {
			id = st.Ino
		}
	})
	return id
}
