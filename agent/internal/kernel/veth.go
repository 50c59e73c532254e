package kernel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// dyingLinks is how long a deleted namespace may take to let go of its links:
// the kernel does that after the deletion (cleanup_net). Seen: below 0.2 s.
const dyingLinks = 5 * time.Second

// veth is the pair as found: host is nil when rmesh0 is not there, and peer is
// nil when rmesh0 is not the other end of a link in the mesh's namespace.
type veth struct{ host, peer netlink.Link }

func (k *Kernel) findVeth(mesh *netns.Space) (veth, error) {
	host, err := k.host.Link(state.HostLink)
	if err != nil || host == nil || host.Type() != "veth" || mesh == nil {
		return veth{host: host}, err
	}
	links, err := nlmsg.List("links of the mesh", mesh.Netlink.LinkList)
	if err != nil {
		return veth{}, err
	}
	for _, l := range links {
		// An index alone may be that of a link in another namespace.
		if l.Attrs().Index == host.Attrs().ParentIndex && l.Attrs().ParentIndex == host.Attrs().Index && l.Type() == "veth" {
			return veth{host: host, peer: l}, nil
		}
	}
	return veth{host: host}, nil
}

// fault is what else is wrong with a pair of ours.
func (v veth) fault() string {
	var faults []string
	if name := v.peer.Attrs().Name; name != state.MeshLink {
		faults = append(faults, "its end in the mesh is called "+name)
	}
	if !netns.IsUp(v.host) {
		faults = append(faults, "down")
	}
	if !netns.IsUp(v.peer) {
		faults = append(faults, "its end in the mesh is down")
	}
	if v.host.Attrs().HardwareAddr.String() != state.HostMAC || v.peer.Attrs().HardwareAddr.String() != state.MeshMAC {
		faults = append(faults, "its ends have other MAC addresses")
	}
	if m := v.peer.Attrs().MTU; m != v.host.Attrs().MTU {
		faults = append(faults, fmt.Sprintf("its end in the mesh has mtu %d", m))
	}
	return strings.Join(faults, ", ")
}

var vethHandler = newHandler((*Kernel).observeVeth, (*Kernel).putVeth, (*Kernel).removeVeth)

func (k *Kernel) observeVeth(_ context.Context, r *view) error {
	if r.ns == state.Host && r.veth.peer != nil {
		r.into.Put(state.Veth{MTU: r.veth.host.Attrs().MTU, Fault: r.veth.fault()})
	}
	return nil
}

func (k *Kernel) putVeth(ctx context.Context, _ state.Object, want state.Veth) error {
	mesh, err := k.needMesh()
	if err != nil {
		return err
	}
	v, err := k.findVeth(mesh)
	if err != nil {
		return err
	}
	if v.peer != nil && v.peer.Attrs().Name != state.MeshLink {
		if err := k.host.Netlink.LinkDel(v.host); err != nil {
			return fmt.Errorf("remove it to make it anew: %w", err)
		}
		v = veth{}
	}
	if v.peer == nil {
		if v, err = k.makeVeth(ctx, mesh, want); err != nil {
			return err
		}
	}
	return errors.Join(
		fitMAC(k.host, v.host, state.HostMAC),
		fitMAC(mesh, v.peer, state.MeshMAC),
		fitLink(k.host, v.host, want.MTU),
		fitLink(mesh, v.peer, want.MTU),
	)
}

// makeVeth makes the pair with its far end in the mesh's namespace from the
// start: a link called host0 never shows up among the host's.
func (k *Kernel) makeVeth(ctx context.Context, mesh *netns.Space, want state.Veth) (veth, error) {
	if err := removeLink(mesh, state.MeshLink); err != nil { // everything in there is ours
		return veth{}, err
	}
	request := &netlink.Veth{
		LinkAttrs:     netlink.NewLinkAttrs(),
		PeerName:      state.MeshLink,
		PeerNamespace: netlink.NsFd(int(mesh.NS)),
		// An address that somebody has chosen is left alone by udev, which gives
		// links others a moment later (MACAddressPolicy=persistent, flannel#1155).
		PeerHardwareAddr: nlmsg.ParseMAC(state.MeshMAC),
	}
	request.Name, request.MTU, request.HardwareAddr = state.HostLink, want.MTU, nlmsg.ParseMAC(state.HostMAC)
	err := whileDying(ctx, func() error { return k.host.Netlink.LinkAdd(request) })
	if errors.Is(err, unix.EEXIST) {
		return veth{}, fmt.Errorf("the host has another link called %s: %w", state.HostLink, err)
	}
	if err != nil {
		return veth{}, err
	}
	return k.findVeth(mesh)
}

// whileDying makes a link, and again for a while when the kernel says that it
// exists: the one from a deleted namespace may still be going.
func whileDying(ctx context.Context, try func() error) error {
	deadline := time.Now().Add(dyingLinks)
	for {
		err := try()
		if !errors.Is(err, unix.EEXIST) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// fitMAC gives a link its address, as agents before 0.2 chose one at random.
func fitMAC(s *netns.Space, l netlink.Link, mac string) error {
	if l.Attrs().HardwareAddr.String() == mac {
		return nil
	}
	if err := s.Netlink.LinkSetHardwareAddr(l, nlmsg.ParseMAC(mac)); err != nil {
		return fmt.Errorf("set MAC address %s on %s: %w", mac, l.Attrs().Name, err)
	}
	return nil
}

// fitLink gives a link its MTU and sets it up.
func fitLink(s *netns.Space, l netlink.Link, mtu int) error {
	if l.Attrs().MTU != mtu {
		if err := s.Netlink.LinkSetMTU(l, mtu); err != nil {
			return fmt.Errorf("set mtu %d on %s: %w", mtu, l.Attrs().Name, err)
		}
	}
	if !netns.IsUp(l) {
		if err := s.Netlink.LinkSetUp(l); err != nil {
			return fmt.Errorf("set %s up: %w", l.Attrs().Name, err)
		}
	}
	return nil
}

// removeLink removes a link by name if there is one.
func removeLink(s *netns.Space, name string) error {
	l, err := s.Link(name)
	if err != nil || l == nil {
		return err
	}
	if err := nlmsg.Ignore(s.Netlink.LinkDel(l), unix.ENODEV); err != nil {
		return fmt.Errorf("remove link %s: %w", name, err)
	}
	return nil
}

// removeVeth removes the pair, and nothing that only has its name.
func (k *Kernel) removeVeth(context.Context, state.Veth) error {
	mesh, err := k.openMesh()
	if err != nil {
		return err
	}
	v, err := k.findVeth(mesh)
	if err != nil || v.peer == nil {
		return err
	}
	return nlmsg.Ignore(k.host.Netlink.LinkDel(v.host), unix.ENODEV)
}
