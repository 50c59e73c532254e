package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/moby/ipvs"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// List implements Balancer. Which services there are is netlink's to say; their
// destinations come from /proc, or by netlink for those that /proc passes over.
func (b *ipvsBalancer) List(ctx context.Context, into state.State) error {
	if there, err := b.kernelHas(); err != nil || !there {
		return err // without IPVS there are no servers
	}
	if err := b.listTimeouts(ctx, into); err != nil {
		return err
	}
	var services []*ipvs.Service
	err := b.do(ctx, func(h *ipvs.Handle) (err error) {
		services, err = h.GetServices()
		return err
	})
	if err != nil {
		return fmt.Errorf("list IPVS services: %w", err)
	}
	var known destinations
	err = b.mesh.do(func() (err error) {
		known, err = readDestinations()
		return err
	})
	if err != nil {
		return err
	}
	for _, s := range services {
		if err := b.listService(ctx, into, s, known); err != nil {
			return err
		}
	}
	return nil
}

// listService passes over services by firewall mark or of IPv6: they are not
// ours to make, and somebody who puts one into our namespace keeps it.
func (b *ipvsBalancer) listService(ctx context.Context, into state.State, s *ipvs.Service, known destinations) error {
	if s.FWMark != 0 || s.AddressFamily != unix.AF_INET {
		return nil
	}
	v := virtualOf(s)
	reals, ok := known[v.Key()]
	if !ok {
		asked, err := b.destinations(ctx, s)
		switch {
		case errors.Is(err, unix.ESRCH): // gone meanwhile
			return nil
		case err != nil:
			return fmt.Errorf("list destinations of %s: %w", v, err)
		}
		for _, d := range asked {
			reals = append(reals, listed{RealServer: realOf(v, d)})
		}
	}
	order := make([]netip.AddrPort, 0, len(reals))
	for _, r := range reals {
		into.Put(r.RealServer)
		order = append(order, r.Addr)
	}
	v.Fault = cmp.Or(v.Fault, orderFault(v, order))
	into.Put(v)
	return nil
}

const notMasquerading = "not masquerading"

func realOf(v state.VirtualServer, d *ipvs.Destination) state.RealServer {
	r := state.RealServer{
		Proto:  v.Proto,
		Server: v.Addr,
		Addr:   addressOf(d),
		Weight: d.Weight,
	}
	if d.ConnectionFlags&ipvs.ConnectionFlagFwdMask != ipvs.ConnectionFlagMasq {
		r.Fault = notMasquerading
	}
	return r
}
