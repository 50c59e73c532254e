package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"

	"golang.org/x/sys/unix"
)

// Messages and attributes of nf_tables (linux/netfilter/nf_tables.h).
const (
	getTable, getChain, getRule, getSet, getElements, getGeneration = 1, 4, 7, 10, 13, 16

	attrNested = 1 << 15
)

// request is one question to nf_tables.
type request struct {
	message uint8
	dump    bool
	family  uint8
	attrs   []byte
}

// kernel asks the nf_tables of the calling thread's network namespace.
type kernel struct{ fd int }

func openKernel() (*kernel, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket for nf_tables: %w", err)
	}
	timeout := unix.Timeval{Sec: 5}
	err = errors.Join(
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout),
	)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return &kernel{fd: fd}, nil
}

func (k *kernel) close() { _ = unix.Close(k.fd) }

// ask returns the attributes of each answer.
func (k *kernel) ask(r request) (answers [][]byte, err error) {
	flags := uint16(unix.NLM_F_REQUEST)
	if r.dump {
		flags |= unix.NLM_F_DUMP
	} else {
		flags |= unix.NLM_F_ACK
	}
	out := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+4+len(r.attrs)))
	out = binary.NativeEndian.AppendUint16(out, unix.NFNL_SUBSYS_NFTABLES<<8|uint16(r.message))
	out = binary.NativeEndian.AppendUint16(out, flags)
	out = append(out, 1, 0, 0, 0, 0, 0, 0, 0) // sequence number, port
	out = append(out, r.family, unix.NFNETLINK_V0, 0, 0)
	if err := unix.Sendto(k.fd, append(out, r.attrs...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	buf := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(k.fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for b := buf[:n]; len(b) >= unix.NLMSG_HDRLEN; {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.NLMSG_HDRLEN || size > len(b) {
				return nil, errors.New("nf_tables answered with a broken message")
			}
			body := b[unix.NLMSG_HDRLEN:size]
			switch typ := binary.NativeEndian.Uint16(b[4:]); {
			case binary.NativeEndian.Uint16(b[6:])&unix.NLM_F_DUMP_INTR != 0:
				return nil, errChanged
			case typ == unix.NLMSG_DONE:
				return answers, nil
			case typ == unix.NLMSG_ERROR && len(body) >= 4:
				if code := int32(binary.NativeEndian.Uint32(body)); code < 0 { // an errno, negated
					return nil, unix.Errno(-code)
				}
				return answers, nil
			case len(body) >= 4:
				answers = append(answers, append([]byte(nil), body[4:]...))
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}

// errChanged: somebody else has changed the rules while they were read.
var errChanged = errors.New("the rules changed while they were read")

// attrsOf walks netlink attributes; a broken one ends it.
func attrsOf(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= 4 {
			size := int(binary.NativeEndian.Uint16(b))
			if size < 4 || size > len(b) || !yield(binary.NativeEndian.Uint16(b[2:])&^attrNested, b[4:size]) {
				return
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}

// fields are the attributes of one level by their number.
func fields(b []byte) map[uint16][]byte {
	return maps.Collect(attrsOf(b))
}

func text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

func number(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

func textAttr(typ uint16, s string) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(s)+1))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(append(b, s...), 0)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}
