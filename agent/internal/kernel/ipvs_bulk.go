package kernel

import (
	"context"
	"time"

	"github.com/moby/ipvs"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/nlmsg"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Of include/uapi/linux/ip_vs.h, beside those of counters.go.
const (
	ipvsNewService, ipvsDelService = 1, 3
	ipvsNewDest, ipvsDelDest       = 5, 7

	serviceFlags, serviceTimeout, serviceNetmask = 7, 8, 9

	destForward, destUpper, destLower = 3, 5, 6
)

// Bulk implements Balancer: what moby/ipvs does one by one, and waits for each,
// goes to the kernel in one piece (a tenth of the time and less). Nothing of what
// the kernel says to it is made use of here: what it refuses, moby/ipvs is to do.
func (b *ipvsBalancer) Bulk(ctx context.Context, ops []state.Op) (left []state.Op) {
	if err := b.openBulk(ctx); err != nil {
		return ops
	}
	first := b.conn.NextSeq()
	for _, op := range ops {
		switch o := op.Object().(type) {
		case state.VirtualServer:
			b.putService(commandFor(op, ipvsNewService, ipvsDelService), o)
		case state.RealServer:
			b.putDest(commandFor(op, ipvsNewDest, ipvsDelDest), o)
		}
	}
	failed, err := b.conn.Exchange(nil)
	if ops[0].Action == state.Remove {
		b.removed = time.Now()
	}
	if err != nil {
		b.Close()
		return ops
	}
	for i, op := range ops {
		if failed[first+uint32(i)] != nil {
			left = append(left, op)
		}
	}
	return left
}

func commandFor(op state.Op, add, remove byte) byte {
	if op.Action == state.Remove {
		return remove
	}
	return add
}

// openBulk opens its socket, once moby/ipvs has its own: then there is IPVS.
func (b *ipvsBalancer) openBulk(ctx context.Context) error {
	if b.conn != nil {
		return nil
	}
	if err := b.open(ctx); err != nil {
		return err
	}
	family, err := b.mesh.Netlink.GenlFamilyGet("IPVS")
	if err != nil {
		return err
	}
	b.family = family.ID
	b.conn, err = nlmsg.Dial(b.mesh.NS, unix.NETLINK_GENERIC)
	return err
}

// putService and putDest put one request into the batch.
func (b *ipvsBalancer) putService(command byte, v state.VirtualServer) {
	b.conn.Message(b.family, 0, command, 1, 0, 0)
	b.serviceAttr(serviceOf(v), command != ipvsDelService)
}

func (b *ipvsBalancer) putDest(command byte, r state.RealServer) {
	s, d := destinationOf(r)
	b.conn.Message(b.family, 0, command, 1, 0, 0)
	b.serviceAttr(s, false)
	b.destAttr(d)
}

// serviceAttr names a service, or with all of it asks for one.
func (b *ipvsBalancer) serviceAttr(s *ipvs.Service, all bool) {
	at := b.conn.Nest(ipvsAttrService | unix.NLA_F_NESTED)
	b.conn.Attr16(serviceFamily, s.AddressFamily)
	b.conn.Attr16(serviceProtocol, s.Protocol)
	b.conn.Attr(serviceAddr, s.Address...)
	b.conn.AttrPort(servicePort, s.Port)
	if all {
		b.conn.AttrText(serviceScheduler, s.SchedName)
		flags := b.conn.Nest(serviceFlags)
		b.conn.Append(native.AppendUint32(native.AppendUint32(nil, s.Flags), ^uint32(0))...) // and their mask
		b.conn.End(flags)
		b.conn.Attr32(serviceTimeout, s.Timeout)
		b.conn.Attr32(serviceNetmask, s.Netmask)
	}
	b.conn.End(at)
}

func (b *ipvsBalancer) destAttr(d *ipvs.Destination) {
	at := b.conn.Nest(ipvsAttrDest | unix.NLA_F_NESTED)
	b.conn.Attr(destAddr, d.Address...)
	b.conn.AttrPort(destPort, d.Port)
	b.conn.Attr32(destForward, d.ConnectionFlags&ipvs.ConnectionFlagFwdMask)
	b.conn.Attr32(destWeight, uint32(d.Weight))
	b.conn.Attr32(destUpper, d.UpperThreshold)
	b.conn.Attr32(destLower, d.LowerThreshold)
	b.conn.End(at)
}
