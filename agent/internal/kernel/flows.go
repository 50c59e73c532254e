package kernel

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// A udp client that keeps its source port keeps its conntrack entry, and with it
// the way that its first packet took: nat looks at no other one. So after a write
// that changes that way, entries are deleted that lead where nothing is asked for
// (any more); the next packet makes its own. Which ones is read from the kernel
// after the write, so what one cleaning has missed the next one finds.
//
// A tcp client that keeps its source port makes a new entry with its next
// connection, unless the end of the last one never came by, as that of those that
// were open when the mesh was taken away: such an entry lasts for five days. When
// S and P have changed, or are gone, what leads to the old ones is deleted.

// setUDP holds the udp ports that are open here.
const setUDP = state.SetPrefix + "udp"

// changesFlows says that the op changes the way of packets into the mesh.
func changesFlows(op state.Op) bool {
	switch o := op.Object().(type) {
	case state.RealServer:
		return o.Proto == "udp"
	case state.VirtualServer:
		return o.Proto == "udp"
	case state.SetMember:
		return o.Set == setUDP
	case state.Chain:
		return o.Table == "nat"
	case state.NetNS:
		return true
	case state.Addr: // S: what came for it meanwhile was forwarded
		return o.NS == state.Mesh && o.Link == "lo"
	}
	return false
}

// flows is what the deletion of stale entries needs to know.
type flows struct {
	servers map[netip.AddrPort]state.VirtualServer
	reals   map[state.Key]bool
	open    map[uint16]bool     // published udp ports
	local   map[netip.Addr]bool // addresses of the host, without H
	self    netip.Addr          // H
	mesh    map[netip.Addr]bool // S and P, those from before the write too
	gone    map[netip.Addr]bool // those of them that there are no more
}

// forgetStaleFlows runs after the ops; before are the addresses of the mesh's
// namespace before them, which may be gone by now.
func (k *Kernel) forgetStaleFlows(ctx context.Context, before []netip.Addr) error {
	f := flows{
		servers: map[netip.AddrPort]state.VirtualServer{}, reals: map[state.Key]bool{},
		open: map[uint16]bool{}, local: map[netip.Addr]bool{}, mesh: map[netip.Addr]bool{}, gone: map[netip.Addr]bool{},
	}
	err := inOrder(
		func() error { return k.readServers(ctx, &f) },
		func() error { return k.readOpen(&f) },
		func() error { return k.readAddresses(&f, before) },
		func() error { return deleteFlows(k.host.NS, len(f.gone) > 0, hostFlows{&f}.stale) },
		func() error {
			if mesh, err := k.openMesh(); err != nil || mesh == nil {
				return err
			}
			return deleteFlows(k.mesh.NS, false, meshFlows{&f}.stale)
		},
	)
	if err != nil {
		return fmt.Errorf("forget the connections from before: %w", err)
	}
	return nil
}

func (k *Kernel) readServers(ctx context.Context, f *flows) error {
	return k.balance(false, func(b Balancer) error { return b.List(ctx, state.State{}, f) })
}

// virtual, destination and member take what the balancer shows: of that what is of udp.
func (f *flows) virtual(v state.VirtualServer) {
	if v.Proto == "udp" {
		f.servers[v.Addr] = v
	}
}

func (f *flows) destination(r state.RealServer) {
	if r.Proto == "udp" {
		f.reals[r.Key()] = true
	}
}

func (f *flows) member(state.SetMember) {}

func (k *Kernel) readOpen(f *flows) error {
	_, err := k.sets.members(setUDP, func(m state.SetMember) { f.open[m.Port] = true })
	return nlmsg.Ignore(err, unix.ENOENT) // without the set nothing is open
}

func (k *Kernel) readAddresses(f *flows, before []netip.Addr) error {
	addrs, err := nlmsg.List("addresses", func() ([]netlink.Addr, error) { return k.host.Netlink.AddrList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return err
	}
	link, err := k.host.Link(state.HostLink)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if link != nil && a.LinkIndex == link.Attrs().Index {
			f.self = nlmsg.ToAddr(a.IP)
		} else {
			f.local[nlmsg.ToAddr(a.IP)] = true
		}
	}
	now, err := k.meshAddresses()
	if err != nil {
		return err // without it everything from before would count as gone
	}
	for _, a := range before {
		f.mesh[a], f.gone[a] = true, true
	}
	for _, a := range now {
		f.mesh[a] = true
		delete(f.gone, a)
	}
	return nil
}

// meshAddresses are S and P; none without the mesh's namespace.
func (k *Kernel) meshAddresses() ([]netip.Addr, error) {
	mesh, err := k.openMesh()
	if err != nil || mesh == nil {
		return nil, err
	}
	lo, err := mesh.Link("lo")
	if err != nil || lo == nil {
		return nil, err
	}
	addrs, err := nlmsg.List("addresses", func() ([]netlink.Addr, error) { return mesh.Netlink.AddrList(lo, netlink.FAMILY_V4) })
	var found []netip.Addr
	for _, a := range addrs {
		if addr := nlmsg.ToAddr(a.IP); !addr.IsLoopback() {
			found = append(found, addr)
		}
	}
	return found, err
}

func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
