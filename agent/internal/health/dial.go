package health

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// dialer connects in the mesh's namespace. A socket stays in the namespace that it
// was made in, so no thread has to be there while it waits for an answer.
type dialer struct {
	spaces Spaces
	turn   sync.Mutex // one thread in the mesh's namespace at a time
}

// namespace tells network namespaces apart.
type namespace struct{ device, inode uint64 }

// conn is a TCP connection, or one that is being made. Unlike a net.Conn an os.File
// can be had before it is connected; it waits in the runtime's poller as well.
type conn struct {
	*os.File
	local, remote netip.AddrPort
	in            namespace
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// dial begins a connection; finish waits for it. A *notTriedError is of this node.
func (d *dialer) dial(from netip.Addr, to netip.AddrPort) (*conn, error) {
	d.turn.Lock()
	defer d.turn.Unlock()
	c := &conn{local: netip.AddrPortFrom(from, 0), remote: to}
	fd := -1
	var refused error
	err := d.spaces.InMesh(func() (err error) {
		if c.in, err = currentNamespace(); err == nil {
			fd, err = newSocket(from)
		}
		if err == nil {
			refused = unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
		}
		return err
	})
	if errors.Is(refused, unix.ENETUNREACH) || isLocal(refused) { // no route: the namespace is being made
		err = fmt.Errorf("connect to %s: %w", to, refused)
	}
	if err == nil && (refused == nil || errors.Is(refused, unix.EINPROGRESS)) {
		c.File = os.NewFile(uintptr(fd), "health check of "+to.String())
		return c, nil
	}
	if fd >= 0 {
		_ = unix.Close(fd) // nothing was sent on it
	}
	if err != nil {
		return nil, &notTriedError{err}
	}
	return nil, refused
}

// newSocket makes a socket that needs a port of its own only towards each address,
// and leaves nothing behind on either side when it is closed: a thousand endpoints
// would keep some ten thousand sockets in TIME_WAIT, and as many tracked connections.
func newSocket(from netip.Addr) (fd int, err error) {
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, fmt.Errorf("open a socket: %w", err)
	}
	if err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err == nil {
		err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()})
	}
	if err != nil {
		_ = unix.Close(fd) // nothing was sent on it
		return -1, fmt.Errorf("prepare a socket of %s: %w", from, err)
	}
	return fd, nil
}

// finish waits until the connection is made, or is not.
func (c *conn) finish() error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Write(func(fd uintptr) (done bool) {
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		switch {
		case err != nil:
			failed = err
		case code != 0:
			failed = unix.Errno(code)
		default:
			_, err = unix.Getpeername(int(fd)) // the poller may speak up too soon
			return err == nil
		}
		return true
	})
	if err != nil {
		return err
	}
	return failed
}

// isLocal: this node could not send, for want of sockets, memory or an address.
func isLocal(err error) bool {
	for _, ours := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EADDRNOTAVAIL, unix.EADDRINUSE} {
		if errors.Is(err, ours) {
			return true
		}
	}
	return false
}

// moved says that the mesh's namespace is not the one any more that c is in.
func (d *dialer) moved(c *conn) bool {
	d.turn.Lock()
	defer d.turn.Unlock()
	var now namespace
	err := d.spaces.InMesh(func() (err error) {
		now, err = currentNamespace()
		return err
	})
	return err != nil || now != c.in
}

// currentNamespace is that of the calling thread.
func currentNamespace() (namespace, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return namespace{}, fmt.Errorf("look which network namespace this is: %w", err)
	}
	return namespace{st.Dev, st.Ino}, nil
}
