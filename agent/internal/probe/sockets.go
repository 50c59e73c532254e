package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// sockets are open for the length of one probe.
type sockets struct {
	mesh, host *net.IPConn // ICMP from S, and from the underlay address
	wire       *os.File    // the overlay's frames on the host's links
}

// notReadyError is why nothing can be sent: the mesh is not up.
type notReadyError struct{ cause error }

func (e *notReadyError) Error() string { return e.cause.Error() }
func (e *notReadyError) Unwrap() error { return e.cause }

// openSockets returns what it has opened with an error as well.
func openSockets(ctx context.Context, spaces Spaces, c *mesh.Cluster, self *mesh.Node) (*sockets, error) {
	s := &sockets{}
	if err := s.openMesh(ctx, spaces, self); err != nil {
		return s, &notReadyError{err}
	}
	err := spaces.InHost(func() (err error) {
		if s.host, err = listenICMP(ctx, self.Address, ""); err != nil {
			return &notReadyError{err}
		}
		s.wire, err = listenFrames(c.VXLANPort, c.VNI, self.Address)
		return err
	})
	return s, err
}

func (s *sockets) openMesh(ctx context.Context, spaces Spaces, self *mesh.Node) error {
	return spaces.InMesh(func() (err error) {
		s.mesh, err = listenICMP(ctx, self.MeshAddress(), state.OverlayLink)
		return err
	})
}

func (s *sockets) close() {
	for _, c := range []*net.IPConn{s.mesh, s.host} {
		if c != nil {
			c.Close()
		}
	}
	if s.wire != nil {
		s.wire.Close()
	}
}

// interrupt ends the readers.
func (s *sockets) interrupt() {
	past := time.Unix(1, 0)
	_ = s.mesh.SetReadDeadline(past) // fails only on a closed socket, whose reader has ended
	_ = s.host.SetReadDeadline(past)
	_ = s.wire.SetReadDeadline(past)
}

// listenICMP opens a raw ICMP socket that sends from an address, out of the link
// if one is named: a missing route would lead the packet out of the mesh.
func listenICMP(ctx context.Context, from netip.Addr, link string) (*net.IPConn, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		control := c.Control(func(fd uintptr) { err = setICMPOptions(int(fd), link) })
		return errors.Join(control, err)
	}}
	c, err := config.ListenPacket(ctx, "ip4:icmp", from.String())
	if err != nil {
		if link != "" && errors.Is(err, unix.ENODEV) {
			return nil, fmt.Errorf("there is no link %s in the network namespace %s", link, state.Namespace)
		}
		return nil, fmt.Errorf("open a socket for pings from %s: %w", from, err)
	}
	conn, ok := c.(*net.IPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("a socket for pings is a %T", c), c.Close())
	}
	return conn, nil
}

// receiveBuffer holds the answers of hundreds of peers at once, in bytes.
const receiveBuffer = 4 << 20

// setICMPOptions sets DF, and has the kernel send what its path MTU cache thinks
// too large (IP_PMTUDISC_PROBE): what is asked is whether this size passes
// whole, not what the kernel would make of it.
func setICMPOptions(fd int, link string) error {
	// A bit for each type that is not wanted: linux/icmp.h.
	const solRaw, icmpFilter, echoReply, echoRequest = 255, 1, 0, 8
	unwanted := ^(1<<echoReply | 1<<echoRequest)
	err := errors.Join(
		unix.SetsockoptInt(fd, solRaw, icmpFilter, unwanted),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer),
	)
	if link == "" {
		return err
	}
	return errors.Join(err, unix.BindToDevice(fd, link))
}

func send(c *net.IPConn, to netip.Addr, size int, n nonce) error {
	packet, err := newEcho(size, n)
	if err != nil {
		return err
	}
	_, err = c.WriteTo(packet, &net.IPAddr{IP: to.AsSlice()})
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return fmt.Errorf("send a ping to %s: %w", to, errno)
	}
	return err
}

// readEchoes hands on our echoes until it is interrupted.
func readEchoes(c *net.IPConn, take func(echo)) error {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFromIP(buf)
		if interrupted(err) {
			return nil
		}
		if err != nil {
			continue // an ICMP error for an earlier packet: silence says the same
		}
		if a, ok := netip.AddrFromSlice(from.IP); ok {
			if e, ok := parseEcho(buf[:n], a); ok {
				take(e)
			}
		}
	}
}

func interrupted(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed)
}
