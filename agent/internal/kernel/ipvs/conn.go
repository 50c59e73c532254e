package ipvs

import (
	"context"
	"errors"
	"fmt"
	"time"

	moby "github.com/moby/ipvs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/program"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/refusal"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// ipvsTimeout is when a request counts as lost.
const ipvsTimeout = 10 * time.Second

// Conn reads and writes the services of one namespace, and their destinations. It opens
// its sockets when they are first needed, and loads IPVS if the kernel has it not.
type Conn struct {
	space    *netns.Space
	programs *program.Runner
	handle   *moby.Handle // nil until needed
	wire     *wire        // of Bulk, nil until needed
	removed  time.Time    // the last destination or service
}

// New returns one for a namespace.
func New(space *netns.Space, run *program.Runner) *Conn {
	return &Conn{space: space, programs: run}
}

// Close gives back the sockets.
func (c *Conn) Close() {
	if c.handle != nil {
		c.handle.Close()
		c.handle = nil
	}
	if c.wire != nil {
		c.wire.Close()
		c.wire = nil
	}
}

// PutVirtual makes a service, or changes the one that is there.
func (c *Conn) PutVirtual(ctx context.Context, v state.VirtualServer) error {
	s := serviceOf(v)
	err := c.do(ctx, func(h *moby.Handle) error { return h.NewService(s) })
	if errors.Is(err, unix.EEXIST) {
		// Never removed to be recreated: its connections would go with it.
		if err = c.update(ctx, s); err == nil && hashes(v.Scheduler) {
			return c.order(ctx, s)
		}
	}
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("the kernel has no IPVS scheduler %s (modprobe ip_vs_%s; %s): %w", v.Scheduler, v.Scheduler, program.ExtraModules, err)
	}
	return err
}

// update changes a service. Between two schedulers the kernel has none, and waits for a grace
// period (ip_vs_edit_service): what comes in these milliseconds has no destination.
func (c *Conn) update(ctx context.Context, s *moby.Service) error {
	var found *moby.Service
	err := c.do(ctx, func(h *moby.Handle) (err error) {
		found, err = h.GetService(s)
		return err
	})
	if err != nil {
		return err
	}
	change := func() error {
		return c.do(ctx, func(h *moby.Handle) error { return h.UpdateService(s) })
	}
	if found.SchedName == s.SchedName {
		return change()
	}
	return refusal.Withhold(c.space, change)
}

// RemoveVirtual removes a service that may be gone.
func (c *Conn) RemoveVirtual(ctx context.Context, v state.VirtualServer) error {
	err := c.do(ctx, func(h *moby.Handle) error { return h.DelService(serviceOf(v)) })
	c.removed = time.Now()
	return nlmsg.Ignore(err, unix.ESRCH, unix.ENOENT)
}

// PutReal makes a destination, or changes the one that is there.
func (c *Conn) PutReal(ctx context.Context, r state.RealServer) error {
	s, d := destinationOf(r)
	err := c.do(ctx, func(h *moby.Handle) error { return h.NewDestination(s, d) })
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if r.Weight == 0 {
		maglev, err := c.isMaglev(ctx, s)
		if err != nil {
			return err
		}
		if maglev {
			return c.remake(ctx, s, d)
		}
	}
	return c.do(ctx, func(h *moby.Handle) error { return h.UpdateDestination(s, d) })
}

// RemoveReal removes a destination that may be gone.
func (c *Conn) RemoveReal(ctx context.Context, r state.RealServer) error {
	s, d := destinationOf(r)
	err := c.do(ctx, func(h *moby.Handle) error { return h.DelDestination(s, d) })
	c.removed = time.Now()
	return nlmsg.Ignore(err, unix.ESRCH, unix.ENOENT)
}

// PutTimeouts sets for how long idle connections are kept. IPVS keeps what is 0 here:
// the third timeout.
func (c *Conn) PutTimeouts(ctx context.Context, t state.Timeouts) error {
	seconds := func(n int) time.Duration { return time.Duration(n) * time.Second }
	return c.do(ctx, func(h *moby.Handle) error {
		return h.SetConfig(&moby.Config{TimeoutTCP: seconds(t.TCPSeconds), TimeoutUDP: seconds(t.UDPSeconds)})
	})
}

func (c *Conn) listTimeouts(ctx context.Context, into state.State) error {
	return c.do(ctx, func(h *moby.Handle) error {
		timeouts, err := h.GetConfig()
		if err != nil {
			return fmt.Errorf("read the timeouts of IPVS: %w", err)
		}
		into.Put(state.Timeouts{TCPSeconds: int(timeouts.TimeoutTCP.Seconds()), UDPSeconds: int(timeouts.TimeoutUDP.Seconds())})
		return nil
	})
}

// do sends one request and does not wait for ever.
func (c *Conn) do(ctx context.Context, request func(*moby.Handle) error) error {
	if err := c.open(ctx); err != nil {
		return err
	}
	h, done := c.handle, make(chan error, 1)
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
		c.Close()
		return fmt.Errorf("no answer from IPVS: %w", unix.ETIMEDOUT)
	}
}

func (c *Conn) open(ctx context.Context) error {
	if c.handle != nil {
		return nil
	}
	there, err := c.kernelHas()
	if err == nil && !there {
		err = LoadModule(ctx, c.programs)
	}
	if err != nil {
		return err
	}
	return c.space.Do(func() error {
		h, err := moby.New("")
		if err != nil {
			return fmt.Errorf("open a netlink socket for IPVS: %w", err)
		}
		c.handle = h
		return nil
	})
}

// kernelHas says whether the kernel has IPVS loaded.
func (c *Conn) kernelHas() (bool, error) {
	_, err := c.space.Netlink.GenlFamilyGet("IPVS")
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil, err
}

// LoadModule loads IPVS into the kernel. A kernel that has it built in, or a
// container whose host has loaded it, need no module: so ask the kernel, not
// modprobe.
func LoadModule(ctx context.Context, p *program.Runner) error {
	_, cause := p.Run(ctx, "", "modprobe", "ip_vs")
	if _, err := netlink.GenlFamilyGet("IPVS"); err != nil {
		return fmt.Errorf("the kernel has no IPVS (%s): %w", program.ExtraModules, errors.Join(err, cause))
	}
	return nil
}
