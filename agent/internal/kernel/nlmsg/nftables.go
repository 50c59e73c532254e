package nlmsg

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
)

// OpenNFTables opens a socket for nf_tables in the namespace, for one call: its deadline is
// netns.NetlinkTimeout from now. The caller closes it with CloseLasting. socket is the same
// one, for what the library has no words for.
func OpenNFTables(s *netns.Space) (c *nftables.Conn, socket *netlink.Conn, err error) {
	c, err = nftables.New(nftables.AsLasting(), nftables.WithNetNSFd(int(s.NS)), nftables.WithSockOptions(func(c *netlink.Conn) error {
		socket = c
		return c.SetDeadline(time.Now().Add(netns.NetlinkTimeout))
	}))
	if err != nil {
		return nil, nil, fmt.Errorf("open a netlink socket for nf_tables: %w", err)
	}
	return c, socket, nil
}

// LacksNFTables says that an error is the answer of a kernel without nf_tables, which has no
// subsystem of the number, or without what was asked of it.
func LacksNFTables(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT)
}
