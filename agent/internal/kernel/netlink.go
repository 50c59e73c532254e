package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// netlinkConn is a netlink socket for ipset and IPVS: it sends many requests at
// once, and reads long answers without a copy. The netlink library makes two
// system calls and a dozen allocations for each request.
type netlinkConn struct {
	fd   int
	seq  uint32 // of the last message
	out  []byte // what is not sent yet
	at   int    // where its last message starts
	n    int    // how many messages it is
	dump bool   // the last one asks for a list
	in   []byte
}

const (
	// answerSize is more than the kernel puts into one answer (32 KiB).
	answerSize = 1 << 16
	// maxBatch is how many messages go at once. Should the kernel refuse all of
	// them, its answers still fit into the socket's queue.
	maxBatch = 64
)

// dialNetlink opens a socket in a namespace.
func dialNetlink(ns netns.NsHandle, protocol int) (c *netlinkConn, err error) {
	c = &netlinkConn{in: make([]byte, answerSize)}
	err = (&netspace{ns: ns}).do(func() error {
		c.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
		return err
	})
	if err != nil {
		return nil, err
	}
	timeout := unix.NsecToTimeval(netlinkTimeout.Nanoseconds())
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

func (c *netlinkConn) close() { _ = unix.Close(c.fd) }

// message begins a request with the header of its subsystem.
func (c *netlinkConn) message(typ, flags uint16, header ...byte) {
	c.finish()
	c.at, c.dump = len(c.out), flags&unix.NLM_F_DUMP == unix.NLM_F_DUMP
	c.n++
	c.seq++
	c.out = native.AppendUint32(c.out, 0) // the length, see finish
	c.out = native.AppendUint16(c.out, typ)
	c.out = native.AppendUint16(c.out, flags|unix.NLM_F_REQUEST)
	c.out = native.AppendUint32(c.out, c.seq)
	c.out = native.AppendUint32(c.out, 0)
	c.out = append(c.out, header...)
}

// finish writes the length of the last message.
func (c *netlinkConn) finish() {
	if c.n > 0 {
		native.PutUint32(c.out[c.at:], uint32(len(c.out)-c.at))
	}
}

// attr adds an attribute to the message.
func (c *netlinkConn) attr(typ uint16, value ...byte) {
	at := c.nest(typ)
	c.out = append(c.out, value...)
	c.end(at)
}

func (c *netlinkConn) attr16(typ, value uint16) {
	at := c.nest(typ)
	c.out = native.AppendUint16(c.out, value)
	c.end(at)
}

func (c *netlinkConn) attr32(typ uint16, value uint32) {
	at := c.nest(typ)
	c.out = native.AppendUint32(c.out, value)
	c.end(at)
}

// attrPort adds a port, in network byte order.
func (c *netlinkConn) attrPort(typ, port uint16) {
	at := c.nest(typ)
	c.out = binary.BigEndian.AppendUint16(c.out, port)
	c.end(at)
}

// attrText adds a text and the zero that ends it.
func (c *netlinkConn) attrText(typ uint16, text string) {
	at := c.nest(typ)
	c.out = append(append(c.out, text...), 0)
	c.end(at)
}

// nest begins an attribute that holds others, until end.
//
//go:noinline
func (c *netlinkConn) nest(typ uint16) (at int) {
	at = len(c.out)
	c.out = native.AppendUint16(c.out, 0)
	c.out = native.AppendUint16(c.out, typ)
	return at
}

// end closes what nest began. Neither is inlined: that would make 20 KiB of the
// program of them.
//
//go:noinline
func (c *netlinkConn) end(at int) {
	native.PutUint16(c.out[at:], uint16(len(c.out)-at))
	for len(c.out)%unix.NLA_ALIGNTO != 0 {
		c.out = append(c.out, 0)
	}
}

// do sends one request, and shows the bodies of the answers to each, which may be
// nil: they are gone when it returns.
func (c *netlinkConn) do(each func(body []byte)) error {
	failed, err := c.exchange(each)
	if err != nil {
		return err
	}
	return failed[c.seq]
}

// exchange sends what has been put together, and waits until the kernel has done
// it. What it refused is in failed, by the message's number (seq); err says that it
// is not known what was done.
func (c *netlinkConn) exchange(each func(body []byte)) (failed map[uint32]error, err error) {
	c.finish()
	if !c.dump { // the others only speak when they fail
		native.PutUint16(c.out[c.at+6:], native.Uint16(c.out[c.at+6:])|unix.NLM_F_ACK)
	}
	first := c.seq - uint32(c.n) + 1
	err = ignoringEINTR(func() error { return unix.Sendto(c.fd, c.out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) })
	c.out, c.n = c.out[:0], 0
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
		for m := range netlinkMessages(c.in[:n]) {
			if m.seq < first || m.seq > c.seq { // of a request that was given up
				continue
			}
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			if m.typ != unix.NLMSG_ERROR && m.typ != unix.NLMSG_DONE {
				if each != nil {
					each(m.body)
				}
				continue
			}
			if refusal := refusalOf(m.body); refusal != nil {
				if failed == nil {
					failed = map[uint32]error{}
				}
				failed[m.seq] = refusal
			}
			done = done || m.seq == c.seq
		}
	}
	if err == nil && interrupted {
		err = netlink.ErrDumpInterrupted
	}
	return failed, err
}

// refusalOf reads the errno of an NLMSG_ERROR or NLMSG_DONE.
func refusalOf(body []byte) error {
	if code := int32(number32(body)); code < 0 { //nolint:gosec // an errno, negated
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
