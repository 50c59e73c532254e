package nft

import (
	"bytes"
	"slices"
)

// truth has a third value for what cannot be known.
type truth uint8

const (
	no truth = iota
	yes
	unknown
)

func (t truth) and(o truth) truth {
	switch {
	case t == no || o == no:
		return no
	case t == yes && o == yes:
		return yes
	}
	return unknown
}

func (t truth) not() truth {
	switch t {
	case no:
		return yes
	case yes:
		return no
	}
	return unknown
}

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// value is some bytes, of which the bits in mask are known; the others are 0.
type value struct{ bytes, mask []byte }

func (v value) known() bool {
	return !slices.ContainsFunc(v.mask, func(m byte) bool { return m != 0xff })
}

func (v value) equal(want []byte) truth {
	if len(want) != len(v.bytes) {
		return unknown
	}
	for i, b := range v.bytes {
		if (b^want[i])&v.mask[i] != 0 {
			return no
		}
	}
	if v.known() {
		return yes
	}
	return unknown
}

// within compares as nf_tables does: byte by byte, whatever the type.
func (v value) within(from, to []byte) truth {
	if bytes.Equal(from, to) {
		return v.equal(from)
	}
	if !v.known() {
		return unknown
	}
	return truthOf(bytes.Compare(v.bytes, from) >= 0 && bytes.Compare(v.bytes, to) <= 0)
}

// registers are those of nf_tables: a verdict and 16 words of 4 bytes.
type registers struct{ bytes, mask [registerBytes]byte }

const registerBytes = 80

// register is where a register begins: 1–4 have 16 bytes, 8–23 are their words.
func register(b []byte) (at int, ok bool) {
	n := int(number(b))
	switch {
	case len(b) != 4 || n < 1 || n > 23 || n > 4 && n < 8:
		return 0, false
	case n <= 4:
		return 16 * n, true
	}
	return 4 * (n - 4), true
}

func (r *registers) get(at, size int) (value, bool) {
	if size <= 0 || at+size > registerBytes {
		return value{}, false
	}
	return value{r.bytes[at : at+size], r.mask[at : at+size]}, true
}

// put fills up the last word with zeros, as the kernel does.
func (r *registers) put(at int, v value) bool {
	if at+len(v.bytes) > registerBytes {
		return false
	}
	n := copy(r.bytes[at:], v.bytes)
	copy(r.mask[at:], v.mask)
	for i := at + n; i%4 != 0; i++ {
		r.bytes[i], r.mask[i] = 0, 0xff
	}
	return true
}

func knownValue(b ...byte) value { return value{b, bytes.Repeat([]byte{0xff}, len(b))} }

func unknownValue(size int) value { return value{make([]byte, size), make([]byte, size)} }
