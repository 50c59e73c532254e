package kernel

import (
	"context"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// routeProtocol marks our routes (`ip route` shows "proto 210"): a person, and a
// routing daemon, sees that they are somebody's. What makes a route ours is its
// link or its table, so that one which lost the mark is still seen.
const routeProtocol = 210

var routeHandler = newHandler((*Kernel).observeRoutes, (*Kernel).putRoute, (*Kernel).removeRoute)

// observeRoutes reads the routes on our links, and all of our table. In the
// mesh's namespace every route is ours, but for those that the kernel makes of
// addresses.
func (k *Kernel) observeRoutes(_ context.Context, r *view) error {
	tables := []int{state.MainTable}
	if r.ns == state.Host {
		tables = append(tables, state.Table)
	}
	for _, table := range tables {
		routes, err := nlmsg.List("routes", func() ([]netlink.Route, error) {
			return r.space.Netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return err
		}
		for _, route := range routes {
			link := r.names[route.LinkIndex]
			ours := table == state.Table || r.ns == state.Mesh || slices.Contains(r.links, link)
			if ours && route.Protocol != unix.RTPROT_KERNEL {
				putPreferred(r.into, routeOf(r.ns, route, link), route.Priority)
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
	}
}

// putRoute replaces whatever goes to the same destination in the same table:
// there is no moment without a route.
func (k *Kernel) putRoute(_ context.Context, _ state.Object, r state.Route) error {
	s, l, err := k.needLink(r.NS, r.Dev)
	if err != nil {
		return err
	}
	request := netlink.Route{
		Table:     r.Table,
		Dst:       nlmsg.ToIPNet(r.Dst),
		Gw:        r.Via.AsSlice(),
		LinkIndex: l.Attrs().Index,
		Src:       r.Src.AsSlice(),
		Protocol:  routeProtocol,
	}
	if !r.Via.IsValid() {
		// A gateway must be reached through a narrower scope than its own
		// route's (fib_check_nh): so say that this is the link itself.
		request.Scope = unix.RT_SCOPE_LINK
	}
	if r.OnLink {
		request.Flags = unix.RTNH_F_ONLINK
	}
	return s.Netlink.RouteReplace(&request)
}

func (k *Kernel) removeRoute(_ context.Context, r state.Route) error {
	s, err := k.space(r.NS)
	if err != nil || s == nil {
		return err
	}
	request := netlink.Route{Table: r.Table, Dst: nlmsg.ToIPNet(r.Dst), Gw: r.Via.AsSlice(), Scope: unix.RT_SCOPE_NOWHERE}
	if r.Dev != "" {
		l, err := s.Link(r.Dev)
		if err != nil || l == nil { // its routes went with it
			return err
		}
		request.LinkIndex = l.Attrs().Index
	}
	return nlmsg.Ignore(s.Netlink.RouteDel(&request), unix.ESRCH)
}

var ruleHandler = newHandler((*Kernel).observeRules, (*Kernel).putRule, (*Kernel).removeRule)

// observeRules reads the policy rules of our priority.
func (k *Kernel) observeRules(_ context.Context, r *view) error {
	if r.ns != state.Host {
		return nil
	}
	rules, err := nlmsg.List("policy rules", func() ([]netlink.Rule, error) {
		return k.host.Netlink.RuleListFiltered(unix.AF_INET, &netlink.Rule{Priority: state.RulePriority}, netlink.RT_FILTER_PRIORITY)
	})
	if err != nil {
		return err
	}
	for _, rule := range rules {
		r.into.Put(state.Rule{From: ruleFrom(rule), Table: rule.Table, Priority: rule.Priority})
	}
	return nil
}

func ruleFrom(r netlink.Rule) netip.Addr {
	if r.Src == nil {
		return netip.Addr{}
	}
	return nlmsg.ToAddr(r.Src.IP)
}

// putRule adds the new version before it removes the old one.
func (k *Kernel) putRule(ctx context.Context, old state.Object, r state.Rule) error {
	if err := nlmsg.Ignore(k.host.Netlink.RuleAdd(ruleRequest(r)), unix.EEXIST); err != nil {
		return err
	}
	if was, ok := old.(state.Rule); ok && was != r {
		return k.removeRule(ctx, was)
	}
	return nil
}

func (k *Kernel) removeRule(_ context.Context, r state.Rule) error {
	return nlmsg.Ignore(k.host.Netlink.RuleDel(ruleRequest(r)), unix.ENOENT)
}

func ruleRequest(r state.Rule) *netlink.Rule {
	request := netlink.NewRule()
	request.Family, request.Table, request.Priority = unix.AF_INET, r.Table, r.Priority
	if r.From.IsValid() {
		request.Src = nlmsg.ToIPNet(netip.PrefixFrom(r.From, r.From.BitLen()))
	}
	return request
}
