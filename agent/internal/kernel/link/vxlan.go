package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/program"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// The overlay device lives in the mesh's namespace, its UDP socket in the host's.
// The kernel keeps the namespace that a VXLAN device is asked for from as the
// device's own (vxlan_config_apply: vxlan->net = src_net), whichever it is put
// into: so one request from the host with IFLA_NET_NS_FD makes it complete, up,
// in the mesh's namespace. Nothing of it ever shows up among the host's links,
// where udev would touch it, and there is no half of it for a crash to leave.

// The overlay's packets leave from these ports, the last one not among them, each connection in it from one of them. As
// many as the host has for its own programs, the kernel's default, would make every new connection two more entries in the
// conntrack tables of both hosts, and have it meet their nat chains. 256 are enough to spread over the queues of a network
// card and over links that share a load.
const (
	firstSourcePort = 49152 // where RFC 7348 advises to begin
	sourcePortsEnd  = firstSourcePort + 256
)

// Overlay finds the overlay's device, nil where there is none.
func Overlay(mesh *netns.Space) (netlink.Link, error) {
	l, err := mesh.Link(state.OverlayLink)
	if _, ok := l.(*netlink.Vxlan); err != nil || !ok {
		return nil, err
	}
	return l, nil
}

// ObserveVXLAN reads the overlay's device.
func ObserveVXLAN(mesh *netns.Space, into state.State) error {
	l, err := mesh.Link(state.OverlayLink)
	if err != nil {
		return err
	}
	if vx, ok := l.(*netlink.Vxlan); ok {
		into.Put(overlayOf(vx))
	}
	return nil
}

func overlayOf(vx *netlink.Vxlan) state.VXLAN {
	return state.VXLAN{
		VNI:   uint32(vx.VxlanId),
		Port:  uint16(vx.Port),
		Local: nlmsg.ToAddr(vx.SrcAddr),
		MAC:   vx.HardwareAddr.String(),
		MTU:   vx.MTU,
		GBP:   vx.GBP,
		Fault: overlayFault(vx),
	}
}

func overlayFault(vx *netlink.Vxlan) string {
	var faults []string
	for _, f := range []struct {
		is   bool
		text string
	}{
		{vx.NetNsID < 0, "made inside the mesh's namespace"}, // else its link-netnsid is the host's
		{vx.Learning, "learning is on"},
		{vx.UDPCSum, "the outer UDP checksum is on"},
		{vx.PortLow != firstSourcePort || vx.PortHigh != sourcePortsEnd, "its source ports are others"},
		{vx.Proxy || vx.L2miss || vx.L3miss || vx.RSC, "it answers or asks for neighbours"},
		{vx.Group != nil, "it has a default destination"},
		{!netns.IsUp(vx), "down"},
	} {
		if f.is {
			faults = append(faults, f.text)
		}
	}
	return strings.Join(faults, ", ")
}

// PutVXLAN changes MTU and up in place. Whatever else differs recreates it, and
// with the old device its neighbours, FDB entries and routes go: the caller's
// next plan has them.
func PutVXLAN(ctx context.Context, host, mesh *netns.Space, want state.VXLAN) error {
	l, err := mesh.Link(state.OverlayLink)
	if err != nil {
		return err
	}
	if vx, ok := l.(*netlink.Vxlan); ok && fits(overlayOf(vx), want) {
		return fitLink(mesh, l, want.MTU)
	}
	if err := remove(mesh, state.OverlayLink); err != nil {
		return err
	}
	err = whileDying(ctx, func() error { return makeVXLAN(host, mesh, want) })
	switch {
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("%s already has VNI %d on port %d: %w", sameVNI(host, want), want.VNI, want.Port, err)
	case errors.Is(err, unix.EADDRINUSE) && otherGBP(host, want):
		return fmt.Errorf("another VXLAN device has UDP port %d, and devices of one port must agree on the flag gbp, which networks need: choose another vxlan_port for the cluster: %w", want.Port, err)
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("another program has UDP port %d (see ss -lunp): %w", want.Port, err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("the kernel has no VXLAN (modprobe vxlan; %s): %w", program.ExtraModules, err)
	}
	return err
}

// fits says whether the device there can become the one wanted as it is.
func fits(have, want state.VXLAN) bool {
	have.MTU = want.MTU
	if have.Fault == "down" {
		have.Fault = ""
	}
	return have == want
}

// makeVXLAN builds the request itself because netlink's own cannot say
// IFLA_VXLAN_UDP_CSUM=0 (it leaves false out, and the kernel's default is on).
func makeVXLAN(host, mesh *netns.Space, want state.VXLAN) error {
	mac, err := net.ParseMAC(want.MAC)
	if err != nil {
		return err
	}
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	head := nl.NewIfInfomsg(unix.AF_UNSPEC)
	head.Flags, head.Change = unix.IFF_UP, unix.IFF_UP
	req.AddData(head)
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(state.OverlayLink)))
	req.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, mac))
	req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(want.MTU))))
	req.AddData(nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(mesh.NS))))

	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("vxlan"))
	data := info.AddRtAttr(nl.IFLA_INFO_DATA, nil)
	data.AddRtAttr(nl.IFLA_VXLAN_ID, nl.Uint32Attr(want.VNI))
	data.AddRtAttr(nl.IFLA_VXLAN_LOCAL, want.Local.AsSlice())
	data.AddRtAttr(nl.IFLA_VXLAN_PORT, nl.BEUint16Attr(want.Port))
	data.AddRtAttr(nl.IFLA_VXLAN_PORT_RANGE, slices.Concat(nl.BEUint16Attr(firstSourcePort), nl.BEUint16Attr(sourcePortsEnd)))
	data.AddRtAttr(nl.IFLA_VXLAN_LEARNING, nl.Uint8Attr(0))
	data.AddRtAttr(nl.IFLA_VXLAN_UDP_CSUM, nl.Uint8Attr(0))
	if want.GBP {
		data.AddRtAttr(nl.IFLA_VXLAN_GBP, nil) // a flag: that it is there says it
	}
	req.AddData(info)
	return host.Do(func() error {
		_, err := req.Execute(unix.NETLINK_ROUTE, 0)
		return err
	})
}

// sameVNI names the device that has the VNI and port already. It may also be in
// a namespace that we know nothing of, with its socket in the host's.
func sameVNI(host *netns.Space, want state.VXLAN) string {
	links, err := nlmsg.List("links", host.Netlink.LinkList)
	if err != nil {
		return "another device"
	}
	for _, l := range links {
		if vx, ok := l.(*netlink.Vxlan); ok && uint32(vx.VxlanId) == want.VNI && uint16(vx.Port) == want.Port {
			return "device " + vx.Name
		}
	}
	return "a device in another network namespace"
}

// otherGBP says that another device of the host has the port, and differs in the flag.
func otherGBP(host *netns.Space, want state.VXLAN) bool {
	links, err := nlmsg.List("links", host.Netlink.LinkList)
	return err == nil && slices.ContainsFunc(links, func(l netlink.Link) bool {
		vx, ok := l.(*netlink.Vxlan)
		return ok && uint16(vx.Port) == want.Port && vx.GBP != want.GBP
	})
}

// RemoveVXLAN removes the overlay's device.
func RemoveVXLAN(mesh *netns.Space) error { return remove(mesh, state.OverlayLink) }
