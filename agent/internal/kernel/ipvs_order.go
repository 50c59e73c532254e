package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/moby/ipvs"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/sysctl"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// sh and mh pick by the order in which the kernel has the destinations, the last
// one made first. So that all nodes pick the same, it is one order on all: the
// highest address first, which is what making them from the lowest on gives.

const otherOrder = "its destinations are in another order than on the other nodes"

func inOneOrder(addrs []netip.AddrPort) bool {
	return slices.IsSortedFunc(addrs, func(a, b netip.AddrPort) int { return b.Compare(a) })
}

// movers are the destinations that have to go to the front of the list, one after
// the other, to bring it into order: all but those at its end that are the lowest
// and in order already.
func movers(listed []netip.AddrPort) []netip.AddrPort {
	lowest := slices.SortedFunc(slices.Values(listed), netip.AddrPort.Compare)
	before := len(listed)
	for i, a := range lowest {
		at := slices.Index(listed, a)
		if at > before {
			return lowest[i:]
		}
		before = at
	}
	return nil
}

// order brings the destinations of a service into the one order. A destination
// that is taken out and made again has its connections again, as the kernel finds
// it among those that it has not forgotten yet (ip_vs_trash_get_dest). Meanwhile,
// for microseconds, their packets are dropped and come again, where expire_nodest_conn
// would end the connections: so that is off for as long.
func (b *ipvsBalancer) order(ctx context.Context, s *ipvs.Service) error {
	dests, err := b.destinations(ctx, s)
	if err != nil {
		return err
	}
	byAddr := make(map[netip.AddrPort]*ipvs.Destination, len(dests))
	var listed []netip.AddrPort
	for _, d := range dests {
		a := addressOf(d)
		byAddr[a] = d
		listed = append(listed, a)
	}
	moving := movers(listed)
	if len(moving) == 0 {
		return nil
	}
	return b.keepingConnections(func() error {
		for _, a := range moving {
			if err := b.toFront(ctx, s, byAddr[a]); err != nil {
				return fmt.Errorf("move the destination %s: %w", a, err)
			}
		}
		return nil
	})
}

// remake gives a destination of an mh service weight 0 by making it again with
// that. A mere change would leave it in the scheduler's table with the weight that
// it had before (dest->last_weight), for its clients to be sent on from there: other
// endpoints than where it was made with weight 0, or is gone already.
func (b *ipvsBalancer) remake(ctx context.Context, s *ipvs.Service, d *ipvs.Destination) error {
	if err := b.keepingConnections(func() error { return b.toFront(ctx, s, d) }); err != nil {
		return err
	}
	return b.order(ctx, s)
}

func (b *ipvsBalancer) isMaglev(ctx context.Context, s *ipvs.Service) (maglev bool, err error) {
	err = b.do(ctx, func(h *ipvs.Handle) error {
		found, err := h.GetService(s)
		maglev = err == nil && found.SchedName == "mh"
		return err
	})
	return maglev, err
}

// toFront takes a destination out and makes it again with all that it has.
func (b *ipvsBalancer) toFront(ctx context.Context, s *ipvs.Service, d *ipvs.Destination) error {
	if err := b.do(ctx, func(h *ipvs.Handle) error { return h.DelDestination(s, d) }); err != nil {
		return err
	}
	return b.do(ctx, func(h *ipvs.Handle) error { return h.NewDestination(s, d) })
}

func (b *ipvsBalancer) destinations(ctx context.Context, s *ipvs.Service) (dests []*ipvs.Destination, err error) {
	err = b.do(ctx, func(h *ipvs.Handle) (err error) {
		dests, err = h.GetDestinations(s)
		return err
	})
	return dests, err
}

// sweep is within what time of a removal the kernel ends the connections of all
// destinations that are out at that moment, whatever the setting is by then (one
// tick later, expire_nodest_conn_work, since Linux 5.9).
const sweep = 100 * time.Millisecond

// keepingConnections does something while connections to a destination that is
// out wait for it. A crash leaves the setting off: it is one that is observed.
func (b *ipvsBalancer) keepingConnections(do func() error) error {
	const name = "net.ipv4.vs.expire_nodest_conn"
	time.Sleep(time.Until(b.removed.Add(sweep)))
	var before string
	err := b.mesh.Do(func() (err error) {
		if before, _, err = sysctl.Read(name); err == nil {
			err = sysctl.Write(name, "0")
		}
		return err
	})
	if err != nil {
		return err
	}
	err = do()
	return errors.Join(err, b.mesh.Do(func() error { return sysctl.Write(name, before) }))
}

// orderFault says whether a service's clients get other destinations here than on
// other nodes.
func orderFault(v state.VirtualServer, listed []netip.AddrPort) string {
	if hashes(v.Scheduler) && !inOneOrder(listed) {
		return otherOrder
	}
	return ""
}

func addressOf(d *ipvs.Destination) netip.AddrPort {
	return netip.AddrPortFrom(nlmsg.ToAddr(d.Address), d.Port)
}
