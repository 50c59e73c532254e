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
	_, both := state.PairOfSet(set.Name)
	for typ, value := range nlmsg.NetfilterAttrs(message) {
		switch typ {
		case nl.IPSET_ATTR_TYPENAME:
			set.Type = setType(value)
		case nl.IPSET_ATTR_DATA:
			set.Fault = setFault(value)
		case nl.IPSET_ATTR_ADT:
			for _, entry := range nlmsg.Attrs(value) {
				if m, ours := memberOf(set.Name, both, entry); ours {
					each(m)
				}
			}
		}
	}
}

func setType(value []byte) state.SetType {
	for _, ours := range [...]state.SetType{state.BitmapPort, state.HashIP, state.HashNetPort} {
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
func memberOf(set string, both bool, entry []byte) (m state.SetMember, ours bool) {
	m, ours = state.SetMember{Set: set}, true
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
		}
	}
	switch {
	case m.Bits == 0:
	case both && protocol == unix.IPPROTO_TCP:
		m.Proto = "tcp"
	case both && protocol == unix.IPPROTO_UDP:
		m.Proto = "udp"
	default:
		ours = !both && protocol == protocolOf(m)
	}
	return m, ours
}
