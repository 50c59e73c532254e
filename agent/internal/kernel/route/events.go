package route

import (
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Message is what an event of a route says.
type Message struct {
	Table, Link uint32
	Dst         netip.Prefix
}

// ParseMessage reads the body of an RTM_NEWROUTE or RTM_DELROUTE; false for IPv6.
func ParseMessage(b []byte) (r Message, ok bool) {
	if len(b) < unix.SizeofRtMsg || b[0] != unix.AF_INET {
		return r, false
	}
	r.Table = uint32(b[4])
	dst := netip.IPv4Unspecified()
	for typ, value := range nlmsg.Attrs(b[unix.SizeofRtMsg:]) {
		switch {
		case typ == unix.RTA_DST:
			dst, _ = netip.AddrFromSlice(value)
		case typ == unix.RTA_OIF && len(value) == 4:
			r.Link = nlmsg.Uint32(value)
		case typ == unix.RTA_TABLE && len(value) == 4:
			r.Table = nlmsg.Uint32(value)
		}
	}
	r.Dst = netip.PrefixFrom(dst, int(b[1]))
	return r, true
}

// IsOurRule reads the body of an RTM_NEWRULE or RTM_DELRULE. A rule is ours by its priority,
// as for ObserveRules, or its table.
func IsOurRule(b []byte) bool {
	if len(b) < unix.SizeofRtMsg {
		return false
	}
	for typ, value := range nlmsg.Attrs(b[unix.SizeofRtMsg:]) {
		if (typ == nl.FRA_PRIORITY || typ == nl.FRA_TABLE) && len(value) == 4 &&
			(nlmsg.Uint32(value) == state.RulePriority || nlmsg.Uint32(value) == state.Table) {
			return true
		}
	}
	return false
}

// Neighbour reads the family and the link in the body of an RTM_NEWNEIGH or RTM_DELNEIGH,
// AF_BRIDGE for FDB entries; 0 where it is too short.
func Neighbour(b []byte) (family byte, link uint32) {
	if len(b) < unix.SizeofNdMsg {
		return 0, 0
	}
	return b[0], nlmsg.Uint32(b[4:])
}
