package conntrack

import (
	"errors"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
)

// Flow is what conntrack knows of one connection. An entry is there once its first
// packet has passed every chain of the namespace (nf_conntrack_confirm).
type Flow struct {
	// AnsweredFrom is where its answers come from, AnsweredTo where they go to: other
	// addresses than it was begun with when it is translated.
	AnsweredFrom, AnsweredTo netip.AddrPort
	// Answered says that an answer has come.
	Answered bool
}

// Find looks for a tcp connection by the addresses that its first packet had.
func Find(ns netns.Handle, from, to netip.AddrPort) (Flow, bool, error) {
	c, err := open(ns)
	if err != nil {
		return Flow{}, false, err
	}
	defer c.close()
	// The answer is marked as one of many (ctnetlink_fill_info): only the
	// acknowledgement says that it was the last.
	req := c.request(nl.IPCTNL_MSG_CT_GET, unix.NLM_F_ACK)
	req.AddData(tcpTuple(from, to))
	messages, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	if errors.Is(err, unix.ENOENT) {
		return Flow{}, false, nil
	}
	if err != nil {
		return Flow{}, false, err
	}
	for _, message := range messages {
		if e, ok := parse(message, true); ok && e.from == from && e.to == to {
			return Flow{AnsweredFrom: e.answeredFrom, AnsweredTo: e.answeredTo, Answered: answered(message)}, true, nil
		}
	}
	return Flow{}, false, nil
}

// tcpTuple is CTA_TUPLE_ORIG of a tcp connection.
func tcpTuple(from, to netip.AddrPort) *nl.RtAttr {
	tuple := nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_ORIG, nil)
	ip := tuple.AddRtAttr(unix.NLA_F_NESTED|tupleIP, nil)
	ip.AddRtAttr(addressFrom, from.Addr().AsSlice())
	ip.AddRtAttr(addressTo, to.Addr().AsSlice())
	proto := tuple.AddRtAttr(unix.NLA_F_NESTED|tupleProto, nil)
	proto.AddRtAttr(protocolNumberAttr, nl.Uint8Attr(unix.IPPROTO_TCP))
	proto.AddRtAttr(protocolSrc, nl.BEUint16Attr(from.Port()))
	proto.AddRtAttr(protocolDst, nl.BEUint16Attr(to.Port()))
	return tuple
}

// answered reads IPS_SEEN_REPLY.
func answered(message []byte) bool {
	const seenReply = 1 << 1 // enum ip_conntrack_status
	for typ, value := range nlmsg.NetfilterAttrs(message) {
		if typ == nl.CTA_STATUS && len(value) == 4 {
			return value[3]&seenReply != 0 // it is big-endian
		}
	}
	return false
}
