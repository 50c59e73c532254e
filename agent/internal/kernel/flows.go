package kernel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/conntrack"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// openUDP are the sets of the udp ports that are open here.
var openUDP = []string{state.SetPrefix + "udp", state.SetPrefix + "keep-udp"}

// changesFlows says that the op changes the way of packets into the mesh.
func changesFlows(op state.Op) bool {
	h := handlerOf(op)
	return h.steers != nil && h.steers(op.Object())
}

// forgetStaleFlows runs after the ops; before are the addresses of the mesh's
// namespace before them, which may be gone by now.
func (k *Kernel) forgetStaleFlows(ctx context.Context, ops []state.Op, before []netip.Addr) error {
	stale := conntrack.NewStale()
	stale.Rules = rangeRules(ops)
	err := inOrder(
		func() error {
			return k.balance(false, func(b Balancer) error { return b.List(ctx, state.State{}, stale) })
		},
		func() error { return k.readOpen(stale) },
		func() error { return k.readAddresses(stale, before) },
		func() error { return k.readListens(stale) },
		func() error { return stale.DeleteInHost(k.host.NS) },
		func() error {
			if mesh, err := k.openMesh(); err != nil || mesh == nil {
				return err
			}
			return stale.DeleteInMesh(k.mesh.NS)
		},
	)
	if err != nil {
		return fmt.Errorf("forget the connections from before: %w", err)
	}
	return nil
}

// rangeRules are those that lead to ranges after the ops, by VIP; nil where the ops have left
// them as they were.
func rangeRules(ops []state.Op) map[netip.Addr]state.RangeRule {
	const leadsIn = state.ChainPrefix
	for _, op := range ops {
		is, ok := op.New.(state.Chain)
		was, _ := op.Old.(state.Chain)
		if !ok || is.Table != "nat" || is.Name != leadsIn {
			continue
		}
		if old, rules := was.RangeRules(), is.RangeRules(); !slices.Equal(old, rules) {
			byVIP := map[netip.Addr]state.RangeRule{}
			for _, r := range rules {
				byVIP[r.VIP] = r
			}
			return byVIP
		}
	}
	return nil
}

func (k *Kernel) readOpen(stale *conntrack.Stale) error {
	for _, set := range openUDP {
		_, err := k.sets.List(set, func(m state.SetMember) { stale.Open[m.Port] = true })
		if err := nlmsg.Ignore(err, unix.ENOENT); err != nil { // without the set nothing is open
			return err
		}
	}
	return nil
}

// readListens reads at which addresses ports are open that are not open at all of them, by
// their VIPs, which follow from the ingress VIP, the lowest of all.
func (k *Kernel) readListens(stale *conntrack.Stale) error {
	vips := slices.SortedFunc(maps.Keys(stale.Mesh), netip.Addr.Compare)
	vips = slices.DeleteFunc(vips, func(a netip.Addr) bool { return stale.Gone[a] })
	if len(vips) == 0 {
		return nil // what led to those that there were is gone with them
	}
	self := &mesh.Node{Block: netip.PrefixFrom(vips[0].Prev(), 24)}
	for pair := range uint8(state.MaxPairs) {
		for _, hostMode := range []bool{false, true} {
			vip := self.VIP(pair, hostMode)
			stale.Further[vip] = pair > 0
			_, err := k.sets.List(state.ListenSet(pair, hostMode), func(m state.SetMember) {
				stale.Listen(m.Proto, netip.AddrPortFrom(vip, m.Port), netip.PrefixFrom(m.Addr, int(m.Bits)))
			})
			if errors.Is(err, unix.ENOENT) {
				return nil // no pair is in use from here on
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *Kernel) readAddresses(stale *conntrack.Stale, before []netip.Addr) error {
	addrs, err := nlmsg.List("addresses", func() ([]netlink.Addr, error) { return k.host.Netlink.AddrList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return err
	}
	rmesh, err := k.host.Link(state.HostLink)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if rmesh != nil && a.LinkIndex == rmesh.Attrs().Index {
			stale.Self = nlmsg.ToAddr(a.IP)
		} else {
			stale.Local[nlmsg.ToAddr(a.IP)] = true
		}
	}
	now, err := k.meshAddresses()
	if err != nil {
		return err // without it everything from before would count as gone
	}
	for _, a := range before {
		stale.Mesh[a], stale.Gone[a] = true, true
	}
	for _, a := range now {
		stale.Mesh[a] = true
		delete(stale.Gone, a)
	}
	return nil
}

// meshAddresses are the VIPs; none without the mesh's namespace.
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

// Flow is what conntrack knows of one connection.
type Flow = conntrack.Flow

// FindFlow looks for a tcp connection by the addresses that its first packet had.
func (k *Kernel) FindFlow(ns state.NS, from, to netip.AddrPort) (f Flow, found bool, err error) {
	find := func(ns netns.Handle) (err error) {
		f, found, err = conntrack.Find(ns, from, to)
		return err
	}
	if ns == state.Host {
		err = find(k.host.NS)
	} else {
		err = k.withMesh(find)
	}
	if err != nil {
		return Flow{}, false, fmt.Errorf("ask conntrack for a connection: %w", err)
	}
	return f, found, nil
}
