// Package link reads and writes the links of the mesh, and what is on them by itself: the
// veth pair between the host and the mesh's namespace, the overlay's VXLAN device, and
// addresses.
//
// It uses rtnetlink (RTM_NEWLINK, RTM_NEWADDR), through the netlink library but for what
// that cannot say (makeVXLAN). That a deleted namespace lets go of its links a little later
// is of cleanup_net in net/core/net_namespace.c; where a VXLAN device has its socket, of
// vxlan_config_apply in drivers/net/vxlan/vxlan_core.c.
package link
