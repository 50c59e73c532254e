package nlmsg

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	vishnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
)

// answerSize is more than the kernel puts into one answer (32 KiB).
const answerSize = 1 << 16

// Conn is a netlink socket. What its Batch holds goes out with Do or Exchange.
type Conn struct {
	Batch
	fd int
	in []byte
}

// Dial opens a socket in a namespace.
func Dial(ns netns.Handle, protocol int) (c *Conn, err error) {
	c = &Conn{in: make([]byte, answerSize)}
	err = netns.Do(ns, func() error {
		c.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
		return err
	})
	if err != nil {
		return nil, err
	}
	timeout := unix.NsecToTimeval(netns.NetlinkTimeout.Nanoseconds())
	err = errors.Join(
		unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout),
		unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		// Without it a refusal holds the whole message that is refused.
		unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1),
	)
	if err != nil {
		return nil, errors.Join(err, unix.Close(c.fd))
	}
	return c, nil
}

// Close gives back the socket.
func (c *Conn) Close() { _ = unix.Close(c.fd) }

// Do sends one request, and shows the bodies of the answers to each, which may be
// nil: they are gone when it returns.
func (c *Conn) Do(each func(body []byte)) error {
	failed, err := c.Exchange(each)
	if err != nil {
		return err
	}
	return failed[c.seq]
}

// Exchange sends what has been put together, and waits until the kernel has done
// it. What it refused is in failed, by the message's number (seq); err says that it
// is not known what was done.
func (c *Conn) Exchange(each func(body []byte)) (failed map[uint32]error, err error) {
	c.finish()
	if !c.dump { // the others only speak when they fail
		native.PutUint16(c.out[c.at+6:], native.Uint16(c.out[c.at+6:])|unix.NLM_F_ACK)
	}
	first := c.seq - uint32(c.n) + 1
	err = ignoringEINTR(func() error { return unix.Sendto(c.fd, c.out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) })
	c.Reset()
	interrupted := false
	for done := false; err == nil && !done; {
		var n int
		err = ignoringEINTR(func() (err error) { n, _, err = unix.Recvfrom(c.fd, c.in, 0); return err })
		if errors.Is(err, unix.EAGAIN) {
			err = fmt.Errorf("no answer from the kernel: %w", unix.ETIMEDOUT)
		}
		if err != nil {
			break
		}
		for m := range Messages(c.in[:n]) {
			if m.Seq < first || m.Seq > c.seq { // of a request that was given up
				continue
			}
			interrupted = interrupted || m.Flags&unix.NLM_F_DUMP_INTR != 0
			if m.Type != unix.NLMSG_ERROR && m.Type != unix.NLMSG_DONE {
				if each != nil {
					each(m.Body)
				}
				continue
			}
			if refusal := refusalOf(m.Body); refusal != nil {
				if failed == nil {
					failed = map[uint32]error{}
				}
				failed[m.Seq] = refusal
			}
			done = done || m.Seq == c.seq
		}
	}
	if err == nil && interrupted {
		err = netlink.ErrDumpInterrupted
	}
	return failed, err
}

// refusalOf reads the errno of an NLMSG_ERROR or NLMSG_DONE.
func refusalOf(body []byte) error {
	if code := int32(Uint32(body)); code < 0 { // an errno, negated
		return unix.Errno(-code)
	}
	return nil
}

func ignoringEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Socket opens a socket of the netlink library in a namespace, whose requests do not
// wait for ever.
func Socket(ns netns.Handle, protocol int) (*nl.NetlinkSocket, error) {
	s, err := nl.GetNetlinkSocketAt(ns, vishnetns.None(), protocol)
	if err != nil {
		return nil, err
	}
	timeout := unix.NsecToTimeval(netns.NetlinkTimeout.Nanoseconds())
	if err := errors.Join(s.SetSendTimeout(&timeout), s.SetReceiveTimeout(&timeout)); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}
