package selftest

import (
	"encoding/binary"
	"net/netip"
)

const (
	ipHeader   = 20
	tcpHeader  = 20
	icmpHeader = 8

	protocolICMP = 1
	protocolTCP  = 6

	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// segment is a TCP segment without data.
type segment struct {
	from, to netip.AddrPort
	seq, ack uint32
	flags    byte
}

// synOptions are those that every client sends: a largest segment, which every
// overlay carries, and selective acknowledgements.
var synOptions = []byte{2, 4, 1460 >> 8, 1460 & 0xff, 4, 2, 1, 1}

// marshal makes an IPv4 packet of it.
func (s segment) marshal() []byte {
	var options []byte
	if s.flags&flagSYN != 0 {
		options = synOptions
	}
	b := make([]byte, ipHeader+tcpHeader, ipHeader+tcpHeader+len(options))
	b = append(b, options...)
	const ttl, dontFragment, window = 64, 0x40, 64240
	from, to := s.from.Addr().As4(), s.to.Addr().As4()
	b[0], b[6], b[8], b[9] = 4<<4|ipHeader/4, dontFragment, ttl, protocolTCP
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	copy(b[12:], from[:])
	copy(b[16:], to[:])
	binary.BigEndian.PutUint16(b[10:], checksum(sum(0, b[:ipHeader])))
	tcp := b[ipHeader:]
	binary.BigEndian.PutUint16(tcp, s.from.Port())
	binary.BigEndian.PutUint16(tcp[2:], s.to.Port())
	binary.BigEndian.PutUint32(tcp[4:], s.seq)
	binary.BigEndian.PutUint32(tcp[8:], s.ack)
	tcp[12], tcp[13] = byte(len(tcp)/4)<<4, s.flags
	binary.BigEndian.PutUint16(tcp[14:], window)
	pseudo := sum(sum(protocolTCP+uint32(len(tcp)), from[:]), to[:])
	binary.BigEndian.PutUint16(tcp[16:], checksum(sum(pseudo, tcp)))
	return b
}

// sum adds 16-bit words (RFC 1071). All that is summed here is of even length.
func sum(s uint32, b []byte) uint32 {
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	return s
}

func checksum(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// answer is what has come for a SYN.
type answer struct {
	segment
	// rejected is the ICMP message that came in its place, from sender; "" for a segment.
	rejected string
	sender   netip.Addr
}

// parseAnswer reads an IPv4 packet: a TCP segment, or an ICMP "destination
// unreachable" about one, whose segment is then the one that was sent.
func parseAnswer(b []byte) (answer, bool) {
	protocol, from, to, body, ok := parseIP(b)
	switch {
	case !ok:
		return answer{}, false
	case protocol == protocolTCP && len(body) >= tcpHeader:
		s := parsePorts(from, to, body)
		s.seq, s.ack, s.flags = binary.BigEndian.Uint32(body[4:]), binary.BigEndian.Uint32(body[8:]), body[13]
		return answer{segment: s}, true
	case protocol == protocolICMP && len(body) >= icmpHeader:
		const unreachable = 3
		inner, innerFrom, innerTo, tcp, ok := parseIP(body[icmpHeader:])
		if body[0] != unreachable || !ok || inner != protocolTCP || len(tcp) < 8 {
			return answer{}, false
		}
		s := parsePorts(innerFrom, innerTo, tcp)
		s.seq = binary.BigEndian.Uint32(tcp[4:])
		return answer{segment: s, rejected: unreachableText(body[1]), sender: from}, true
	}
	return answer{}, false
}

func parsePorts(from, to netip.Addr, tcp []byte) segment {
	return segment{
		from: netip.AddrPortFrom(from, binary.BigEndian.Uint16(tcp)),
		to:   netip.AddrPortFrom(to, binary.BigEndian.Uint16(tcp[2:])),
	}
}

// parseIP reads the header of a packet that is no later fragment. The packet may
// be cut off, as the one in an ICMP message is.
func parseIP(b []byte) (protocol byte, from, to netip.Addr, body []byte, ok bool) {
	const offset = 0x1fff
	if len(b) < ipHeader || b[0]>>4 != 4 || binary.BigEndian.Uint16(b[6:])&offset != 0 {
		return 0, from, to, nil, false
	}
	header := int(b[0]&0xf) * 4
	if header < ipHeader || len(b) < header {
		return 0, from, to, nil, false
	}
	return b[9], netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[header:], true
}

// unreachableText is what iptables and nft call the ICMP code.
func unreachableText(code byte) string {
	names := map[byte]string{
		0: "net-unreachable", 1: "host-unreachable", 2: "prot-unreachable", 3: "port-unreachable",
		9: "net-prohibited", 10: "host-prohibited", 13: "admin-prohibited",
	}
	if name := names[code]; name != "" {
		return "icmp-" + name
	}
	return "icmp-unreachable"
}
