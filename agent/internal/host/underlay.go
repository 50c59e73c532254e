package host

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// An address on lo or on a dummy, as routers and hosts with several uplinks have it,
// says nothing about what carries its packets: lo's MTU is 65536.

// carries says whether packets to other hosts leave by a link. VLAN, bond, bridge
// and tunnels do, with the MTU that they have themselves.
func carries(l netlink.Link) bool {
	return l.Attrs().RawFlags&unix.IFF_LOOPBACK == 0 && l.Type() != "dummy"
}

// behind is the MTU of what carries the packets of an address that is on no link
// which does: that of the default route, or else the smallest of the links with
// addresses; 0 when there is none of either.
func behind(links []netlink.Link, defaults []netlink.Route, addressed map[string]bool) int {
	smallest := 0
	take := func(mtu int) {
		if mtu > 0 && (smallest == 0 || mtu < smallest) {
			smallest = mtu
		}
	}
	byIndex := map[int]int{}
	for _, l := range links {
		byIndex[l.Attrs().Index] = l.Attrs().MTU
	}
	for _, r := range defaults {
		take(r.MTU)
		take(byIndex[r.LinkIndex])
		for _, hop := range r.MultiPath {
			take(byIndex[hop.LinkIndex])
		}
	}
	if smallest > 0 {
		return smallest
	}
	for _, l := range links {
		if carries(l) && addressed[l.Attrs().Name] && l.Attrs().Name != state.HostLink {
			take(l.Attrs().MTU)
		}
	}
	return smallest
}

// correctMTUs puts what carries their packets into the interfaces that do not.
func correctMTUs(interfaces []mesh.Interface) error {
	links, err := retry(netlink.LinkList)
	if err != nil {
		return fmt.Errorf("list the links: %w", err)
	}
	idle, addressed := map[string]bool{}, map[string]bool{}
	for _, l := range links {
		idle[l.Attrs().Name] = !carries(l)
	}
	some := false
	for _, i := range interfaces {
		some = some || idle[i.Name]
		addressed[i.Name] = true
	}
	if !some {
		return nil
	}
	defaults, err := defaultRoutes()
	if err != nil {
		return err
	}
	mtu := behind(links, defaults, addressed)
	for i := range interfaces {
		if idle[interfaces[i].Name] && mtu > 0 {
			interfaces[i].MTU = min(interfaces[i].MTU, mtu)
		}
	}
	return nil
}

// defaultRoutes are those of the main table.
func defaultRoutes() ([]netlink.Route, error) {
	all, err := retry(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list the routes: %w", err)
	}
	var defaults []netlink.Route
	for _, r := range all {
		if isDefault(r) {
			defaults = append(defaults, r)
		}
	}
	return defaults, nil
}

func isDefault(r netlink.Route) bool {
	if r.Type != unix.RTN_UNICAST {
		return false
	}
	if r.Dst == nil {
		return true
	}
	ones, _ := r.Dst.Mask.Size()
	return ones == 0
}

// path is how packets from one address to another leave the host.
type path struct {
	link string
	mtu  int // the link's, or the route's where that is smaller
}

// pathTo asks the kernel. Without a route there is nothing to say.
func pathTo(from, to netip.Addr) (path, bool) {
	routes, err := netlink.RouteGetWithOptions(to.AsSlice(), &netlink.RouteGetOptions{SrcAddr: from.AsSlice()})
	if err != nil || len(routes) == 0 || routes[0].Type == unix.RTN_LOCAL {
		return path{}, false
	}
	l, err := netlink.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return path{}, false
	}
	p := path{link: l.Attrs().Name, mtu: l.Attrs().MTU}
	if m := routes[0].MTU; m > 0 {
		p.mtu = min(p.mtu, m)
	}
	return p, true
}

// checkUnderlayMTU finds a path that carries less than the overlay needs: a link
// that became smaller after the join, when its MTU went into the record, or another
// one than that of the node's address.
func (h *Host) checkUnderlayMTU(c *check) {
	need := c.next.MTU() + mesh.VXLANOverhead
	where, least := "", path{}
	for _, name := range c.next.NodeNames() {
		if name == c.self.Name {
			continue
		}
		peer := c.next.Nodes[name].Address
		if p, ok := pathTo(c.self.Address, peer); ok && (where == "" || p.mtu < least.mtu) {
			where, least = fmt.Sprintf("The route to node %s (%s) leaves by the link %s with", name, peer, p.link), p
		}
	}
	if where == "" {
		facts, err := h.Facts()
		if err != nil {
			return // checkOwnAddress has said so
		}
		link, ok := facts.LinkOf(c.self.Address)
		if !ok {
			return
		}
		where, least = fmt.Sprintf("What carries the packets of the node's address (on the link %s) has", link.Name), path{link.Name, link.MTU}
	}
	if least.mtu < need {
		c.node(mesh.ProblemMTU, "", "%s mtu %d, and the overlay's mtu %d needs %d: large packets are lost or go in pieces. "+
			"Raise the MTU of that link or route, or set mtu = %d on the cluster.", where, least.mtu, c.next.MTU(), need, least.mtu-mesh.VXLANOverhead)
	}
}
