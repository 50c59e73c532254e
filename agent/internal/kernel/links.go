package kernel

import (
	"context"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/link"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/watch"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// What is a link, and the addresses on one.

var (
	vethHandler  = newHandler((*Kernel).observeVeth, (*Kernel).putVeth, (*Kernel).removeVeth).toldBy(linkEvents)
	vxlanHandler = newHandler((*Kernel).observeVXLAN, (*Kernel).putVXLAN, (*Kernel).removeVXLAN).toldBy(linkEvents)
	// What came for an address of lo meanwhile, a VIP, was forwarded.
	addrHandler = steersIf(newHandler((*Kernel).observeAddrs, (*Kernel).putAddr, (*Kernel).removeAddr).toldBy(addrEvents),
		func(a state.Addr) bool { return a.NS == state.Mesh && a.Link == "lo" })
)

// linkEvents: every link in our namespace is ours. In the host's, one that comes may need
// the host to forward.
func linkEvents(k *Kernel, ns state.NS) (watch.Interest, bool) {
	i := watch.Interest{Group: unix.RTNLGRP_LINK, Types: []uint16{unix.RTM_NEWLINK, unix.RTM_DELLINK}}
	if ns == state.Host {
		i.Ours = func(e watch.Event) bool { return e.OurLink || k.newForwarder(e) }
	}
	return i, true
}

func addrEvents(_ *Kernel, ns state.NS) (watch.Interest, bool) {
	i := watch.Interest{Group: unix.RTNLGRP_IPV4_IFADDR, Types: []uint16{unix.RTM_NEWADDR, unix.RTM_DELADDR}}
	if ns == state.Host {
		i.Ours = func(e watch.Event) bool {
			on := link.AddrLink(e.Body)
			return on != 0 && on == e.Links[state.HostLink]
		}
	}
	return i, true
}

// ourLink finds a link that is ours, see link.Ours.
func (k *Kernel) ourLink(ns state.NS, name string) (*netns.Space, netlink.Link, error) {
	mesh, err := k.openMesh()
	if err != nil {
		return k.host, nil, err
	}
	return link.Ours(k.host, mesh, ns, name)
}

// needLink is for what is put on a link of ours, and so needs it.
func (k *Kernel) needLink(ns state.NS, name string) (*netns.Space, netlink.Link, error) {
	s, l, err := k.ourLink(ns, name)
	if err == nil && l == nil {
		err = fmt.Errorf("there is no link %s of ours", name)
	}
	return s, l, err
}

// onLink does something with a link of ours; where that has gone, so has what was on it.
func (k *Kernel) onLink(ns state.NS, name string, do func(*netns.Space, netlink.Link) error) error {
	s, l, err := k.ourLink(ns, name)
	if err != nil || l == nil {
		return err
	}
	return do(s, l)
}

func (k *Kernel) observeVeth(_ context.Context, r *view) error {
	if r.ns == state.Host && r.veth.Peer != nil {
		r.into.Put(state.Veth{MTU: r.veth.Host.Attrs().MTU, Fault: r.veth.Fault()})
	}
	return nil
}

func (k *Kernel) putVeth(ctx context.Context, _ state.Object, want state.Veth) error {
	mesh, err := k.needMesh()
	if err != nil {
		return err
	}
	return link.PutVeth(ctx, k.host, mesh, want)
}

func (k *Kernel) removeVeth(context.Context, state.Veth) error {
	mesh, err := k.openMesh()
	if err != nil {
		return err
	}
	return link.RemoveVeth(k.host, mesh)
}

func (k *Kernel) observeVXLAN(_ context.Context, r *view) error {
	if r.ns != state.Mesh {
		return nil
	}
	return link.ObserveVXLAN(r.space, r.into)
}

func (k *Kernel) putVXLAN(ctx context.Context, _ state.Object, want state.VXLAN) error {
	mesh, err := k.needMesh()
	if err != nil {
		return err
	}
	return link.PutVXLAN(ctx, k.host, mesh, want)
}

func (k *Kernel) removeVXLAN(context.Context, state.VXLAN) error {
	mesh, err := k.openMesh()
	if err != nil || mesh == nil {
		return err
	}
	return link.RemoveVXLAN(mesh)
}

func (k *Kernel) observeAddrs(_ context.Context, r *view) error {
	return link.ObserveAddrs(r.space, r.ns, r.links, r.names, r.into)
}

func (k *Kernel) putAddr(_ context.Context, _ state.Object, a state.Addr) error {
	s, l, err := k.needLink(a.NS, a.Link)
	if err != nil {
		return err
	}
	return link.PutAddr(s, l, a)
}

func (k *Kernel) removeAddr(_ context.Context, a state.Addr) error {
	return k.onLink(a.NS, a.Link, func(s *netns.Space, l netlink.Link) error { return link.RemoveAddr(s, l, a) })
}
