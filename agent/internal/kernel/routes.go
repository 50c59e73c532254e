package kernel

import (
	"context"
	"errors"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/link"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/route"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/watch"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// What says where packets go.

var (
	routeHandler = newHandler((*Kernel).observeRoutes, (*Kernel).putRoute, (*Kernel).removeRoute).toldBy(routeEvents)
	ruleHandler  = newHandler((*Kernel).observeRules, (*Kernel).putRule, (*Kernel).removeRule).toldBy(ruleEvents)
	neighHandler = newHandler((*Kernel).observeNeighbours, (*Kernel).putNeigh, (*Kernel).removeNeigh).toldBy(neighEvents)
	fdbHandler   = newHandler((*Kernel).observeFDB, (*Kernel).putFDB, (*Kernel).removeFDB).toldBy(fdbEvents)
)

// routeEvents: in the host's namespace also a route of another's is told of that takes the
// place of one of ours.
func routeEvents(k *Kernel, ns state.NS) (watch.Interest, bool) {
	i := watch.Interest{Group: unix.RTNLGRP_IPV4_ROUTE, Types: []uint16{unix.RTM_NEWROUTE, unix.RTM_DELROUTE}}
	if ns == state.Host {
		i.Ours = func(e watch.Event) bool {
			r, ok := route.ParseMessage(e.Body)
			if !ok || r.Table == state.Table || r.Link != 0 && r.Link == e.Links[state.HostLink] {
				return ok
			}
			ours := k.mainRoutes.Load()
			return r.Table == state.MainTable && ours != nil && (*ours)[r.Dst]
		}
	}
	return i, true
}

func ruleEvents(_ *Kernel, ns state.NS) (watch.Interest, bool) {
	i := watch.Interest{Group: unix.RTNLGRP_IPV4_RULE, Types: []uint16{unix.RTM_NEWRULE, unix.RTM_DELRULE}}
	if ns == state.Host {
		i.Ours = func(e watch.Event) bool { return route.IsOurRule(e.Body) }
	}
	return i, true
}

// neighEvents and fdbEvents are of one group. In the host's namespace it is not subscribed
// to, as the neighbours of others come and go there all the time.
func neighEvents(_ *Kernel, ns state.NS) (watch.Interest, bool) {
	return watch.Interest{
		Group: unix.RTNLGRP_NEIGH, Types: []uint16{unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH},
		Ours: func(e watch.Event) bool { // not those of lo
			family, on := route.Neighbour(e.Body)
			return family != unix.AF_INET6 && on != 0 && (on == e.Links[state.OverlayLink] || on == e.Links[state.MeshLink])
		},
	}, ns == state.Mesh
}

func fdbEvents(_ *Kernel, ns state.NS) (watch.Interest, bool) {
	return watch.Interest{
		Group: unix.RTNLGRP_NEIGH, Types: []uint16{unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH},
		Ours: func(e watch.Event) bool {
			family, _ := route.Neighbour(e.Body)
			return family == unix.AF_BRIDGE
		},
	}, ns == state.Mesh
}

func (k *Kernel) observeRoutes(_ context.Context, r *view) error {
	return route.Observe(r.space, r.ns, r.links, r.names, r.into)
}

func (k *Kernel) putRoute(_ context.Context, _ state.Object, r state.Route) error {
	if r.Unreachable {
		s, err := k.needSpace(r.NS)
		if err != nil {
			return err
		}
		return route.PutUnreachable(s, r)
	}
	s, l, err := k.needLink(r.NS, r.Dev)
	if err != nil {
		return err
	}
	return route.Put(s, l, r)
}

func (k *Kernel) removeRoute(_ context.Context, r state.Route) error {
	s, err := k.space(r.NS)
	if err != nil || s == nil {
		return err
	}
	return route.Remove(s, r)
}

func (k *Kernel) observeRules(_ context.Context, r *view) error {
	return route.ObserveRules(r.space, r.ns, r.into)
}

func (k *Kernel) putRule(_ context.Context, old state.Object, r state.Rule) error {
	s, err := k.needSpace(r.NS)
	if err != nil {
		return err
	}
	return route.PutRule(s, old, r)
}

func (k *Kernel) removeRule(_ context.Context, r state.Rule) error {
	s, err := k.space(r.NS)
	if err != nil || s == nil {
		return err
	}
	return route.RemoveRule(s, r)
}

// observeNeighbours reads what each end of the veth pair knows the other one by, and
// the nodes on the overlay.
func (k *Kernel) observeNeighbours(_ context.Context, r *view) error {
	if r.ns == state.Host {
		if r.veth.Peer == nil {
			return nil
		}
		return errors.Join(
			route.ObserveNeighbours(r.space, state.HostLink, r.veth.Host.Attrs().Index, r.into),
			route.ObserveNeighbours(r.mesh, state.MeshLink, r.veth.Peer.Attrs().Index, r.into),
		)
	}
	if err := observeContainers(r); err != nil {
		return err
	}
	overlay, err := link.Overlay(r.space)
	if err != nil || overlay == nil {
		return err
	}
	return route.ObserveNeighbours(r.space, state.OverlayLink, overlay.Attrs().Index, r.into)
}

func (k *Kernel) putNeigh(_ context.Context, _ state.Object, n state.Neigh) error {
	s, l, err := k.needLink(n.Place())
	if err != nil {
		return err
	}
	return route.PutNeigh(s, l, n)
}

func (k *Kernel) removeNeigh(_ context.Context, n state.Neigh) error {
	ns, name := n.Place()
	return k.onLink(ns, name, func(s *netns.Space, l netlink.Link) error { return route.RemoveNeigh(s, l, n) })
}

func (k *Kernel) observeFDB(_ context.Context, r *view) error {
	if r.ns != state.Mesh {
		return nil
	}
	overlay, err := link.Overlay(r.space)
	if err != nil || overlay == nil {
		return err
	}
	return route.ObserveFDB(r.space, overlay.Attrs().Index, r.into)
}

func (k *Kernel) putFDB(_ context.Context, _ state.Object, f state.FDB) error {
	s, l, err := k.needLink(state.Mesh, state.OverlayLink)
	if err != nil {
		return err
	}
	return route.PutFDB(s, l, f)
}

func (k *Kernel) removeFDB(_ context.Context, f state.FDB) error {
	return k.onLink(state.Mesh, state.OverlayLink, func(s *netns.Space, l netlink.Link) error { return route.RemoveFDB(s, l, f) })
}
