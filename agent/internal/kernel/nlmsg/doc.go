// Package nlmsg puts netlink messages together, sends many at once and reads them,
// without a copy of what the kernel answers. The packages for ipset, IPVS, conntrack,
// nf_tables and events share it; links, routes and neighbours go through the netlink
// library, which makes two system calls and a dozen allocations for each request.
//
// The layout of messages and attributes is that of include/uapi/linux/netlink.h.
// GetSockopt is here as well: what is older than netlink is asked that way.
package nlmsg
