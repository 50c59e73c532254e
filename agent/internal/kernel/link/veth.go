package link

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Veth is the pair as found: Host is nil when rmesh0 is not there, and Peer is
// nil when rmesh0 is not the other end of a link in the mesh's namespace.
type Veth struct{ Host, Peer netlink.Link }

// FindVeth finds the pair; mesh is nil while there is no such namespace.
func FindVeth(host, mesh *netns.Space) (Veth, error) {
	rmesh, err := host.Link(state.HostLink)
	if err != nil || rmesh == nil || rmesh.Type() != "veth" || mesh == nil {
		return Veth{Host: rmesh}, err
	}
	links, err := nlmsg.List("links of the mesh", mesh.Netlink.LinkList)
	if err != nil {
		return Veth{}, err
	}
	for _, l := range links {
		// An index alone may be that of a link in another namespace.
		if l.Attrs().Index == rmesh.Attrs().ParentIndex && l.Attrs().ParentIndex == rmesh.Attrs().Index && l.Type() == "veth" {
			return Veth{Host: rmesh, Peer: l}, nil
		}
	}
	return Veth{Host: rmesh}, nil
}

// Fault is what else is wrong with a pair of ours.
func (v Veth) Fault() string {
	var faults []string
	if name := v.Peer.Attrs().Name; name != state.MeshLink {
		faults = append(faults, "its end in the mesh is called "+name)
	}
	if !netns.IsUp(v.Host) {
		faults = append(faults, "down")
	}
	if !netns.IsUp(v.Peer) {
		faults = append(faults, "its end in the mesh is down")
	}
	if v.Host.Attrs().HardwareAddr.String() != state.HostMAC || v.Peer.Attrs().HardwareAddr.String() != state.MeshMAC {
		faults = append(faults, "its ends have other MAC addresses")
	}
	if m := v.Peer.Attrs().MTU; m != v.Host.Attrs().MTU {
		faults = append(faults, fmt.Sprintf("its end in the mesh has mtu %d", m))
	}
	return strings.Join(faults, ", ")
}

// PutVeth makes the pair, or changes the one that is there.
func PutVeth(ctx context.Context, host, mesh *netns.Space, want state.Veth) error {
	v, err := FindVeth(host, mesh)
	if err != nil {
		return err
	}
	if v.Peer != nil && v.Peer.Attrs().Name != state.MeshLink {
		if err := host.Netlink.LinkDel(v.Host); err != nil {
			return fmt.Errorf("remove the link to create it again: %w", err)
		}
		v = Veth{}
	}
	if v.Peer == nil {
		if v, err = makeVeth(ctx, host, mesh, want); err != nil {
			return err
		}
	}
	return errors.Join(
		fitMAC(host, v.Host, state.HostMAC),
		fitMAC(mesh, v.Peer, state.MeshMAC),
		fitLink(host, v.Host, want.MTU),
		fitLink(mesh, v.Peer, want.MTU),
	)
}

// makeVeth makes the pair with its far end in the mesh's namespace from the
// start: a link called host0 never shows up among the host's.
func makeVeth(ctx context.Context, host, mesh *netns.Space, want state.Veth) (Veth, error) {
	if err := remove(mesh, state.MeshLink); err != nil { // everything in there is ours
		return Veth{}, err
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
	err := whileDying(ctx, func() error { return host.Netlink.LinkAdd(request) })
	if errors.Is(err, unix.EEXIST) {
		return Veth{}, fmt.Errorf("the host has another link called %s: %w", state.HostLink, err)
	}
	if err != nil {
		return Veth{}, err
	}
	return FindVeth(host, mesh)
}

// RemoveVeth removes the pair, and nothing that only has its name.
func RemoveVeth(host, mesh *netns.Space) error {
	v, err := FindVeth(host, mesh)
	if err != nil || v.Peer == nil {
		return err
	}
	return nlmsg.Ignore(host.Netlink.LinkDel(v.Host), unix.ENODEV)
}
