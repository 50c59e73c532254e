package presence

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/netip"
)

// A datagram, in network byte order:
//
//	 0  magic "rmp" and version 1
//	 4  the first 8 bytes of SHA-256 of the record's UID
//	12  the sender's block: 4 bytes address, 1 byte prefix length
//	17  1 byte that is 0, and is ignored
//	18  uint16: number of offsets
//	20  uint64: the sender's instance, random at each start of its agent
//	28  uint64: sequence number, which rises with each datagram of the instance
//	36  uint16 each: offsets of the filled slots in the block, ascending
//
// What follows the offsets is ignored, so that a later agent can append to it and
// still be understood by this one.
const (
	magic      = "rmp\x01"
	headerSize = 36
	// maxSlots bounds a datagram to 548 bytes, which pass any overlay whole.
	maxSlots = 256
	maxSize  = headerSize + 2*maxSlots
)

var errMalformed = errors.New("not a datagram of this protocol")

type uidHash [8]byte

func hashUID(uid string) uidHash {
	sum := sha256.Sum256([]byte(uid))
	return uidHash(sum[:8])
}

// datagram is what a node says of its slots.
type datagram struct {
	uid      uidHash
	block    netip.Prefix
	instance uint64
	sequence uint64
	filled   []uint16 // ascending, at most maxSlots, within the block
}

func (d datagram) encode() []byte {
	b := make([]byte, 0, headerSize+2*len(d.filled))
	b = append(b, magic...)
	b = append(b, d.uid[:]...)
	first := d.block.Masked().Addr().As4()
	b = append(b, first[:]...)
	b = append(b, byte(d.block.Bits()), 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(d.filled)))
	b = binary.BigEndian.AppendUint64(b, d.instance)
	b = binary.BigEndian.AppendUint64(b, d.sequence)
	for _, n := range d.filled {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	return b
}

func decode(b []byte) (datagram, error) {
	if len(b) < headerSize || string(b[:len(magic)]) != magic {
		return datagram{}, errMalformed
	}
	d := datagram{
		uid:      uidHash(b[4:12]),
		block:    netip.PrefixFrom(netip.AddrFrom4([4]byte(b[12:16])), int(b[16])),
		instance: binary.BigEndian.Uint64(b[20:]),
		sequence: binary.BigEndian.Uint64(b[28:]),
	}
	count, list := int(binary.BigEndian.Uint16(b[18:])), b[headerSize:]
	if !d.block.IsValid() || d.block != d.block.Masked() || count > maxSlots || len(list) < 2*count {
		return datagram{}, errMalformed
	}
	size := uint64(1) << (32 - d.block.Bits())
	for i := range count {
		n := binary.BigEndian.Uint16(list[2*i:])
		if uint64(n) >= size || i > 0 && n <= d.filled[i-1] {
			return datagram{}, errMalformed
		}
		d.filled = append(d.filled, n)
	}
	return d, nil
}
