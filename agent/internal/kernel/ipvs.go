package kernel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// ipvsBalancer writes through netlink itself: moby/ipvs needs four system calls, a
// goroutine and some fifty allocations for a request, waits for ever for an answer
// that is lost, and cannot send two at once.
type ipvsBalancer struct {
	mesh     *netspace
	programs *programs
	conn     *netlinkConn // nil until needed
	family   uint16       // IPVS's in generic netlink
	removed  time.Time    // the last destination or service
}

func newIPVS(mesh *netspace, p *programs) *ipvsBalancer {
	return &ipvsBalancer{mesh: mesh, programs: p}
}

// Close implements Balancer.
func (b *ipvsBalancer) Close() {
	if b.conn != nil {
		b.conn.close()
		b.conn = nil
	}
}

// PutVirtual implements Balancer.
func (b *ipvsBalancer) PutVirtual(ctx context.Context, v state.VirtualServer) error {
	err := b.do(ctx, func() { b.putService(ipvsNewService, v) }, nil)
	if errors.Is(err, unix.EEXIST) {
		// Never removed to be made anew: its connections would go with it.
		err = b.do(ctx, func() { b.putService(ipvsSetService, v) }, nil)
		if err == nil && hashes(v.Scheduler) {
			return b.order(ctx, v)
		}
	}
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("the kernel has no IPVS scheduler %s (modprobe ip_vs_%s; %s): %w", v.Scheduler, v.Scheduler, extraModules, err)
	}
	return err
}

// RemoveVirtual implements Balancer.
func (b *ipvsBalancer) RemoveVirtual(ctx context.Context, v state.VirtualServer) error {
	err := b.do(ctx, func() { b.putService(ipvsDelService, v) }, nil)
	b.removed = time.Now()
	return already(err, unix.ESRCH, unix.ENOENT)
}

// PutReal implements Balancer.
func (b *ipvsBalancer) PutReal(ctx context.Context, r state.RealServer) error {
	err := b.write(ctx, ipvsNewDest, r)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if r.Weight == 0 {
		maglev, err := b.isMaglev(ctx, r)
		if err != nil {
			return err
		}
		if maglev {
			return b.remake(ctx, r)
		}
	}
	return b.write(ctx, ipvsSetDest, r)
}

// write sends one command about a destination.
func (b *ipvsBalancer) write(ctx context.Context, command byte, r state.RealServer) error {
	return b.do(ctx, func() { b.putDest(command, r) }, nil)
}

// RemoveReal implements Balancer.
func (b *ipvsBalancer) RemoveReal(ctx context.Context, r state.RealServer) error {
	err := b.write(ctx, ipvsDelDest, r)
	b.removed = time.Now()
	return already(err, unix.ESRCH, unix.ENOENT)
}

// PutTimeouts implements Balancer. IPVS keeps what is not in it: the third timeout.
func (b *ipvsBalancer) PutTimeouts(ctx context.Context, t state.Timeouts) error {
	return b.do(ctx, func() {
		b.command(ipvsSetConfig, 0)
		b.conn.attr32(ipvsAttrTimeoutTCP, uint32(t.TCPSeconds))
		b.conn.attr32(ipvsAttrTimeoutUDP, uint32(t.UDPSeconds))
	}, nil)
}

func (b *ipvsBalancer) listTimeouts(ctx context.Context, into state.State) error {
	var t state.Timeouts
	err := b.do(ctx, func() { b.command(ipvsGetConfig, 0) }, func(message []byte) {
		for typ, value := range attrs(message[min(len(message), nl.SizeofGenlmsg):]) {
			switch typ {
			case ipvsAttrTimeoutTCP:
				t.TCPSeconds = int(number32(value))
			case ipvsAttrTimeoutUDP:
				t.UDPSeconds = int(number32(value))
			}
		}
	})
	if err != nil {
		return fmt.Errorf("read the timeouts of IPVS: %w", err)
	}
	into.Put(t)
	return nil
}

// do sends the request that fill puts together, and shows the answers to each.
func (b *ipvsBalancer) do(ctx context.Context, fill func(), each func(message []byte)) error {
	if err := b.open(ctx); err != nil {
		return err
	}
	fill()
	failed, err := b.conn.exchange(each)
	if err == nil {
		return failed[b.conn.seq]
	}
	if !errors.Is(err, netlink.ErrDumpInterrupted) {
		b.Close() // what is still to come on it is not for the next request
	}
	return err
}

// dump is do for a list, which is asked for again where it has changed on the way;
// begin is called first each time.
func (b *ipvsBalancer) dump(ctx context.Context, begin, fill func(), each func(message []byte)) error {
	_, err := list("IPVS", func() ([]struct{}, error) {
		begin()
		return nil, b.do(ctx, fill, each)
	})
	return err
}

func (b *ipvsBalancer) open(ctx context.Context) error {
	if b.conn != nil {
		return nil
	}
	there, err := b.kernelHas()
	if err == nil && !there {
		if err = loadIPVS(ctx, b.programs); err == nil {
			_, err = b.kernelHas()
		}
	}
	if err != nil {
		return err
	}
	conn, err := dialNetlink(b.mesh.ns, unix.NETLINK_GENERIC)
	if err != nil {
		return fmt.Errorf("open a netlink socket for IPVS: %w", err)
	}
	b.conn = conn
	return nil
}

// kernelHas says whether the kernel has IPVS loaded.
func (b *ipvsBalancer) kernelHas() (bool, error) {
	family, err := b.mesh.nl.GenlFamilyGet("IPVS")
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err == nil {
		b.family = family.ID
	}
	return err == nil, err
}

// loadIPVS loads IPVS into the kernel. A kernel that has it built in, or a
// container whose host has loaded it, need no module: so ask the kernel, not
// modprobe.
func loadIPVS(ctx context.Context, p *programs) error {
	_, cause := p.run(ctx, "", "modprobe", "ip_vs")
	if _, err := netlink.GenlFamilyGet("IPVS"); err != nil {
		return fmt.Errorf("the kernel has no IPVS (%s): %w", extraModules, errors.Join(err, cause))
	}
	return nil
}

func protocolNumber(proto string) uint16 {
	if proto == "udp" {
		return unix.IPPROTO_UDP
	}
	return unix.IPPROTO_TCP
}
