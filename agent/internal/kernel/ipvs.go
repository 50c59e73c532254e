package kernel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/ipvs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/program"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// ipvsTimeout is when a request counts as lost.
const ipvsTimeout = 10 * time.Second

// ipvsBalancer writes through moby/ipvs and keeps away from what is wrong with it:
//
//   - a lost answer makes it wait for ever (execute goes on at EAGAIN): a request
//     that takes too long is given up with its socket, whose closing ends it;
//   - it looks for the kernel's IPVS once per process and does not tell when there
//     is none: look first, then make a handle;
//   - an interrupted receive is an error to it: ask again;
//   - a service's flags have one that the kernel sets itself: see ipvs_list.go.
type ipvsBalancer struct {
	mesh     *netns.Space
	programs *program.Runner
	handle   *ipvs.Handle // nil until needed
	conn     *nlmsg.Conn  // of Bulk, nil until needed
	family   uint16       // IPVS's in generic netlink, once there is conn
	removed  time.Time    // the last destination or service
}

func newIPVS(mesh *netns.Space, p *program.Runner) *ipvsBalancer {
	return &ipvsBalancer{mesh: mesh, programs: p}
}

// Close implements Balancer.
func (b *ipvsBalancer) Close() {
	if b.handle != nil {
		b.handle.Close()
		b.handle = nil
	}
	if b.conn != nil {
		b.conn.Close()
		b.conn = nil
	}
}

// PutVirtual implements Balancer.
func (b *ipvsBalancer) PutVirtual(ctx context.Context, v state.VirtualServer) error {
	s := serviceOf(v)
	err := b.do(ctx, func(h *ipvs.Handle) error { return h.NewService(s) })
	if errors.Is(err, unix.EEXIST) {
		// Never removed to be made anew: its connections would go with it.
		err = b.do(ctx, func(h *ipvs.Handle) error { return h.UpdateService(s) })
		if err == nil && hashes(v.Scheduler) {
			return b.order(ctx, s)
		}
	}
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("the kernel has no IPVS scheduler %s (modprobe ip_vs_%s; %s): %w", v.Scheduler, v.Scheduler, program.ExtraModules, err)
	}
	return err
}

// RemoveVirtual implements Balancer.
func (b *ipvsBalancer) RemoveVirtual(ctx context.Context, v state.VirtualServer) error {
	err := b.do(ctx, func(h *ipvs.Handle) error { return h.DelService(serviceOf(v)) })
	b.removed = time.Now()
	return nlmsg.Ignore(err, unix.ESRCH, unix.ENOENT)
}

// PutReal implements Balancer.
func (b *ipvsBalancer) PutReal(ctx context.Context, r state.RealServer) error {
	s, d := destinationOf(r)
	err := b.do(ctx, func(h *ipvs.Handle) error { return h.NewDestination(s, d) })
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if r.Weight == 0 {
		maglev, err := b.isMaglev(ctx, s)
		if err != nil {
			return err
		}
		if maglev {
			return b.remake(ctx, s, d)
		}
	}
	return b.do(ctx, func(h *ipvs.Handle) error { return h.UpdateDestination(s, d) })
}

// RemoveReal implements Balancer.
func (b *ipvsBalancer) RemoveReal(ctx context.Context, r state.RealServer) error {
	s, d := destinationOf(r)
	err := b.do(ctx, func(h *ipvs.Handle) error { return h.DelDestination(s, d) })
	b.removed = time.Now()
	return nlmsg.Ignore(err, unix.ESRCH, unix.ENOENT)
}

// PutTimeouts implements Balancer. IPVS keeps what is 0 here: the third timeout.
func (b *ipvsBalancer) PutTimeouts(ctx context.Context, t state.Timeouts) error {
	seconds := func(n int) time.Duration { return time.Duration(n) * time.Second }
	return b.do(ctx, func(h *ipvs.Handle) error {
		return h.SetConfig(&ipvs.Config{TimeoutTCP: seconds(t.TCPSeconds), TimeoutUDP: seconds(t.UDPSeconds)})
	})
}

func (b *ipvsBalancer) listTimeouts(ctx context.Context, into state.State) error {
	return b.do(ctx, func(h *ipvs.Handle) error {
		c, err := h.GetConfig()
		if err != nil {
			return fmt.Errorf("read the timeouts of IPVS: %w", err)
		}
		into.Put(state.Timeouts{TCPSeconds: int(c.TimeoutTCP.Seconds()), UDPSeconds: int(c.TimeoutUDP.Seconds())})
		return nil
	})
}

// do sends one request and does not wait for ever.
func (b *ipvsBalancer) do(ctx context.Context, request func(*ipvs.Handle) error) error {
	if err := b.open(ctx); err != nil {
		return err
	}
	h, done := b.handle, make(chan error, 1)
	go func() {
		err := request(h)
		for errors.Is(err, unix.EINTR) {
			err = request(h)
		}
		done <- err
	}()
	timeout := time.NewTimer(ipvsTimeout)
	defer timeout.Stop()
	select {
	case err := <-done:
		return err
	case <-timeout.C:
		b.Close()
		return fmt.Errorf("no answer from IPVS: %w", unix.ETIMEDOUT)
	}
}

func (b *ipvsBalancer) open(ctx context.Context) error {
	if b.handle != nil {
		return nil
	}
	there, err := b.kernelHas()
	if err == nil && !there {
		err = loadIPVS(ctx, b.programs)
	}
	if err != nil {
		return err
	}
	return b.mesh.Do(func() error {
		h, err := ipvs.New("")
		if err != nil {
			return fmt.Errorf("open a netlink socket for IPVS: %w", err)
		}
		b.handle = h
		return nil
	})
}

// kernelHas says whether the kernel has IPVS loaded.
func (b *ipvsBalancer) kernelHas() (bool, error) {
	_, err := b.mesh.Netlink.GenlFamilyGet("IPVS")
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil, err
}

// loadIPVS loads IPVS into the kernel. A kernel that has it built in, or a
// container whose host has loaded it, need no module: so ask the kernel, not
// modprobe.
func loadIPVS(ctx context.Context, p *program.Runner) error {
	_, cause := p.Run(ctx, "", "modprobe", "ip_vs")
	if _, err := netlink.GenlFamilyGet("IPVS"); err != nil {
		return fmt.Errorf("the kernel has no IPVS (%s): %w", program.ExtraModules, errors.Join(err, cause))
	}
	return nil
}

func protocolNumber(proto string) uint16 {
	if proto == "udp" {
		return unix.IPPROTO_UDP
	}
	return unix.IPPROTO_TCP
}

func destinationOf(r state.RealServer) (*ipvs.Service, *ipvs.Destination) {
	s := serviceOf(state.VirtualServer{Proto: r.Proto, Addr: r.Server})
	return s, &ipvs.Destination{
		AddressFamily:   unix.AF_INET,
		Address:         r.Addr.Addr().AsSlice(),
		Port:            r.Addr.Port(),
		Weight:          r.Weight,
		ConnectionFlags: ipvs.ConnectionFlagMasq,
	}
}
