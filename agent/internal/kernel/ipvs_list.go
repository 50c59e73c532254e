package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

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
	var services []*ipvs.Service
	err := b.do(ctx, func(h *ipvs.Handle) (err error) {
		services, err = h.GetServices()
		return err
	})
	if err != nil {
		return fmt.Errorf("list IPVS services: %w", err)
	}
	known, err := b.readDestinations()
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
	into.Put(v)
	if reals, ok := known[v.Key()]; ok {
		for _, r := range reals {
			into.Put(r)
		}
		return nil
	}
	var asked []*ipvs.Destination
	err := b.do(ctx, func(h *ipvs.Handle) (err error) {
		asked, err = h.GetDestinations(s)
		return err
	})
	switch {
	case errors.Is(err, unix.ESRCH): // gone meanwhile
		delete(into, v.Key())
		return nil
	case err != nil:
		return fmt.Errorf("list destinations of %s: %w", v, err)
	}
	for _, d := range asked {
		into.Put(realOf(v, d))
	}
	return nil
}

// Of include/uapi/linux/ip_vs.h.
const (
	servicePersistent = 0x1
	serviceHashed     = 0x2 // the kernel's own: it is in its table
	serviceOnePacket  = 0x4
)

func virtualOf(s *ipvs.Service) state.VirtualServer {
	proto := "tcp"
	if s.Protocol == unix.IPPROTO_UDP {
		proto = "udp"
	}
	return state.VirtualServer{
		Proto:     proto,
		Addr:      netip.AddrPortFrom(toAddr(s.Address), s.Port),
		Scheduler: s.SchedName,
		Fault:     serviceFault(s),
	}
}

func serviceFault(s *ipvs.Service) string {
	var faults []string
	if s.Flags&servicePersistent != 0 {
		faults = append(faults, fmt.Sprintf("a client stays with its destination for %d s", s.Timeout))
	}
	if s.Flags&serviceOnePacket != 0 {
		faults = append(faults, "each packet goes to another destination")
	}
	if other := s.Flags &^ (servicePersistent | serviceHashed | serviceOnePacket); other != 0 {
		faults = append(faults, fmt.Sprintf("flags %#x", other))
	}
	return strings.Join(faults, ", ")
}

const notMasquerading = "not masquerading"

func realOf(v state.VirtualServer, d *ipvs.Destination) state.RealServer {
	r := state.RealServer{
		Proto:  v.Proto,
		Server: v.Addr,
		Addr:   netip.AddrPortFrom(toAddr(d.Address), d.Port),
		Weight: d.Weight,
	}
	if d.ConnectionFlags&ipvs.ConnectionFlagFwdMask != ipvs.ConnectionFlagMasq {
		r.Fault = notMasquerading
	}
	return r
}
