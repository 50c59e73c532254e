package nft

import (
	"encoding/binary"
	"net/netip"
)

// State is a connection's state as rules see it; 0 is one that is not known.
type State uint32

const (
	Established State = 2
	New         State = 8
)

// Packet is an IPv4 packet of tcp or udp. What is zero is not known.
type Packet struct {
	In, Out          string // links
	InIndex          uint32
	OutIndex         uint32
	Src, Dst         netip.Addr
	Protocol         uint8
	SrcPort, DstPort uint16
	State            State
	// DNAT says that the connection's destination has been translated.
	DNAT bool
	// ToLocal says that the destination is an address of this host.
	ToLocal bool
	// Before is the packet as chains see it that come before the translation of its
	// destination, where that differs.
	Before *Packet
}

// Protocols.
const (
	TCP = 6
	UDP = 17
)

// header is the network header: what is not set stays unknown.
func (p *Packet) header() value {
	v := unknownValue(20)
	set := func(at int, b ...byte) {
		copy(v.bytes[at:], b)
		copy(v.mask[at:], knownValue(b...).mask)
	}
	set(0, 0x45)
	set(9, p.Protocol)
	if p.Src.Is4() {
		set(12, p.Src.AsSlice()...)
	}
	if p.Dst.Is4() {
		set(16, p.Dst.AsSlice()...)
	}
	return v
}

func (p *Packet) transport() value {
	v := unknownValue(20)
	port := func(at int, n uint16) {
		if n != 0 {
			binary.BigEndian.PutUint16(v.bytes[at:], n)
			v.mask[at], v.mask[at+1] = 0xff, 0xff
		}
	}
	port(0, p.SrcPort)
	port(2, p.DstPort)
	if p.Protocol == TCP && p.State == New {
		v.bytes[13], v.mask[13] = 0x02, 0x3f // SYN alone, but for ECN
	}
	return v
}

func part(v value, at, size int) value {
	if at < 0 || size <= 0 || size > registerBytes || at+size > len(v.bytes) {
		return unknownValue(max(0, min(size, registerBytes)))
	}
	return value{v.bytes[at : at+size], v.mask[at : at+size]}
}

// Keys of meta.
const (
	metaProtocol, metaIIF, metaOIF, metaIIFName, metaOIFName, metaNFProto, metaL4Proto = 1, 4, 5, 6, 7, 15, 16
)

func (p *Packet) meta(key uint32) value {
	switch key {
	case metaProtocol:
		return knownValue(0x08, 0x00)
	case metaIIF:
		return index(p.InIndex)
	case metaOIF:
		return index(p.OutIndex)
	case metaIIFName:
		return linkName(p.In)
	case metaOIFName:
		return linkName(p.Out)
	case metaNFProto:
		return knownValue(familyIPv4)
	case metaL4Proto:
		return knownValue(p.Protocol)
	}
	return unknownValue(4)
}

func index(n uint32) value {
	if n == 0 {
		return unknownValue(4)
	}
	return knownValue(binary.NativeEndian.AppendUint32(nil, n)...)
}

func linkName(name string) value {
	const size = 16
	if name == "" {
		return unknownValue(size)
	}
	var b [size]byte
	copy(b[:size-1], name)
	return knownValue(b[:]...)
}

// Keys of ct, and a bit of its status.
const (
	ctState, ctStatus, ctL3Proto, ctProtocol = 0, 2, 7, 10

	statusDNAT = 1 << 5
)

func (p *Packet) ct(key uint32, tracked bool) value {
	if !tracked || p.State == 0 {
		return unknownValue(4)
	}
	switch key {
	case ctState:
		return knownValue(binary.NativeEndian.AppendUint32(nil, uint32(p.State))...)
	case ctStatus:
		v := unknownValue(4)
		binary.NativeEndian.PutUint32(v.mask, statusDNAT)
		if p.DNAT {
			binary.NativeEndian.PutUint32(v.bytes, statusDNAT)
		}
		return v
	case ctL3Proto:
		return knownValue(familyIPv4)
	case ctProtocol:
		return knownValue(p.Protocol)
	}
	return unknownValue(16)
}
