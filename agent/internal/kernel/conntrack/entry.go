package conntrack

import (
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
)

// entry is one of conntrack: who began it, to where, from where it is answered,
// and to where the answer goes.
type entry struct {
	tcp                                bool // else it is udp
	from, to, answeredFrom, answeredTo netip.AddrPort
}

// Of include/uapi/linux/netfilter/nfnetlink_conntrack.h.
const (
	tupleIP, tupleProto                          = 1, 2
	addressFrom, addressTo                       = 1, 2
	protocolNumberAttr, protocolSrc, protocolDst = 1, 2, 3
)

// parse reads an entry of udp, or of tcp as well; false for anything else, and
// for one of another zone, which is somebody else's.
func parse(message []byte, tcp bool) (e entry, ok bool) {
	for typ, value := range nlmsg.NetfilterAttrs(message) {
		switch typ {
		case nl.CTA_TUPLE_ORIG:
			var protocol byte
			e.from, e.to, protocol = parseTuple(value)
			e.tcp = protocol == unix.IPPROTO_TCP
			ok = protocol == unix.IPPROTO_UDP || e.tcp && tcp
		case nl.CTA_TUPLE_REPLY:
			e.answeredFrom, e.answeredTo, _ = parseTuple(value)
		case nl.CTA_ZONE:
			return entry{}, false
		}
		if !ok && typ == nl.CTA_TUPLE_ORIG {
			return entry{}, false // before the rest is read
		}
	}
	return e, ok
}

func parseTuple(tuple []byte) (from, to netip.AddrPort, protocol byte) {
	var addrs [2]netip.Addr
	var ports [2]uint16
	for typ, value := range nlmsg.Attrs(tuple) {
		for what, v := range nlmsg.Attrs(value) {
			switch {
			case typ == tupleIP && (what == addressFrom || what == addressTo):
				addrs[what-addressFrom] = nlmsg.IPv4(v)
			case typ == tupleProto && what == protocolNumberAttr:
				if len(v) > 0 {
					protocol = v[0]
				}
			case typ == tupleProto && (what == protocolSrc || what == protocolDst):
				ports[what-protocolSrc] = nlmsg.Port(v)
			}
		}
	}
	return netip.AddrPortFrom(addrs[0], ports[0]), netip.AddrPortFrom(addrs[1], ports[1]), protocol
}
