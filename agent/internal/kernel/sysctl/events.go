package sysctl

import (
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
)

const netconfIfindex = 1 // NETCONFA_IFINDEX of include/uapi/linux/netconf.h

// AllLinks is what NetconfLink says of a setting of all links, as net.ipv4.ip_forward is.
const AllLinks = ^uint32(0) // NETCONFA_IFINDEX_ALL

// NetconfLink is the link whose settings (forwarding, rp_filter; not all of them tell) have
// changed, 0 when the body of the RTM_NEWNETCONF does not say.
func NetconfLink(b []byte) uint32 {
	const header = unix.NLMSG_ALIGNTO // struct netconfmsg is one byte
	if len(b) < header || b[0] != unix.AF_INET {
		return 0
	}
	for typ, value := range nlmsg.Attrs(b[header:]) {
		if typ == netconfIfindex && len(value) == 4 {
			return nlmsg.Uint32(value)
		}
	}
	return 0
}
