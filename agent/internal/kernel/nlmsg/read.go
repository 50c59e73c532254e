package nlmsg

import (
	"bytes"
	"encoding/binary"
	"iter"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Message is one message without its header.
type Message struct {
	Type, Flags uint16
	Seq         uint32
	Body        []byte
}

// Messages walks over the messages that one read has brought.
func Messages(b []byte) iter.Seq[Message] {
	return func(yield func(Message) bool) {
		for len(b) >= unix.SizeofNlMsghdr {
			size := int(native.Uint32(b))
			if size < unix.SizeofNlMsghdr || size > len(b) {
				return
			}
			if !yield(Message{native.Uint16(b[4:]), native.Uint16(b[6:]), native.Uint32(b[8:]), b[unix.SizeofNlMsghdr:size]}) {
				return
			}
			b = b[min(len(b), (size+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1)):]
		}
	}
}

// NetfilterAttrs are the attributes of a message of netfilter, after its header.
func NetfilterAttrs(message []byte) iter.Seq2[uint16, []byte] {
	if len(message) < nl.SizeofNfgenmsg {
		return Attrs(nil)
	}
	return Attrs(message[nl.SizeofNfgenmsg:])
}

// Attrs walks over netlink attributes: type without flags, and value.
func Attrs(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			size := int(native.Uint16(b))
			if size < unix.SizeofRtAttr || size > len(b) {
				return
			}
			if !yield(native.Uint16(b[2:])&attrTypeMask, b[unix.SizeofRtAttr:size]) {
				return
			}
			b = b[min(len(b), (size+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1)):]
		}
	}
}

// attrTypeMask leaves out the flags of an attribute's type.
const attrTypeMask = ^uint16(unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)

// Text is a text up to the zero that ends it.
func Text(value []byte) string {
	text, _, _ := bytes.Cut(value, []byte{0})
	return string(text)
}

// Byte reads the first one, 0 where there is none.
func Byte(b []byte) uint8 {
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// Uint16, Uint32 and Port read a number, 0 where the value is too short. A port is in
// network byte order.
func Uint16(b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return native.Uint16(b)
}

// Uint32 is described with Uint16.
func Uint32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return native.Uint32(b)
}

// Port is described with Uint16.
func Port(b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

// IPv4 reads the IPv4 address of a union nf_inet_addr.
func IPv4(b []byte) netip.Addr {
	if len(b) < 4 {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte(b))
}
