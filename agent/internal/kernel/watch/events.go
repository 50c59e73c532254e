package watch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
)

// native is the byte order of netlink and inotify.
var native = binary.NativeEndian

// eventBuffer is the size in bytes of a socket's queue. A host that starts a
// hundred containers makes some thousand events; what does not fit is told by
// ENOBUFS, and costs one observation.
const eventBuffer = 1 << 20

// events is a descriptor that tells of changes, read as they come.
type events struct {
	file   *os.File
	fd     int
	watch  *Watch
	handle func(*events, []byte)
	closed bool
	names  []string // of our links in this namespace
	links  Links
}

// subscribe to what interests tell of in a namespace, where our links have these names. The
// lock is held.
func (w *Watch) subscribe(ns netns.Handle, links []string, interests []Interest) (*events, error) {
	fd, err := eventSocket(ns, groups(interests))
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket for events: %w", err)
	}
	e := w.receive(fd, func(e *events, b []byte) {
		for m := range nlmsg.Messages(b) {
			if e.tells(m, interests) {
				w.changed()
			}
		}
	})
	e.names = links
	e.learn(ns)
	return e, nil
}

func eventSocket(ns netns.Handle, groups []int) (fd int, err error) {
	err = netns.Do(ns, func() error {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return 0, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, eventBuffer) // else it is a smaller one
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, group := range groups {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
		}
	}
	if err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// receive takes over a descriptor and hands on what comes in. The lock is held,
// here as in handle.
func (w *Watch) receive(fd int, handle func(*events, []byte)) *events {
	e := &events{
		file: os.NewFile(uintptr(fd), "events"), fd: fd, watch: w, handle: handle, links: Links{},
	}
	go e.readOn()
	return e
}

// readOn ends when the file is closed.
func (e *events) readOn() {
	conn, err := e.file.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Read(func(uintptr) bool {
		e.watch.mu.Lock()
		defer e.watch.mu.Unlock()
		e.drain()
		return e.closed
	})
}

// drain reads all that is there. The lock is held.
func (e *events) drain() {
	buf := e.watch.buffer[:]
	for !e.closed {
		n, err := unix.Read(e.fd, buf)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOBUFS): // events were lost: anything may have changed
			e.watch.changed()
		case err != nil || n == 0:
			return
		default:
			e.handle(e, buf[:n])
		}
	}
}

// close lets go of the descriptor. Its reader may be waiting for the lock that
// is held here, and File.Close waits for its reader.
func (e *events) close() {
	if !e.closed {
		e.closed = true
		go e.file.Close()
	}
}

// learn finds which of our links are there already.
func (e *events) learn(ns netns.Handle) {
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return
	}
	defer h.Close()
	for _, name := range e.names {
		if l, err := h.LinkByName(name); err == nil {
			e.links[name] = uint32(l.Attrs().Index)
		}
	}
}
