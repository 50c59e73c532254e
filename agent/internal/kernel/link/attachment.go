package link

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/sysctl"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// A container's own link to the mesh. The engine knows nothing of it, and its networks stay as
// they are: no bridge, address or rule of the engine's is on the way. The mesh's end has an
// alias that says which container it was made for: inode numbers of namespaces are used
// again at once, and nothing else that is in the kernel tells who is at the other end.

// ObserveAttachments reads the links to containers. names are those of all links in the
// mesh's namespace.
func ObserveAttachments(mesh *netns.Space, names map[int]string, into state.State) error {
	for _, name := range names {
		if !state.IsSlotLink(name) {
			continue
		}
		l, err := mesh.Link(name)
		if err != nil {
			return err
		}
		if l != nil {
			into.Put(observeAttachment(l))
		}
	}
	return nil
}

func observeAttachment(l netlink.Link) state.Attachment {
	a, err := parseAlias(l.Attrs().Alias)
	if err != nil || state.SlotLink(a.Slot) != l.Attrs().Name {
		// Key needs a slot: of a link with another name than that of its slot there is none.
		return state.Attachment{Slot: slotOf(l.Attrs().Name), Fault: "it does not say whose it is"}
	}
	a.MTU = l.Attrs().MTU
	var faults []string
	if !netns.IsUp(l) || l.Attrs().HardwareAddr.String() != state.MeshMAC {
		faults = append(faults, "its end in the mesh is down, or has another MAC address")
	}
	inside, err := insideOf(a.Container)
	if err != nil {
		a.Fault = strings.Join(append(faults, err.Error()), ", ")
		return a
	}
	defer inside.Close()
	a.Fault = strings.Join(append(faults, inside.look(l, &a)...), ", ")
	return a
}

// slotOf makes an address of the name of a link, whose key is the name's; the first two bytes
// are not known.
func slotOf(name string) netip.Addr {
	a := [4]byte{}
	_, _ = fmt.Sscanf(name, "rm%d-%d", &a[2], &a[3]) // what is not such a name is rm0-0
	return netip.AddrFrom4(a)
}

// aliasOf is what a link says of itself: `ip -d link` shows it.
func aliasOf(a state.Attachment) string {
	return fmt.Sprintf("slot %s of process %d started %d", a.Slot, a.Container.PID, a.Container.Start)
}

func parseAlias(alias string) (a state.Attachment, err error) {
	var slot string
	if _, err := fmt.Sscanf(alias, "slot %s of process %d started %d", &slot, &a.Container.PID, &a.Container.Start); err != nil {
		return a, err
	}
	if a.Slot, err = netip.ParseAddr(slot); err == nil && !a.Slot.Is4() {
		err = fmt.Errorf("%s is no IPv4 address", a.Slot)
	}
	return a, err
}

// inside is the namespace of a container.
type inside struct{ *netns.Space }

func insideOf(p state.Process) (inside, error) {
	ns, err := netns.OfProcess(p.PID, p.Start)
	if err != nil {
		return inside{}, err
	}
	s, err := netns.NewSpace(ns)
	return inside{s}, err
}

// look says what is wrong at the container's end, and puts into a where it leads.
func (in inside) look(meshEnd netlink.Link, a *state.Attachment) (faults []string) {
	l, err := in.Link(meshEnd.Attrs().Name)
	switch {
	case err != nil:
		return []string{err.Error()}
	case l == nil || l.Attrs().Index != meshEnd.Attrs().ParentIndex || l.Attrs().ParentIndex != meshEnd.Attrs().Index:
		return []string{"its other end is not in the container"}
	case !netns.IsUp(l) || l.Attrs().HardwareAddr.String() != state.HostMAC || l.Attrs().MTU != a.MTU:
		faults = append(faults, "its end in the container is down, or has another MAC address or mtu")
	}
	addresses, err := nlmsg.List("addresses", func() ([]netlink.Addr, error) { return in.Netlink.AddrList(l, unix.AF_INET) })
	if err != nil {
		return append(faults, err.Error())
	}
	if len(addresses) != 1 || nlmsg.ToPrefix(addresses[0].IPNet) != only(a.Slot) {
		faults = append(faults, "the container does not have the address, or others on that link")
	}
	routes, err := nlmsg.List("routes", func() ([]netlink.Route, error) {
		return in.Netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: unix.RT_TABLE_UNSPEC, LinkIndex: l.Attrs().Index}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_OIF)
	})
	if err != nil {
		return append(faults, err.Error())
	}
	return append(faults, in.lookAtRoutes(routes, a)...)
}

func (in inside) lookAtRoutes(routes []netlink.Route, a *state.Attachment) (faults []string) {
	var back bool
	for _, r := range routes {
		switch via := nlmsg.ToAddr(r.Gw); {
		case r.Table == state.MainTable && via.IsValid():
			a.Gateway, a.Pool = via, nlmsg.ToPrefix(r.Dst)
		case r.Table == tableOf(a.Slot) && via.IsValid():
			back = true
		}
	}
	if !a.Gateway.IsValid() {
		faults = append(faults, "the container has no route to the mesh")
	}
	rules, err := nlmsg.List("policy rules", func() ([]netlink.Rule, error) { return in.Netlink.RuleList(unix.AF_INET) })
	if err != nil {
		return append(faults, err.Error())
	}
	asked := false
	for _, r := range rules {
		asked = asked || r.Table == tableOf(a.Slot) && r.Src != nil && nlmsg.ToPrefix(r.Src) == only(a.Slot)
	}
	if !back || !asked {
		faults = append(faults, "what the container answers to clients outside of the mesh does not return by it")
	}
	return faults
}

// tableOf is the container's routing table of what it answers from the slot. Two slots may be
// in one namespace (a pod).
func tableOf(slot netip.Addr) int { return state.Table + int(slot.As4()[3]) }

func only(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// PutAttachment makes the link, in place of one that is there. With the old link its routes go.
func PutAttachment(ctx context.Context, mesh *netns.Space, want state.Attachment) error {
	name := state.SlotLink(want.Slot)
	in, err := insideOf(want.Container)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := remove(mesh, name); err != nil {
		return err
	}
	if err := in.makeRoom(name); err != nil {
		return err
	}
	request := &netlink.Veth{
		LinkAttrs: netlink.NewLinkAttrs(), PeerName: name, PeerNamespace: netlink.NsFd(int(in.NS)),
		PeerHardwareAddr: nlmsg.ParseMAC(state.HostMAC), PeerMTU: uint32(want.MTU),
	}
	request.Name, request.MTU, request.HardwareAddr = name, want.MTU, nlmsg.ParseMAC(state.MeshMAC)
	if err := whileDying(ctx, func() error { return mesh.Netlink.LinkAdd(request) }); err != nil {
		return err
	}
	return errors.Join(in.arrange(name, want), arrangeMesh(mesh, name, want))
}

// makeRoom removes a link that has the name in the container, which its root may have made, or
// that was left where the mesh's namespace has gone.
func (in inside) makeRoom(name string) error { return remove(in.Space, name) }

// arrangeMesh is the mesh's end. The alias is what says that the link is whole, so it comes
// last: a crash before leaves a link that is made again.
func arrangeMesh(mesh *netns.Space, name string, want state.Attachment) error {
	l, err := mesh.Link(name)
	if err != nil || l == nil {
		return goneOr(err)
	}
	if err := mesh.Do(func() error { return sysctl.Write("net.ipv4.conf."+name+".forwarding", "1") }); err != nil {
		return err
	}
	if err := fitLink(mesh, l, want.MTU); err != nil {
		return err
	}
	return mesh.Netlink.LinkSetAlias(l, aliasOf(want))
}

// arrange is the container's end.
func (in inside) arrange(name string, want state.Attachment) error {
	l, err := in.Link(name)
	if err != nil || l == nil {
		return goneOr(err)
	}
	err = in.Do(func() error {
		// No address of IPv6 by itself; and clients outside of the mesh, to whom the container's
		// own route leads elsewhere, come in by this link.
		_ = sysctl.Write("net.ipv6.conf."+name+".disable_ipv6", "1") // a kernel without IPv6 has none
		return sysctl.Write("net.ipv4.conf."+name+".rp_filter", "2")
	})
	if err != nil {
		return err
	}
	if err := in.Netlink.AddrReplace(l, &netlink.Addr{IPNet: nlmsg.ToIPNet(only(want.Slot))}); err != nil {
		return fmt.Errorf("give the container %s: %w", want.Slot, err)
	}
	if err := fitLink(in.Space, l, want.MTU); err != nil {
		return err
	}
	err = in.Netlink.NeighSet(&netlink.Neigh{
		LinkIndex: l.Attrs().Index, Family: unix.AF_INET, State: netlink.NUD_PERMANENT, IP: want.Gateway.AsSlice(), HardwareAddr: nlmsg.ParseMAC(state.MeshMAC),
	})
	if err != nil {
		return fmt.Errorf("give the container a neighbour: %w", err)
	}
	return in.route(l, want)
}

// route leads what is for the pool into the mesh, and what is answered from the slot.
func (in inside) route(l netlink.Link, want state.Attachment) error {
	index, from := l.Attrs().Index, want.Slot.AsSlice()
	for _, r := range []netlink.Route{
		{Table: state.MainTable, Dst: nlmsg.ToIPNet(want.Pool), Src: from},
		{Table: tableOf(want.Slot), Dst: nlmsg.ToIPNet(netip.PrefixFrom(netip.IPv4Unspecified(), 0))},
	} {
		r.LinkIndex, r.Gw, r.Flags = index, want.Gateway.AsSlice(), unix.RTNH_F_ONLINK
		if err := in.Netlink.RouteReplace(&r); err != nil {
			return fmt.Errorf("give the container a route to %s: %w", r.Dst, err)
		}
	}
	rule := netlink.NewRule()
	rule.Family, rule.Src, rule.Table, rule.Priority = unix.AF_INET, nlmsg.ToIPNet(only(want.Slot)), tableOf(want.Slot), state.RulePriority
	if err := nlmsg.Ignore(in.Netlink.RuleAdd(rule), unix.EEXIST); err != nil {
		return fmt.Errorf("give the container a policy rule: %w", err)
	}
	return nil
}

// RemoveAttachment removes both ends, and the rule, which does not go with the link.
func RemoveAttachment(mesh *netns.Space, a state.Attachment) error {
	if in, err := insideOf(a.Container); err == nil {
		in.forget(a.Slot)
		_ = in.Close()
	}
	return remove(mesh, state.SlotLink(a.Slot))
}

// forget takes the rule away. It does no harm where it stays, so an error is none of the
// caller's.
func (in inside) forget(slot netip.Addr) {
	rule := netlink.NewRule()
	rule.Family, rule.Src, rule.Table, rule.Priority = unix.AF_INET, nlmsg.ToIPNet(only(slot)), tableOf(slot), state.RulePriority
	_ = in.Netlink.RuleDel(rule)
}

// goneOr is for a link that was made a moment ago and is not there.
func goneOr(err error) error {
	if err != nil {
		return err
	}
	return errors.New("the link went as it was made")
}
