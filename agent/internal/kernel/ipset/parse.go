package ipset

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

func elements(header []byte) (n uint32) {
	for typ, value := range nlmsg.Attrs(header) {
		if typ == nl.IPSET_ATTR_ELEMENTS && len(value) == 4 {
			n = binary.BigEndian.Uint32(value)
		}
	}
	return n
}

// parse reads one message of a list of the set.
func parse(set *state.Set, message []byte, each func(state.SetMember)) {
	both := state.BothProtocols(set.Name)
	for typ, value := range nlmsg.NetfilterAttrs(message) {
		switch typ {
		case nl.IPSET_ATTR_TYPENAME:
			set.Type = setType(value)
		case nl.IPSET_ATTR_DATA:
			if set.Type == state.HashIP && flags(value)&nl.IPSET_FLAG_WITH_SKBINFO != 0 {
				set.Type = state.HashIPSkbinfo
			}
			set.Fault = setFault(value)
		case nl.IPSET_ATTR_ADT:
			for _, entry := range nlmsg.Attrs(value) {
				if m, ours := memberOf(*set, both, entry); ours {
					each(m)
				}
			}
		}
	}
}

var setTypes = state.SetTypes()

// flags are those of a set's header.
func flags(header []byte) (flags uint32) {
	for typ, value := range nlmsg.Attrs(header) {
		if typ == nl.IPSET_ATTR_CADT_FLAGS && len(value) == 4 {
			flags = binary.BigEndian.Uint32(value)
		}
	}
	return flags
}

func setType(value []byte) state.SetType {
	for _, ours := range setTypes {
		if string(value[:max(0, len(value)-1)]) == string(ours) {
			return ours
		}
	}
	return state.SetType(nlmsg.Text(value))
}

// setFault finds what a set made by somebody else may have differently.
func setFault(header []byte) string {
	from, to := uint16(0), uint16(65535)
	for typ, value := range nlmsg.Attrs(header) {
		switch typ {
		case nl.IPSET_ATTR_TIMEOUT:
			return "its members time out"
		case nl.IPSET_ATTR_PORT_FROM:
			from = nlmsg.Port(value)
		case nl.IPSET_ATTR_PORT_TO:
			to = nlmsg.Port(value)
		}
	}
	if from != 0 || to != 65535 {
		return fmt.Sprintf("only for ports %d-%d", from, to)
	}
	return ""
}

// memberOf is false for a member of a protocol that is not the set's: it is of no effect.
// both says that the set has members of tcp and of udp.
func memberOf(set state.Set, both bool, entry []byte) (m state.SetMember, ours bool) {
	m, ours = state.SetMember{NS: set.NS, Set: set.Name}, true
	protocol := uint8(unix.IPPROTO_TCP)
	for typ, value := range nlmsg.Attrs(entry) {
		switch typ {
		case nl.IPSET_ATTR_PORT:
			m.Port = nlmsg.Port(value)
		case nl.IPSET_ATTR_IP:
			for _, ip := range nlmsg.Attrs(value) {
				m.Addr, _ = netip.AddrFromSlice(ip)
			}
		case nl.IPSET_ATTR_CIDR:
			m.Bits = nlmsg.Byte(value)
		case nl.IPSET_ATTR_PROTO:
			protocol = nlmsg.Byte(value)
		case nl.IPSET_ATTR_MARK, nl.IPSET_ATTR_SKBMARK: // the latter with its mask
			if len(value) >= 4 {
				m.Mark = binary.BigEndian.Uint32(value)
			}
		}
	}
	switch {
	case m.Bits == 0 && m.Set != state.OpenSet:
	case both && protocol == unix.IPPROTO_TCP:
		m.Proto = "tcp"
	case both && protocol == unix.IPPROTO_UDP:
		m.Proto = "udp"
	default:
		ours = !both && protocol == protocolOf(m)
	}
	return m, ours
}
