package mesh

import (
	"fmt"
	"net/netip"
	"slices"
)

// A published port may be a range of ports, from Published to Last: one object of the
// record, one IPVS service and one member of a set on each node, however many ports it has.
// Its first port is its key, so that it can grow and shrink at its end in place.
//
// IPVS tells a service of many ports by a mark of its packets, not by address and port. So
// each range has a VIP of its own (RangeVIP), from which its mark follows, and which keeps
// ranges apart whose targets overlap. It is the same on all nodes: no packet on a wire has it.

// RangeVIPs are the VIPs of all ranges: of 240.0.0.0/4, as EntryAddresses are, which no
// host, network or pool may have.
var RangeVIPs = netip.MustParsePrefix("244.0.0.0/13")

const (
	// rangeBits is the length of RangeVIPs. What follows it is in the mark of a range.
	rangeBits = 13
	// rangeMarks begins the marks of ranges, so that another program's are none of them.
	rangeMarks = 0x52 << 24
)

// The VIPs of ranges by what becomes of the client's address: it is the entry node's for
// BalancedRangeVIPs, the client's own on the node itself for HostRangeVIPs, and its own on
// any node for PreserveRangeVIPs.
var (
	BalancedRangeVIPs = netip.MustParsePrefix("244.0.0.0/15")
	HostRangeVIPs     = netip.MustParsePrefix("244.2.0.0/16")
	PreserveRangeVIPs = netip.MustParsePrefix("244.4.0.0/15")
)

// IsRange says that the port is a range of several.
func (p *PublishedPort) IsRange() bool { return p.Last != 0 }

// Range is the published ports, of one that is no range the port itself.
func (p *PublishedPort) Range() PortRange {
	return PortRange{p.Published, max(p.Published, p.Last)}
}

// TargetRange is the ports on which endpoints answer what comes to a range.
func (p *PublishedPort) TargetRange() PortRange {
	return PortRange{p.Target, p.Target + p.Range().size() - 1}
}

// Has says that the port is in the range.
func (r PortRange) Has(port uint16) bool { return r.First <= port && port <= r.Last }

func (r PortRange) overlaps(o PortRange) bool { return r.First <= o.Last && o.First <= r.Last }

// size is that of a range which begins at 1 at least.
func (r PortRange) size() uint16 { return r.Last - r.First + 1 }

// Name is what people call the port, "8080/tcp" or "10000-10999/tcp".
func (p *PublishedPort) Name() string {
	if !p.IsRange() {
		return p.Key().Plain().String()
	}
	return fmt.Sprintf("%s/%s", p.Range(), p.Protocol)
}

// RangeVIP is the virtual address of the range on every node. preserve asks for that of
// connections that keep the client's address.
func (p *PublishedPort) RangeVIP(preserve bool) netip.Addr {
	base := BalancedRangeVIPs.Addr().As4()
	switch {
	case preserve:
		base = PreserveRangeVIPs.Addr().As4()
	case p.Mode == Host && p.Protocol == TCP:
		base = HostRangeVIPs.Addr().As4()
	}
	if p.Protocol == UDP {
		base[1]++
	}
	base[2], base[3] = byte(p.Published>>8), byte(p.Published)
	return netip.AddrFrom4(base)
}

// RangeMarks is what the marks of all ranges begin with, and the mask of that.
func RangeMarks() (mark, mask uint32) { return rangeMarks, ^uint32(1<<(32-rangeBits) - 1) }

// RangeMark is the mark of the packets for a range, by its VIP; false for another address.
func RangeMark(vip netip.Addr) (uint32, bool) {
	if !RangeVIPs.Contains(vip) {
		return 0, false
	}
	a := vip.As4()
	mark := rangeMarks | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
	return mark, mark&0xffff != 0
}

// RangeOfMark is the reverse of RangeMark: the protocol, and the VIP with the first port of
// the range.
func RangeOfMark(mark uint32) (Protocol, netip.AddrPort, bool) {
	if mark>>(32-rangeBits) != rangeMarks>>(32-rangeBits) || mark&0xffff == 0 {
		return "", netip.AddrPort{}, false
	}
	vip := netip.AddrFrom4([4]byte{RangeVIPs.Addr().As4()[0], byte(mark >> 16), byte(mark >> 8), byte(mark)})
	proto := TCP
	switch {
	case HostRangeVIPs.Contains(vip):
	case !BalancedRangeVIPs.Contains(vip) && !PreserveRangeVIPs.Contains(vip):
		return "", netip.AddrPort{}, false
	case mark&(1<<16) != 0:
		proto = UDP
	}
	return proto, netip.AddrPortFrom(vip, uint16(mark)), true
}

// RangeServer is where IPVS has the range that the address is of: its VIP with its first
// port. Any other address is returned as it is.
func RangeServer(at netip.AddrPort) netip.AddrPort {
	if mark, ok := RangeMark(at.Addr()); ok {
		return netip.AddrPortFrom(at.Addr(), uint16(mark))
	}
	return at
}

// DestinationPort is the port of IPVS's destination for endpoint e: 0 for a range, whose
// destinations keep the port that a packet has.
func (p *PublishedPort) DestinationPort(e Endpoint) uint16 {
	if p.IsRange() {
		return 0
	}
	return p.TargetFor(e)
}

// Ranges returns the published ports that are ranges, sorted by key.
func (r *Record) Ranges() (ranges []*PublishedPort) {
	for _, p := range r.Ports {
		if p.IsRange() {
			ranges = append(ranges, p)
		}
	}
	slices.SortFunc(ranges, func(a, b *PublishedPort) int { return a.Key().Compare(b.Key()) })
	return ranges
}

// PortsOver returns the published ports that the key's number is one of: those of that
// number, else the range that it is in.
func (r *Record) PortsOver(k PortKey) []*PublishedPort {
	if ports := r.PortsAt(k); len(ports) > 0 {
		return ports
	}
	for _, p := range r.Ports {
		if p.IsRange() && p.Protocol == k.Protocol && p.Range().Has(k.Port) {
			return []*PublishedPort{p}
		}
	}
	return nil
}

// PortOver is the first of PortsOver, nil for none.
func (r *Record) PortOver(k PortKey) *PublishedPort {
	if ports := r.PortsOver(k); len(ports) > 0 {
		return ports[0]
	}
	return nil
}

// PortsBeside returns the published ports, of any service, that have a number of p's,
// sorted; p itself, as it is in the record, is one of them.
func (r *Record) PortsBeside(p *PublishedPort) (ports []*PublishedPort) {
	if !p.IsRange() {
		return r.PortsOver(p.Key())
	}
	for _, other := range r.Ports {
		if other.Protocol == p.Protocol && other.Range().overlaps(p.Range()) {
			ports = append(ports, other)
		}
	}
	slices.SortFunc(ports, func(a, b *PublishedPort) int { return a.Key().Compare(b.Key()) })
	return ports
}

// checkRange has the rules of a range by itself. s is its service.
func (p *PublishedPort) checkRange(s *Service) error {
	if p.Last == 0 {
		return nil
	}
	fail := func(attr, format string, args ...any) error {
		return &Error{Object: PortRef(p.Key()), Attribute: attr, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case p.Published == 0:
		return fail("last_port", "A range of ports needs its first one: set published_port.")
	case p.Last <= p.Published:
		return fail("last_port", "last_port must be greater than published_port, not %d for a range from %d: leave it out for one port.", p.Last, p.Published)
	case int(p.Target)+int(p.Last-p.Published) > 65535:
		return fail("target_port", "The targets of the ports %s begin at %d and would end at %d: the last port is 65535. Choose a lower target_port, or a shorter range.",
			p.Range(), p.Target, int(p.Target)+int(p.Last-p.Published))
	case p.VIP != 0 || p.Listen != "":
		return fail("listen_addresses", "A range of ports is open at all addresses of a node: leave listen_addresses out, or publish single ports.")
	case p.OnePacket:
		return fail("one_packet", "The packets of a range of ports cannot be sent one by one: leave one_packet out, or publish single ports.")
	}
	for _, e := range s.Endpoints {
		if e.Port != 0 {
			return p.ownPort(s)
		}
	}
	return nil
}

// ownPort refuses a range whose service has endpoints with ports of their own: each port of
// a range has a target of its own already.
func (p *PublishedPort) ownPort(s *Service) error {
	return &Error{Object: PortRef(p.Key()), Attribute: "last_port", Detail: fmt.Sprintf(
		"Endpoints of service %q have ports of their own, which stand for one target: a range of ports (%s) leads to target_port and those after it on every endpoint. "+
			"Leave the port of the endpoints out, or publish the range for another service.", s.Name, p.Name())}
}

// checkRanges is checkRange for a service that is changed.
func (s *Service) checkRanges(r *Record) error {
	if !slices.ContainsFunc(s.endpointPorts(), func(port uint16) bool { return port != 0 }) {
		return nil
	}
	for _, p := range r.ServicePorts(s.Name) {
		if p.IsRange() {
			return s.fail("endpoints", "The service publishes the range of ports %s, which leads to target_port and those after it on every endpoint: leave the port of its endpoints out.", p.Name())
		}
	}
	return nil
}

func (s *Service) endpointPorts() (ports []uint16) {
	for _, e := range s.Endpoints {
		ports = append(ports, e.Port)
	}
	return ports
}

// checkRangesApart has the rules of the record's ranges beside all other ports.
func (r *Record) checkRangesApart() error {
	for _, p := range r.Ranges() {
		for _, other := range r.PortsBeside(p) {
			if other.Key() != p.Key() {
				return p.beside(other)
			}
		}
	}
	return nil
}

// whyAny is why for each port of a range: the first that must not be published.
func (r *reservations) whyAny(p *PublishedPort) string {
	if !p.IsRange() {
		return r.why(p.Key())
	}
	all := []uint16{22, r.cluster.VXLANPort}
	for _, own := range r.own {
		all = append(all, own.port)
	}
	for port := range r.ssh {
		all = append(all, port)
	}
	slices.Sort(all)
	for _, port := range all {
		if port == 0 || !p.Range().Has(port) {
			continue
		}
		if why := r.why(PortKey{Port: port, Protocol: p.Protocol}); why != "" {
			return fmt.Sprintf("It is one of the ports %s. %s", p.Range(), why)
		}
	}
	return ""
}
