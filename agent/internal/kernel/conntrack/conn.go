package conntrack

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/program"
)

// conn asks for the entries of one namespace. netlink can as well, but reads
// each one whole, which takes a second with a few hundred thousand; the kernel
// sends all of them whatever is asked for, and most are not of udp.
type conn struct{ socket map[int]*nl.SocketHandle }

func open(ns netns.Handle) (*conn, error) {
	s, err := nlmsg.Socket(ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket for conntrack: %w", err)
	}
	return &conn{map[int]*nl.SocketHandle{unix.NETLINK_NETFILTER: {Socket: s}}}, nil
}

func (c *conn) close() { c.socket[unix.NETLINK_NETFILTER].Close() }

func (c *conn) request(command, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|command, flags)
	req.Sockets = c.socket
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_INET, Version: nl.NFNETLINK_V0})
	return req
}

// find returns the entries of udp, or of tcp as well, that match, as the kernel has
// sent them.
func (c *conn) find(tcp bool, match func(entry) bool) ([][]byte, error) {
	return nlmsg.List("the connections that conntrack knows", func() (found [][]byte, err error) {
		err = c.request(nl.IPCTNL_MSG_CT_GET, unix.NLM_F_DUMP).ExecuteIter(unix.NETLINK_NETFILTER, 0, func(message []byte) bool {
			if f, ok := parse(message, tcp); ok && match(f) {
				found = append(found, message)
			}
			return true
		})
		return found, err
	})
}

// remove deletes an entry by what find has returned: its original tuple and its
// id, so that one that has been recreated since stays.
func (c *conn) remove(message []byte) error {
	req := c.request(nl.IPCTNL_MSG_CT_DELETE, unix.NLM_F_ACK)
	req.AddRawData(message[nl.SizeofNfgenmsg:])
	_, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	return nlmsg.Ignore(err, unix.ENOENT)
}

// deleteEntries deletes the entries of a namespace that match, of udp or of tcp as well.
func deleteEntries(ns netns.Handle, tcp bool, match func(entry) bool) error {
	c, err := open(ns)
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
