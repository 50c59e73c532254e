package presence

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

const (
	// receiveBuffer holds what hundreds of peers send while this agent is starved, in
	// bytes.
	receiveBuffer = 1 << 20
	// sendTimeout bounds a round: a full send buffer must not keep Run from following
	// the namespace.
	sendTimeout = 100 * time.Millisecond
)

// place is where a socket is.
type place struct {
	space uint64 // the namespace's id
	link  string // "" is any
	from  netip.AddrPort
}

type socket struct {
	place
	conn   *net.UDPConn
	broken atomic.Bool // nothing is read from it any more
}

func openSocket(ctx context.Context, spaces Spaces, at place) (*socket, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		control := c.Control(func(fd uintptr) { err = setOptions(int(fd), at.link) })
		return errors.Join(control, err)
	}}
	var c net.PacketConn
	err := spaces.InMesh(func() (err error) {
		c, err = config.ListenPacket(ctx, "udp4", at.from.String())
		return err
	})
	if errors.Is(err, unix.ENODEV) {
		return nil, fmt.Errorf("there is no link %s in the network namespace %s", at.link, state.Namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on UDP %s: %w", at.from, err)
	}
	conn, ok := c.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("a UDP socket is a %T", c), c.Close())
	}
	return &socket{place: at, conn: conn}, nil
}

// setOptions binds the socket to the overlay's link: without a route a datagram would
// leave the mesh, and a forged one could come in by another link.
func setOptions(fd int, link string) error {
	// Needs CAP_NET_ADMIN; without it the default holds enough for an agent that is
	// not starved.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	if link == "" {
		return nil
	}
	return unix.BindToDevice(fd, link)
}

// fits says that the socket still works, in this namespace and on this address.
func (s *socket) fits(space uint64, address netip.Addr) bool {
	return s.space == space && s.from.Addr() == address && !s.broken.Load() && s.onLink()
}

// onLink says that the link is the one that the socket was bound to. A link that was
// recreated under its name has another index, and the socket would hear nothing.
// sock_getbindtodevice fails with ENODEV then.
func (s *socket) onLink() bool {
	if s.link == "" {
		return true
	}
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return false
	}
	var name string
	control := raw.Control(func(fd uintptr) {
		name, err = unix.GetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE)
	})
	return control == nil && err == nil && name == s.link
}

// send sends to all, and returns one of the errors that it met.
func (s *socket) send(data []byte, to []netip.Addr, port uint16) error {
	err := s.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	for _, a := range to {
		if _, e := s.conn.WriteToUDPAddrPort(data, netip.AddrPortFrom(a, port)); e != nil {
			err = e
		}
	}
	return err
}

// read hands on what arrives until the socket is closed.
func (s *socket) read(take func(from netip.Addr, data []byte)) {
	defer s.broken.Store(true) // Run then opens another one
	buf := make([]byte, 1<<16)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		take(from.Addr().Unmap(), buf[:n])
	}
}

func (s *socket) close() { s.conn.Close() }
