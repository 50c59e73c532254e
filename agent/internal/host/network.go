package host

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// hostRoute is a route or an address of the host that is not ours.
type hostRoute struct {
	dst   netip.Prefix
	what  string // "route", "address"
	link  string
	table int
}

func (r hostRoute) String() string {
	s := fmt.Sprintf("%s %s", r.what, r.dst)
	if r.link != "" {
		s += " on " + r.link
	}
	if r.table != unix.RT_TABLE_MAIN && r.what == "route" {
		s += fmt.Sprintf(" (table %d)", r.table)
	}
	return s
}

// dumpRetries is how often a netlink dump is tried that a change of the tables
// has interrupted.
const dumpRetries = 5

// checkPool compares the cluster's pool with every route of the host but its
// default: the mesh's route would take over, or lose to, what goes there now.
func (h *Host) checkPool(c *check) {
	routes, err := hostRoutes()
	if err != nil {
		c.node(mesh.ProblemHostUnread, "", "The host's routes cannot be read: %v.", err)
		return
	}
	for _, r := range routes {
		if overlaps(c.next.Cluster.AddressPool, r.dst) {
			c.node(mesh.ProblemPoolOverlaps, "address", "The cluster's address_pool %s overlaps the %s of this host, so one of the two would lose its traffic. "+
				"Choose an address_pool for the cluster that no node uses (all of RFC 1918 will do).", c.next.Cluster.AddressPool, r)
			return // one is enough to know it
		}
	}
	h.checkResolvers(c)
}

// overlaps leaves out default routes, also those that VPNs write as two halves.
func overlaps(pool, dst netip.Prefix) bool { return dst.Bits() > 1 && pool.Overlaps(dst) }

func hostRoutes() ([]hostRoute, error) {
	names, err := linkNames()
	if err != nil {
		return nil, err
	}
	all, err := retry(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list the routes: %w", err)
	}
	var routes []hostRoute
	for _, r := range all {
		if r.Dst == nil || names[r.LinkIndex] == state.HostLink || names[r.LinkIndex] == state.SelfTestLink || r.Table == state.Table {
			continue
		}
		dst, err := netip.ParsePrefix(r.Dst.String())
		if err != nil || dst.Addr().IsLoopback() {
			continue
		}
		switch r.Type {
		case unix.RTN_UNICAST:
			routes = append(routes, hostRoute{dst, "route", names[r.LinkIndex], r.Table})
		case unix.RTN_LOCAL:
			routes = append(routes, hostRoute{dst, "address", names[r.LinkIndex], r.Table})
		}
	}
	return routes, nil
}

// checkOverlay finds what stands in the way of the VXLAN device.
func (h *Host) checkOverlay(c *check) {
	cluster := c.next.Cluster
	links, err := retry(netlink.LinkList)
	if err != nil {
		c.node(mesh.ProblemHostUnread, "", "The host's links cannot be read: %v.", err)
		return
	}
	for _, l := range links {
		if v, ok := l.(*netlink.Vxlan); ok && v.Port == int(cluster.VXLANPort) {
			c.sharedPort(v)
		}
	}
	byPort, err := h.listeners()
	if err != nil {
		c.node(mesh.ProblemHostUnread, "", "The agent cannot see which ports are in use: %v.", err)
		return
	}
	for _, l := range byPort[mesh.PortKey{Port: cluster.VXLANPort, Protocol: mesh.UDP}] {
		owner := h.owners(map[uint64]bool{l.inode: true})[l.inode]
		if owner.isKernel() {
			continue // another VXLAN's socket: the kernel shares it between VNIs
		}
		c.node(mesh.ProblemOverlayTaken, "cluster_id", "Port %d/udp, the cluster's vxlan_port: %s already listens on %s on this node. Stop it, or choose another vxlan_port for the cluster.",
			cluster.VXLANPort, owner, l.local)
	}
}

// sharedPort judges another VXLAN device on the cluster's port. The kernel gives
// one socket to all that take the same kinds of packets (vxlan_find_sock), and
// tells them apart by VNI.
func (c *check) sharedPort(v *netlink.Vxlan) {
	cluster := c.next.Cluster
	switch {
	case v.VxlanId == int(cluster.VNI) && !v.FlowBased:
		c.node(mesh.ProblemOverlayTaken, "cluster_id", "The VXLAN device %s of this host already uses VNI %d on port %d. Choose another vni or vxlan_port for the cluster, "+
			"or remove the device.", v.Name, cluster.VNI, cluster.VXLANPort)
	case v.FlowBased || v.GBP:
		c.node(mesh.ProblemOverlayTaken, "cluster_id", "The VXLAN device %s of this host has UDP port %d for itself (it takes every VNI, or group policies), so the overlay's cannot share it. "+
			"Choose another vxlan_port for the cluster, or remove the device.", v.Name, cluster.VXLANPort)
	default:
		c.notes = append(c.notes, fmt.Sprintf("The VXLAN device %s (VNI %d) shares UDP port %d with the overlay, which harms neither.", v.Name, v.VxlanId, cluster.VXLANPort))
	}
}

func linkNames() (map[int]string, error) {
	links, err := retry(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list the links: %w", err)
	}
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	return names, nil
}

// retry repeats a dump that was interrupted: its result may lack entries
// (vishvananda/netlink#1018).
func retry[T any](dump func() ([]T, error)) (result []T, err error) {
	for range dumpRetries {
		if result, err = dump(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return result, err
		}
	}
	return result, err
}
