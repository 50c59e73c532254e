package kernel

import (
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// hostGroups are without neighbours: those in the host's namespace are not ours.
func hostGroups() []int {
	return []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV4_NETCONF}
}

// meshGroups have FDB entries with the neighbours, as those of AF_BRIDGE.
func meshGroups() []int { return append(hostGroups(), unix.RTNLGRP_NEIGH) }

// hostMessage takes what is on our link, in our table, or takes the place of a
// route of ours.
func (w *Watch) hostMessage(e *events, m nlmsg.Message) {
	switch m.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if e.link(m, func(name string) bool { return name == state.HostLink }) {
			w.changed()
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if len(m.Body) >= unix.SizeofIfAddrmsg && native.Uint32(m.Body[4:]) == e.links[state.HostLink] {
			w.changed()
		}
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if r, ok := parseRoute(m.Body); ok && w.ourRoute(e, r) {
			w.changed()
		}
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		if ourRule(m.Body) {
			w.changed()
		}
	case unix.RTM_NEWNETCONF:
		if ofLink := netconfLink(m.Body); ofLink == allLinks || ofLink != 0 && ofLink == e.links[state.HostLink] {
			w.changed()
		}
	}
}

// From linux/netconf.h: NETCONFA_IFINDEX, and its value for what is of all links,
// as net.ipv4.ip_forward is.
const (
	netconfIfindex = 1
	allLinks       = ^uint32(0) // NETCONFA_IFINDEX_ALL
)

// netconfLink is the link whose settings (forwarding, rp_filter; not all of them
// tell) have changed, 0 when the message does not say.
func netconfLink(b []byte) uint32 {
	const header = unix.NLMSG_ALIGNTO // struct netconfmsg is one byte
	if len(b) < header || b[0] != unix.AF_INET {
		return 0
	}
	for typ, value := range nlmsg.Attrs(b[header:]) {
		if typ == netconfIfindex && len(value) == 4 {
			return native.Uint32(value)
		}
	}
	return 0
}

func (w *Watch) ourRoute(e *events, r routeMessage) bool {
	if r.table == state.Table || r.link != 0 && r.link == e.links[state.HostLink] {
		return true
	}
	found := w.kernel.seen.Load()
	return r.table == state.MainTable && found != nil && found.routes[r.dst]
}

// meshMessage takes all there is in our namespace, but for the neighbours of lo.
func (w *Watch) meshMessage(e *events, m nlmsg.Message) {
	switch m.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		e.link(m, func(string) bool { return true })
		w.changed()
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		if len(m.Body) < unix.SizeofNdMsg || m.Body[0] == unix.AF_INET6 {
			return
		}
		if m.Body[0] == unix.AF_BRIDGE || slices.Contains([]uint32{e.links[state.OverlayLink], e.links[state.MeshLink]}, native.Uint32(m.Body[4:])) {
			w.changed()
		}
	default:
		w.changed()
	}
}

// link says whether a message is of a link that is, or until now was, wanted; and
// keeps its index.
func (e *events) link(m nlmsg.Message, wanted func(name string) bool) bool {
	if len(m.Body) < unix.SizeofIfInfomsg {
		return false
	}
	index, name := native.Uint32(m.Body[4:]), ""
	for typ, value := range nlmsg.Attrs(m.Body[unix.SizeofIfInfomsg:]) {
		if typ == unix.IFLA_IFNAME {
			name = nl.BytesToString(value)
		}
	}
	was := false
	for other, i := range e.links {
		if i == index {
			was = true
			delete(e.links, other)
		}
	}
	if m.Type == unix.RTM_NEWLINK && wanted(name) {
		e.links[name] = index
	}
	return was || wanted(name)
}

type routeMessage struct {
	table, link uint32
	dst         netip.Prefix
}

func parseRoute(b []byte) (r routeMessage, ok bool) {
	if len(b) < unix.SizeofRtMsg || b[0] != unix.AF_INET {
		return r, false
	}
	r.table = uint32(b[4])
	dst := netip.IPv4Unspecified()
	for typ, value := range nlmsg.Attrs(b[unix.SizeofRtMsg:]) {
		switch {
		case typ == unix.RTA_DST:
			dst, _ = netip.AddrFromSlice(value)
		case typ == unix.RTA_OIF && len(value) == 4:
			r.link = native.Uint32(value)
		case typ == unix.RTA_TABLE && len(value) == 4:
			r.table = native.Uint32(value)
		}
	}
	r.dst = netip.PrefixFrom(dst, int(b[1]))
	return r, true
}

// ourRule is by priority or table, as observeRules is.
func ourRule(b []byte) bool {
	if len(b) < unix.SizeofRtMsg {
		return false
	}
	for typ, value := range nlmsg.Attrs(b[unix.SizeofRtMsg:]) {
		if (typ == nl.FRA_PRIORITY || typ == nl.FRA_TABLE) && len(value) == 4 &&
			(native.Uint32(value) == state.RulePriority || native.Uint32(value) == state.Table) {
			return true
		}
	}
	return false
}
