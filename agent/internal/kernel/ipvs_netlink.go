package kernel

import (
	"context"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Of include/uapi/linux/ip_vs.h, beside those of counters.go.
const (
	ipvsNewService, ipvsSetService, ipvsDelService = 1, 2, 3
	ipvsNewDest, ipvsSetDest, ipvsDelDest          = 5, 6, 7
	ipvsSetConfig, ipvsGetConfig                   = 12, 13

	ipvsAttrTimeoutTCP, ipvsAttrTimeoutUDP = 4, 6

	serviceFlags, serviceTimeout, serviceNetmask = 7, 8, 9

	destForward, destUpper, destLower = 3, 5, 6
	forwardMask, forwardMasquerading  = 0x7, 0x0
)

// service is an IPVS service as the kernel has it.
type service struct {
	proto     string // tcp, udp
	addr      netip.AddrPort
	scheduler string
	flags     uint32
	timeout   uint32 // of persistence, in seconds
	netmask   uint32 // in the order of the wire
}

// command begins a request to IPVS.
func (b *ipvsBalancer) command(command byte, flags uint16) {
	b.conn.message(b.family, flags, command, 1, 0, 0)
}

// serviceAttr names a service, or with all of it asks for one.
func (b *ipvsBalancer) serviceAttr(s service, all bool) {
	at, addr := b.conn.nest(ipvsAttrService|unix.NLA_F_NESTED), s.addr.Addr().As4()
	b.conn.attr16(serviceFamily, unix.AF_INET)
	b.conn.attr16(serviceProtocol, protocolNumber(s.proto))
	b.conn.attr(serviceAddr, addr[:]...)
	b.conn.attrPort(servicePort, s.addr.Port())
	if all {
		b.conn.attrText(serviceScheduler, s.scheduler)
		flags := b.conn.nest(serviceFlags)
		b.conn.out = native.AppendUint32(native.AppendUint32(b.conn.out, s.flags), ^uint32(0)) // and their mask
		b.conn.end(flags)
		b.conn.attr32(serviceTimeout, s.timeout)
		b.conn.attr32(serviceNetmask, s.netmask)
	}
	b.conn.end(at)
}

// destAttr is a destination, always masquerading and without thresholds.
func (b *ipvsBalancer) destAttr(r state.RealServer) {
	at, addr := b.conn.nest(ipvsAttrDest|unix.NLA_F_NESTED), r.Addr.Addr().As4()
	b.conn.attr(destAddr, addr[:]...)
	b.conn.attrPort(destPort, r.Addr.Port())
	b.conn.attr32(destForward, forwardMasquerading)
	b.conn.attr32(destWeight, uint32(r.Weight))
	b.conn.attr32(destUpper, 0)
	b.conn.attr32(destLower, 0)
	b.conn.end(at)
}

// putService and putDest put one request into the batch.
func (b *ipvsBalancer) putService(command byte, v state.VirtualServer) {
	b.command(command, 0)
	b.serviceAttr(serviceOf(v), command != ipvsDelService)
}

func (b *ipvsBalancer) putDest(command byte, r state.RealServer) {
	b.command(command, 0)
	b.serviceAttr(service{proto: r.Proto, addr: r.Server}, false)
	b.destAttr(r)
}

// Bulk implements Balancer.
func (b *ipvsBalancer) Bulk(ctx context.Context, ops []state.Op) (left []state.Op) {
	if err := b.open(ctx); err != nil {
		return ops
	}
	first := b.conn.seq + 1
	for _, op := range ops {
		switch o := op.Object().(type) {
		case state.VirtualServer:
			b.putService(commandFor(op, ipvsNewService, ipvsDelService), o)
		case state.RealServer:
			b.putDest(commandFor(op, ipvsNewDest, ipvsDelDest), o)
		}
	}
	failed, err := b.conn.exchange(nil)
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

// parseService passes over services by firewall mark or of IPv6: they are not ours
// to make, and somebody who puts one into our namespace keeps it.
func parseService(message []byte) (s service, ours bool) {
	var addr netip.Addr
	var port, family uint16
	ours, s.proto = true, "tcp"
	for typ, value := range attrs(commandAttr(message, ipvsAttrService)) {
		switch typ {
		case serviceFamily:
			family = number16(value)
		case serviceProtocol:
			if number16(value) == unix.IPPROTO_UDP {
				s.proto = "udp"
			}
		case serviceAddr:
			addr = inetAddr(value)
		case servicePort:
			port = bigEndian16(value)
		case serviceMark:
			ours = false
		case serviceScheduler:
			s.scheduler = schedulerName(value)
		case serviceFlags:
			s.flags = number32(value)
		case serviceTimeout:
			s.timeout = number32(value)
		case serviceNetmask:
			s.netmask = number32(value)
		}
	}
	s.addr = netip.AddrPortFrom(addr, port)
	return s, ours && family == unix.AF_INET && addr.IsValid()
}

// schedulerName makes no text anew for those that most services have.
func schedulerName(value []byte) string {
	for _, known := range [...]string{"rr", "wrr", "lc", "wlc", "sh", "mh"} {
		if len(value) == len(known)+1 && string(value[:len(known)]) == known {
			return known
		}
	}
	return textOf(value)
}

// parseDest reads a destination of v.
func parseDest(v state.VirtualServer, message []byte) (r state.RealServer, ok bool) {
	r = state.RealServer{Proto: v.Proto, Server: v.Addr}
	var addr netip.Addr
	var port uint16
	for typ, value := range attrs(commandAttr(message, ipvsAttrDest)) {
		switch typ {
		case destAddr:
			addr = inetAddr(value)
		case destPort:
			port = bigEndian16(value)
		case destForward:
			if number32(value)&forwardMask != forwardMasquerading {
				r.Fault = notMasquerading
			}
		case destWeight:
			r.Weight = int(number32(value))
		}
	}
	r.Addr = netip.AddrPortFrom(addr, port)
	return r, addr.IsValid()
}
