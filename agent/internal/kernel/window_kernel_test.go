//go:build kernel

package kernel_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// A segment outside of the window on a connection that works (a duplicate from long
// ago, kubernetes#74839) is for the endpoint to ignore, as it is without a mesh:
// nobody between the two answers it with a reset. Conntrack calls it INVALID and so
// translates nothing of it, in the mesh's namespace and in the host's.
func TestSegmentOutsideOfTheWindow(t *testing.T) {
	s := newTrio(t)
	s.serve(state.VirtualServer{Proto: "tcp", Scheduler: "rr"}, 8080, place{2, 81, 1})
	accepted := make(chan net.Conn, 3)
	s.b.in(func() error {
		l, err := net.Listen("tcp4", ":81")
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				accepted <- c
			}
		}()
		return nil
	})
	for _, test := range []struct {
		name       string
		client     *machine
		to         string
		byEndpoint bool
	}{
		{"of the endpoint", s.c, "192.168.77.1:8080", true},
		{"of the endpoint, through its own node", s.c, "192.168.77.2:8080", true},
		{"of the endpoint, the client on a node", s.a, "127.0.0.1:8080", true},
		{"of the client", s.c, "192.168.77.1:8080", false},
		{"of the client, on a node", s.a, "127.0.0.1:8080", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var client net.Conn
			test.client.in(func() (err error) {
				client, err = net.DialTimeout("tcp4", test.to, 30*time.Second)
				return err
			})
			defer client.Close()
			endpoint := <-accepted
			defer endpoint.Close()
			converse(t, client, endpoint)
			sender, other, at := client, endpoint, test.client
			if test.byEndpoint {
				sender, other, at = endpoint, client, s.b
			}
			at.sendOutOfWindow(t, sender)
			// What follows takes the same path: a reset would be back before the answer.
			converse(t, sender, other)
		})
	}
}

// converse sends a line one way and back.
func converse(t *testing.T, from, to net.Conn) {
	t.Helper()
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		if _, err := fmt.Fprintln(way[0], "still there?"); err != nil {
			t.Fatalf("send: %v", err)
		}
		if err := way[1].SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(way[1]).ReadString('\n'); err != nil {
			t.Fatalf("receive: %v", err)
		}
	}
}

// sendOutOfWindow sends a segment of a connection of the machine that is far ahead of
// what its other end takes, past the machine's own TCP.
func (m *machine) sendOutOfWindow(t *testing.T, c net.Conn) {
	t.Helper()
	next, acked := sequence(t, c)
	from, to := netip.MustParseAddrPort(c.LocalAddr().String()), netip.MustParseAddrPort(c.RemoteAddr().String())
	const far = 1 << 28
	m.in(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, segment(from, to, next+far, acked), 0, &unix.SockaddrInet4{Addr: to.Addr().As4()})
	})
}

// sequence asks the kernel for a connection's numbers (TCP_REPAIR).
func sequence(t *testing.T, c net.Conn) (next, acked uint32) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	const on, offWithoutProbe, receiving, sending = 1, -1, 1, 2
	err = raw.Control(func(f uintptr) {
		fd := int(f)
		number := func(queue int) uint32 {
			n, err2 := 0, unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_REPAIR_QUEUE, queue)
			if err2 == nil {
				n, err2 = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUEUE_SEQ)
			}
			if err2 != nil {
				t.Error(err2)
			}
			return uint32(n)
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_REPAIR, on); err != nil {
			t.Error(err)
		}
		next, acked = number(sending), number(receiving)
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_REPAIR, offWithoutProbe); err != nil {
			t.Error(err)
		}
	})
	if err != nil || t.Failed() {
		t.Fatal(err)
	}
	return next, acked
}

// segment is an IPv4 packet with ten bytes of a TCP stream.
func segment(from, to netip.AddrPort, seq, ack uint32) []byte {
	const ipHeader, tcpHeader, data = 20, 20, 10
	src, dst := from.Addr().As4(), to.Addr().As4()
	b := make([]byte, ipHeader+tcpHeader+data)
	b[0], b[8], b[9] = 0x45, 64, syscall.IPPROTO_TCP
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	copy(b[12:], src[:])
	copy(b[16:], dst[:])
	tcp := b[ipHeader:]
	binary.BigEndian.PutUint16(tcp, from.Port())
	binary.BigEndian.PutUint16(tcp[2:], to.Port())
	binary.BigEndian.PutUint32(tcp[4:], seq)
	binary.BigEndian.PutUint32(tcp[8:], ack)
	const pushAck = 0x18
	tcp[12], tcp[13], tcp[14] = tcpHeader/4<<4, pushAck, 0xff
	sum := uint32(syscall.IPPROTO_TCP + len(tcp))
	for i := 0; i < len(tcp); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(tcp[i:]))
	}
	for i := 12; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(tcp[16:], ^uint16(sum))
	return b
}
