package probe

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

const (
	ipv4Header  = 20
	icmpHeader  = 8
	udpHeader   = 8
	vxlanHeader = 8
	etherHeader = 14

	moreFragments = 0x20 // of the byte with the IPv4 flags
)

// nonce tells a probe's own answers from those to an earlier one.
type nonce [8]byte

func newNonce() (n nonce) {
	_, _ = rand.Read(n[:]) // never fails
	return n
}

// mark starts the payload of our echoes: a ping of somebody else's is none.
const mark = "rmesh/1\x00"

// echo is one of ours as it was received. Its size is that of the IPv4 packet,
// in bytes with the header.
type echo struct {
	from    netip.Addr
	request bool
	size    int
	nonce   nonce
}

// newEcho makes an ICMP echo request that makes an IPv4 packet of the size.
func newEcho(size int, n nonce) ([]byte, error) {
	data := make([]byte, max(size-ipv4Header-icmpHeader, len(mark)+len(n)))
	copy(data, mark)
	copy(data[len(mark):], n[:])
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: int(binary.BigEndian.Uint16(n[:])), Seq: size, Data: data}}
	return m.Marshal(nil)
}

// parseEcho reads an ICMP message of ours; the kernel has checked its checksum.
func parseEcho(b []byte, from netip.Addr) (echo, bool) {
	const icmpProtocol = 1
	m, err := icmp.ParseMessage(icmpProtocol, b)
	if err != nil {
		return echo{}, false
	}
	body, ok := m.Body.(*icmp.Echo)
	if !ok || m.Code != 0 || len(body.Data) < len(mark)+len(nonce{}) || !bytes.HasPrefix(body.Data, []byte(mark)) {
		return echo{}, false
	}
	e := echo{from: from.Unmap(), request: m.Type == ipv4.ICMPTypeEcho, size: ipv4Header + len(b)}
	copy(e.nonce[:], body.Data[len(mark):])
	return e, true
}

// frame is what the outside of an overlay packet says.
type frame struct {
	outer, to netip.Addr // the outer source and destination
	sender    netip.Addr // S of the node that sent it, from the inner MAC 02:52:S
	// whole is the size of the inner packet that the first of several pieces would
	// have held; 0 of a packet in one piece. The offset counts in eights, so it may be
	// up to 7 bytes less than what the link carries.
	whole int
}

// parseFrame reads an IPv4 packet, which may be cut off after the inner Ethernet
// header, and says whether it is a VXLAN packet of that port and VNI from a node
// of a mesh.
func parseFrame(b []byte, port uint16, vni uint32) (frame, bool) {
	if len(b) < ipv4Header || b[0]>>4 != 4 {
		return frame{}, false
	}
	header := int(b[0]&0xf) * 4
	const udp = 17
	if header < ipv4Header || b[9] != udp || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 ||
		len(b) < header+udpHeader+vxlanHeader+etherHeader {
		return frame{}, false
	}
	vxlan := b[header+udpHeader:]
	inner := vxlan[vxlanHeader:]
	const hasVNI = 0x08
	if binary.BigEndian.Uint16(b[header+2:]) != port || vxlan[0]&hasVNI == 0 ||
		binary.BigEndian.Uint32(vxlan[4:])>>8 != vni || inner[6] != 0x02 || inner[7] != 0x52 {
		return frame{}, false
	}
	whole := 0
	if b[6]&moreFragments != 0 {
		whole = int(binary.BigEndian.Uint16(b[2:])) - header - udpHeader - vxlanHeader - etherHeader
	}
	return frame{
		outer:  netip.AddrFrom4([4]byte(b[12:16])),
		to:     netip.AddrFrom4([4]byte(b[16:20])),
		sender: netip.AddrFrom4([4]byte(inner[8:12])),
		whole:  max(whole, 0),
	}, true
}
