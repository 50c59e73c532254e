package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

func elements(header []byte) (n uint32) {
	for typ, value := range attrs(header) {
		if typ == nl.IPSET_ATTR_ELEMENTS && len(value) == 4 {
			n = binary.BigEndian.Uint32(value)
		}
	}
	return n
}

// parseSet reads one message of a list of the set.
func parseSet(set *state.Set, message []byte, each func(state.SetMember)) {
	for typ, value := range setAttrs(message) {
		switch typ {
		case nl.IPSET_ATTR_TYPENAME:
			set.Type = setType(value)
		case nl.IPSET_ATTR_DATA:
			set.Fault = setFault(value)
		case nl.IPSET_ATTR_ADT:
			for _, entry := range attrs(value) {
				each(memberOf(set.Name, entry))
			}
		}
	}
}

func setType(value []byte) state.SetType {
	for _, ours := range [...]state.SetType{state.BitmapPort, state.HashIP} {
		if string(value[:max(0, len(value)-1)]) == string(ours) {
			return ours
		}
	}
	return state.SetType(textOf(value))
}

// setFault finds what a set made by somebody else may have differently.
func setFault(header []byte) string {
	from, to := uint16(0), uint16(65535)
	for typ, value := range attrs(header) {
		switch typ {
		case nl.IPSET_ATTR_TIMEOUT:
			return "its members time out"
		case nl.IPSET_ATTR_PORT_FROM:
			from = bigEndian16(value)
		case nl.IPSET_ATTR_PORT_TO:
			to = bigEndian16(value)
		}
	}
	if from != 0 || to != 65535 {
		return fmt.Sprintf("only for ports %d-%d", from, to)
	}
	return ""
}

func memberOf(set string, entry []byte) state.SetMember {
	m := state.SetMember{Set: set}
	for typ, value := range attrs(entry) {
		switch typ {
		case nl.IPSET_ATTR_PORT:
			m.Port = bigEndian16(value)
		case nl.IPSET_ATTR_IP:
			for _, ip := range attrs(value) {
				m.Addr, _ = netip.AddrFromSlice(ip)
			}
		}
	}
	return m
}

// textOf is a text up to the zero that ends it.
func textOf(value []byte) string {
	text, _, _ := bytes.Cut(value, []byte{0})
	return string(text)
}

// setAttrs are the attributes of a message, after the netfilter header.
func setAttrs(message []byte) iter.Seq2[uint16, []byte] {
	if len(message) < nl.SizeofNfgenmsg {
		return attrs(nil)
	}
	return attrs(message[nl.SizeofNfgenmsg:])
}

// attrs walks over netlink attributes: type without flags, and value.
func attrs(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			size := int(binary.NativeEndian.Uint16(b))
			if size < unix.SizeofRtAttr || size > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&attrTypeMask, b[unix.SizeofRtAttr:size]) {
				return
			}
			b = b[min(len(b), (size+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1)):]
		}
	}
}
