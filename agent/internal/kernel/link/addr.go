package link

import (
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// ObserveAddrs reads the addresses on links of ours, names being those of all links in the
// namespace by index.
func ObserveAddrs(space *netns.Space, ns state.NS, links []string, names map[int]string, into state.State) error {
	addrs, err := nlmsg.List("addresses", func() ([]netlink.Addr, error) { return space.Netlink.AddrList(nil, unix.AF_INET) })
	if err != nil {
		return err
	}
	for _, a := range addrs {
		link := names[a.LinkIndex]
		// The kernel gives lo 127.0.0.1 when it comes up.
		if slices.Contains(links, link) && !a.IP.IsLoopback() {
			into.Put(state.Addr{NS: ns, Link: link, Prefix: nlmsg.ToPrefix(a.IPNet)})
		}
	}
	return nil
}

// PutAddr adds an address that may be there already.
func PutAddr(space *netns.Space, on netlink.Link, a state.Addr) error {
	return nlmsg.Ignore(space.Netlink.AddrAdd(on, &netlink.Addr{IPNet: nlmsg.ToIPNet(a.Prefix)}), unix.EEXIST)
}

// RemoveAddr removes an address that may be gone.
func RemoveAddr(space *netns.Space, on netlink.Link, a state.Addr) error {
	return nlmsg.Ignore(space.Netlink.AddrDel(on, &netlink.Addr{IPNet: nlmsg.ToIPNet(a.Prefix)}), unix.EADDRNOTAVAIL)
}

// AddrLink is the link in the body of an RTM_NEWADDR or RTM_DELADDR, 0 where it is too
// short.
func AddrLink(b []byte) uint32 {
	if len(b) < unix.SizeofIfAddrmsg {
		return 0
	}
	return nlmsg.Uint32(b[4:])
}
