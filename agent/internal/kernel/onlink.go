package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// This file has what is on a link: addresses, neighbours, FDB entries.

// ourLink finds a link that is ours: in the mesh's namespace all are; in the
// host's, rmesh0 is when its other end is in the mesh. Nothing is put on somebody
// else's link that only has its name.
func (k *Kernel) ourLink(ns state.NS, name string) (*netns.Space, netlink.Link, error) {
	mesh, err := k.openMesh()
	if err != nil || mesh == nil {
		return k.host, nil, err
	}
	if ns == state.Mesh {
		l, err := mesh.Link(name)
		return mesh, l, err
	}
	v, err := k.findVeth(mesh)
	if err != nil || v.peer == nil || name != state.HostLink {
		return k.host, nil, err
	}
	return k.host, v.host, nil
}

// needLink is for what is put on a link of ours, and so needs it.
func (k *Kernel) needLink(ns state.NS, name string) (*netns.Space, netlink.Link, error) {
	s, l, err := k.ourLink(ns, name)
	if err == nil && l == nil {
		err = fmt.Errorf("there is no link %s of ours", name)
	}
	return s, l, err
}

// linkNames are the names of all links in a namespace by index.
func linkNames(s *netns.Space) (map[int]string, error) {
	links, err := nlmsg.List("links", s.Netlink.LinkList)
	if err != nil {
		return nil, err
	}
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	return names, nil
}

var addrHandler = newHandler((*Kernel).observeAddrs, (*Kernel).putAddr, (*Kernel).removeAddr)

func (k *Kernel) observeAddrs(_ context.Context, r *view) error {
	addrs, err := nlmsg.List("addresses", func() ([]netlink.Addr, error) { return r.space.Netlink.AddrList(nil, unix.AF_INET) })
	if err != nil {
		return err
	}
	for _, a := range addrs {
		link := r.names[a.LinkIndex]
		// The kernel gives lo 127.0.0.1 when it comes up.
		if slices.Contains(r.links, link) && !a.IP.IsLoopback() {
			r.into.Put(state.Addr{NS: r.ns, Link: link, Prefix: nlmsg.ToPrefix(a.IPNet)})
		}
	}
	return nil
}

func (k *Kernel) putAddr(_ context.Context, _ state.Object, a state.Addr) error {
	s, l, err := k.needLink(a.NS, a.Link)
	if err != nil {
		return err
	}
	return nlmsg.Ignore(s.Netlink.AddrAdd(l, &netlink.Addr{IPNet: nlmsg.ToIPNet(a.Prefix)}), unix.EEXIST)
}

func (k *Kernel) removeAddr(_ context.Context, a state.Addr) error {
	s, l, err := k.ourLink(a.NS, a.Link)
	if err != nil || l == nil {
		return err
	}
	return nlmsg.Ignore(s.Netlink.AddrDel(l, &netlink.Addr{IPNet: nlmsg.ToIPNet(a.Prefix)}), unix.EADDRNOTAVAIL)
}

var neighHandler = newHandler((*Kernel).observeNeighbours, (*Kernel).putNeigh, (*Kernel).removeNeigh)

// observeNeighbours reads what each end of the veth pair knows the other one by, and
// the nodes on the overlay.
func (k *Kernel) observeNeighbours(_ context.Context, r *view) error {
	if r.ns == state.Host {
		if r.veth.peer == nil {
			return nil
		}
		return errors.Join(
			readNeighbours(r.into, r.space, state.HostLink, r.veth.host.Attrs().Index),
			readNeighbours(r.into, r.mesh, state.MeshLink, r.veth.peer.Attrs().Index),
		)
	}
	overlay, err := overlayIn(r.space)
	if err != nil || overlay == nil {
		return err
	}
	return readNeighbours(r.into, r.space, state.OverlayLink, overlay.Attrs().Index)
}

// readNeighbours reads the permanent neighbours on a link of ours. Others come
// and go by themselves.
func readNeighbours(into state.State, s *netns.Space, link string, index int) error {
	neighs, err := nlmsg.List("neighbours", func() ([]netlink.Neigh, error) { return s.Netlink.NeighList(index, unix.AF_INET) })
	if err != nil {
		return err
	}
	if link == state.OverlayLink {
		link = ""
	}
	for _, n := range neighs {
		if n.State&netlink.NUD_PERMANENT != 0 {
			into.Put(state.Neigh{Link: link, Addr: nlmsg.ToAddr(n.IP), MAC: n.HardwareAddr.String()})
		}
	}
	return nil
}

// overlayIn is the overlay's device, nil where there is none.
func overlayIn(mesh *netns.Space) (netlink.Link, error) {
	l, err := mesh.Link(state.OverlayLink)
	if _, ok := l.(*netlink.Vxlan); err != nil || !ok {
		return nil, err
	}
	return l, nil
}

var fdbHandler = newHandler((*Kernel).observeFDB, (*Kernel).putFDB, (*Kernel).removeFDB)

// observeFDB reads the permanent FDB entries of the overlay.
func (k *Kernel) observeFDB(_ context.Context, r *view) error {
	if r.ns != state.Mesh {
		return nil
	}
	overlay, err := overlayIn(r.space)
	if err != nil || overlay == nil {
		return err
	}
	fdb, err := nlmsg.List("FDB entries", func() ([]netlink.Neigh, error) {
		return r.space.Netlink.NeighList(overlay.Attrs().Index, unix.AF_BRIDGE)
	})
	if err != nil {
		return err
	}
	for _, n := range fdb {
		if n.State&netlink.NUD_PERMANENT != 0 && n.Flags&netlink.NTF_SELF != 0 {
			r.into.Put(state.FDB{MAC: n.HardwareAddr.String(), Dst: nlmsg.ToAddr(n.IP)})
		}
	}
	return nil
}

// The neighbour maps another node's mesh address to its overlay MAC, the FDB
// entry that MAC to its underlay address. Both are replaced, never added: an
// entry of another kind in the place of ours would refuse ours (moby#53663).

func (k *Kernel) putFDB(_ context.Context, _ state.Object, f state.FDB) error {
	return k.putEntry(state.Mesh, state.OverlayLink, fdbOf(f))
}
func (k *Kernel) removeFDB(_ context.Context, f state.FDB) error {
	return k.removeEntry(state.Mesh, state.OverlayLink, fdbOf(f))
}

func (k *Kernel) putNeigh(_ context.Context, _ state.Object, n state.Neigh) error {
	ns, link := n.Place()
	return k.putEntry(ns, link, neighOf(n))
}

func (k *Kernel) removeNeigh(_ context.Context, n state.Neigh) error {
	ns, link := n.Place()
	return k.removeEntry(ns, link, neighOf(n))
}

func neighOf(n state.Neigh) netlink.Neigh {
	return netlink.Neigh{Family: unix.AF_INET, State: netlink.NUD_PERMANENT, IP: n.Addr.AsSlice(), HardwareAddr: nlmsg.ParseMAC(n.MAC)}
}

func fdbOf(f state.FDB) netlink.Neigh {
	return netlink.Neigh{
		Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT | netlink.NUD_NOARP, Flags: netlink.NTF_SELF,
		IP: f.Dst.AsSlice(), HardwareAddr: nlmsg.ParseMAC(f.MAC),
	}
}

func (k *Kernel) putEntry(ns state.NS, link string, n netlink.Neigh) error {
	s, l, err := k.needLink(ns, link)
	if err != nil {
		return err
	}
	n.LinkIndex = l.Attrs().Index
	return s.Netlink.NeighSet(&n)
}

// removeEntry removes an entry; it is gone as well when its link is.
func (k *Kernel) removeEntry(ns state.NS, link string, n netlink.Neigh) error {
	s, l, err := k.ourLink(ns, link)
	if err != nil || l == nil {
		return err
	}
	n.LinkIndex = l.Attrs().Index
	return nlmsg.Ignore(s.Netlink.NeighDel(&n), unix.ENOENT)
}
