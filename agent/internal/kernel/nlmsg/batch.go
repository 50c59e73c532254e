package nlmsg

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// native is the byte order of netlink.
var native = binary.NativeEndian

// Batch is requests that go to the kernel together.
type Batch struct {
	seq  uint32 // of the last message
	out  []byte
	at   int  // where its last message starts
	n    int  // how many messages it is
	dump bool // the last one asks for a list
}

// MaxBatch is how many messages go at once. Should the kernel refuse all of them, its
// answers still fit into the socket's queue.
const MaxBatch = 64

// NextSeq is the number that the next message will have.
func (b *Batch) NextSeq() uint32 { return b.seq + 1 }

// Bytes is what has been put together.
func (b *Batch) Bytes() []byte {
	b.finish()
	return b.out
}

// Reset forgets what has been put together, and keeps the buffer.
func (b *Batch) Reset() { b.out, b.n = b.out[:0], 0 }

// Append adds bytes to the attribute that Nest has begun.
func (b *Batch) Append(value ...byte) { b.out = append(b.out, value...) }

// Message begins a request with the header of its subsystem.
func (b *Batch) Message(typ, flags uint16, header ...byte) {
	b.finish()
	b.at, b.dump = len(b.out), flags&unix.NLM_F_DUMP == unix.NLM_F_DUMP
	b.n++
	b.seq++
	b.out = native.AppendUint32(b.out, 0) // the length, see finish
	b.out = native.AppendUint16(b.out, typ)
	b.out = native.AppendUint16(b.out, flags|unix.NLM_F_REQUEST)
	b.out = native.AppendUint32(b.out, b.seq)
	b.out = native.AppendUint32(b.out, 0)
	b.out = append(b.out, header...)
}

// finish writes the length of the last message.
func (b *Batch) finish() {
	if b.n > 0 {
		native.PutUint32(b.out[b.at:], uint32(len(b.out)-b.at))
	}
}

// Attr adds an attribute to the message.
func (b *Batch) Attr(typ uint16, value ...byte) {
	at := b.Nest(typ)
	b.out = append(b.out, value...)
	b.End(at)
}

// Attr16 and Attr32 add a number, in the byte order of this machine.
func (b *Batch) Attr16(typ, value uint16) {
	at := b.Nest(typ)
	b.out = native.AppendUint16(b.out, value)
	b.End(at)
}

// Attr32 is described with Attr16.
func (b *Batch) Attr32(typ uint16, value uint32) {
	at := b.Nest(typ)
	b.out = native.AppendUint32(b.out, value)
	b.End(at)
}

// AttrPort adds a port, in network byte order.
func (b *Batch) AttrPort(typ, port uint16) {
	at := b.Nest(typ)
	b.out = binary.BigEndian.AppendUint16(b.out, port)
	b.End(at)
}

// AttrText adds a text and the zero that ends it.
func (b *Batch) AttrText(typ uint16, text string) {
	at := b.Nest(typ)
	b.out = append(append(b.out, text...), 0)
	b.End(at)
}

// Nest begins an attribute that holds others, until End.
//
//go:noinline
func (b *Batch) Nest(typ uint16) (at int) {
	at = len(b.out)
	b.out = native.AppendUint16(b.out, 0)
	b.out = native.AppendUint16(b.out, typ)
	return at
}

// End closes what Nest began. Neither is inlined: that would make 20 KiB of the
// program of them.
//
//go:noinline
func (b *Batch) End(at int) {
	native.PutUint16(b.out[at:], uint16(len(b.out)-at))
	for len(b.out)%unix.NLA_ALIGNTO != 0 {
		b.out = append(b.out, 0)
	}
}
