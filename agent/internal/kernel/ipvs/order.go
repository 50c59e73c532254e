package ipvs

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	moby "github.com/moby/ipvs"

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
func (c *Conn) order(ctx context.Context, s *moby.Service) error {
	dests, err := c.destinations(ctx, s)
	if err != nil {
		return err
	}
	byAddr := make(map[netip.AddrPort]*moby.Destination, len(dests))
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
	return c.keepingConnections(func() error {
		for _, a := range moving {
			if err := c.toFront(ctx, s, byAddr[a]); err != nil {
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
func (c *Conn) remake(ctx context.Context, s *moby.Service, d *moby.Destination) error {
	if err := c.keepingConnections(func() error { return c.toFront(ctx, s, d) }); err != nil {
		return err
	}
	return c.order(ctx, s)
}

func (c *Conn) isMaglev(ctx context.Context, s *moby.Service) (maglev bool, err error) {
	err = c.do(ctx, func(h *moby.Handle) error {
		found, err := h.GetService(s)
		maglev = err == nil && found.SchedName == "mh"
		return err
	})
	return maglev, err
}

// toFront takes a destination out and makes it again with all that it has.
func (c *Conn) toFront(ctx context.Context, s *moby.Service, d *moby.Destination) error {
	if err := c.do(ctx, func(h *moby.Handle) error { return h.DelDestination(s, d) }); err != nil {
		return err
	}
	return c.do(ctx, func(h *moby.Handle) error { return h.NewDestination(s, d) })
}

func (c *Conn) destinations(ctx context.Context, s *moby.Service) (dests []*moby.Destination, err error) {
	err = c.do(ctx, func(h *moby.Handle) (err error) {
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
func (c *Conn) keepingConnections(do func() error) error {
	const name = "net.ipv4.vs.expire_nodest_conn"
	time.Sleep(time.Until(c.removed.Add(sweep)))
	var before string
	err := c.space.Do(func() (err error) {
		if before, _, err = sysctl.Read(name); err == nil {
			err = sysctl.Write(name, "0")
		}
		return err
	})
	if err != nil {
		return err
	}
	err = do()
	return errors.Join(err, c.space.Do(func() error { return sysctl.Write(name, before) }))
}

// orderFault says whether a service's clients get other destinations here than on
// other nodes.
func orderFault(v state.VirtualServer, listed []netip.AddrPort) string {
	if hashes(v.Scheduler) && !inOneOrder(listed) {
		return otherOrder
	}
	return ""
}
