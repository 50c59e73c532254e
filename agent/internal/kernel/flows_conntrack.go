package kernel

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/program"
)

// conntrack asks for the entries of one namespace. netlink can as well, but reads
// each one whole, which takes a second with a few hundred thousand; the kernel
// sends all of them whatever is asked for, and most are not of udp.
type conntrack struct{ socket map[int]*nl.SocketHandle }

func openConntrack(ns netns.Handle) (*conntrack, error) {
	s, err := nlmsg.Socket(ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket for conntrack: %w", err)
	}
	return &conntrack{map[int]*nl.SocketHandle{unix.NETLINK_NETFILTER: {Socket: s}}}, nil
}

func (c *conntrack) close() { c.socket[unix.NETLINK_NETFILTER].Close() }

func (c *conntrack) request(command, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|command, flags)
	req.Sockets = c.socket
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_INET, Version: nl.NFNETLINK_V0})
	return req
}

// find returns the entries of udp, or of tcp as well, that match, as the kernel has
// sent them.
func (c *conntrack) find(tcp bool, match func(flow) bool) ([][]byte, error) {
	return nlmsg.List("the connections that conntrack knows", func() (found [][]byte, err error) {
		err = c.request(nl.IPCTNL_MSG_CT_GET, unix.NLM_F_DUMP).ExecuteIter(unix.NETLINK_NETFILTER, 0, func(message []byte) bool {
			if f, ok := parseFlow(message, tcp); ok && match(f) {
				found = append(found, message)
			}
			return true
		})
		return found, err
	})
}

// remove deletes an entry by what find has returned: its original tuple and its
// id, so that one that has been made anew since stays.
func (c *conntrack) remove(message []byte) error {
	req := c.request(nl.IPCTNL_MSG_CT_DELETE, unix.NLM_F_ACK)
	req.AddRawData(message[nl.SizeofNfgenmsg:])
	_, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	return nlmsg.Ignore(err, unix.ENOENT)
}

// deleteFlows deletes the entries of a namespace that match, of udp or of tcp as well.
func deleteFlows(ns netns.Handle, tcp bool, match func(flow) bool) error {
	c, err := openConntrack(ns)
	if err != nil {
		return err
	}
	defer c.close()
	stale, err := c.find(tcp, match)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		err = fmt.Errorf("the kernel does not let conntrack be read (modprobe nf_conntrack_netlink; %s): %w", program.ExtraModules, err)
	}
	for _, message := range stale {
		err = errors.Join(err, c.remove(message))
	}
	return err
}

// Of include/uapi/linux/netfilter/nfnetlink_conntrack.h.
const (
	tupleIP, tupleProto                          = 1, 2
	addressFrom, addressTo                       = 1, 2
	protocolNumberAttr, protocolSrc, protocolDst = 1, 2, 3
)

// parseFlow reads an entry of udp, or of tcp as well; false for anything else, and
// for one of another zone, which is somebody else's.
func parseFlow(message []byte, tcp bool) (f flow, ok bool) {
	for typ, value := range nlmsg.NetfilterAttrs(message) {
		switch typ {
		case nl.CTA_TUPLE_ORIG:
			var protocol byte
			f.from, f.to, protocol = parseTuple(value)
			f.tcp = protocol == unix.IPPROTO_TCP
			ok = protocol == unix.IPPROTO_UDP || f.tcp && tcp
		case nl.CTA_TUPLE_REPLY:
			f.answeredFrom, f.answeredTo, _ = parseTuple(value)
		case nl.CTA_ZONE:
			return flow{}, false
		}
		if !ok && typ == nl.CTA_TUPLE_ORIG {
			return flow{}, false // before the rest is read
		}
	}
	return f, ok
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
