package route

import (
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// protocol marks our routes (`ip route` shows "proto 210"): a person, and a
// routing daemon, sees that they are somebody's. What makes a route ours is its
// link or its table, so that one which lost the mark is still seen.
const protocol = 210

// Observe reads the routes on our links, and all of our tables. In the mesh's namespace
// every route is ours, but for those that the kernel makes of addresses. names are those
// of all links in the namespace by index.
func Observe(space *netns.Space, ns state.NS, links []string, names map[int]string, into state.State) error {
	tables := []int{unix.RT_TABLE_UNSPEC} // all
	if ns == state.Host {
		tables = []int{state.MainTable, state.Table, state.LocalTable}
	}
	for _, table := range tables {
		routes, err := nlmsg.List("routes", func() ([]netlink.Route, error) {
			return space.Netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return err
		}
		for _, route := range routes {
			link := names[route.LinkIndex]
			ours := table == state.Table || ns == state.Mesh || slices.Contains(links, link)
			if ours && route.Protocol != unix.RTPROT_KERNEL {
				putPreferred(into, routeOf(ns, route, link), route.Priority)
			}
		}
	}
	return nil
}

// putPreferred leaves out a route that another one to the same destination hides.
// Ours have metric 0, which no other hides.
func putPreferred(into state.State, r state.Route, metric int) {
	if _, hidden := into[r.Key()]; !hidden || metric == 0 {
		into.Put(r)
	}
}

func routeOf(ns state.NS, r netlink.Route, link string) state.Route {
	return state.Route{
		NS:     ns,
		Table:  r.Table,
		Dst:    nlmsg.ToPrefix(r.Dst),
		Via:    nlmsg.ToAddr(r.Gw),
		Dev:    link,
		Src:    nlmsg.ToAddr(r.Src),
		OnLink: r.Flags&unix.RTNH_F_ONLINK != 0,

		Unreachable: r.Type == unix.RTN_UNREACHABLE,
		Local:       r.Type == unix.RTN_LOCAL,
	}
}

// Put replaces whatever goes to the same destination in the same table: there is no
// moment without a route. via is the link that it leads over.
func Put(space *netns.Space, via netlink.Link, r state.Route) error {
	request := netlink.Route{
		Table:     r.Table,
		Dst:       nlmsg.ToIPNet(r.Dst),
		Gw:        r.Via.AsSlice(),
		LinkIndex: via.Attrs().Index,
		Src:       r.Src.AsSlice(),
		Protocol:  protocol,
	}
	if !r.Via.IsValid() {
		// A gateway must be reached through a narrower scope than its own
		// route's (fib_check_nh): so say that this is the link itself.
		request.Scope = unix.RT_SCOPE_LINK
	}
	if r.Local {
		request.Type, request.Scope = unix.RTN_LOCAL, unix.RT_SCOPE_HOST
	}
	if r.OnLink {
		request.Flags = unix.RTNH_F_ONLINK
	}
	return space.Netlink.RouteReplace(&request)
}

// PutUnreachable is Put for a route that leads nowhere.
func PutUnreachable(space *netns.Space, r state.Route) error {
	return space.Netlink.RouteReplace(&netlink.Route{Table: r.Table, Dst: nlmsg.ToIPNet(r.Dst), Type: unix.RTN_UNREACHABLE, Protocol: protocol})
}

// Remove removes a route that may be gone.
func Remove(space *netns.Space, r state.Route) error {
	request := netlink.Route{Table: r.Table, Dst: nlmsg.ToIPNet(r.Dst), Gw: r.Via.AsSlice(), Scope: unix.RT_SCOPE_NOWHERE}
	if r.Dev != "" {
		l, err := space.Link(r.Dev)
		if err != nil || l == nil { // its routes went with it
			return err
		}
		request.LinkIndex = l.Attrs().Index
	}
	return nlmsg.Ignore(space.Netlink.RouteDel(&request), unix.ESRCH)
}
