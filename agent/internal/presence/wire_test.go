package presence

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func cmpPrefix() cmp.Option { return cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }) }

func diff(want, got any) string {
	return cmp.Diff(want, got, cmp.AllowUnexported(datagram{}), cmpPrefix(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }))
}

func example() datagram {
	return datagram{uid: hashUID("cluster"), block: prefix("10.255.3.0/24"), instance: 0x1122334455667788, sequence: 9, filled: []uint16{16, 17, 255}}
}

// The bytes are what agents of other versions read and write.
func TestDatagram_Encode_IsGolden(t *testing.T) {
	const want = "726d7001" + "164cf1ca8391532e" + "0aff0300" + "18" + "00" + "0003" + "1122334455667788" + "0000000000000009" + "0010" + "0011" + "00ff"
	if got := hex.EncodeToString(example().encode()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDecode_RoundTrip(t *testing.T) {
	full := datagram{block: prefix("10.0.0.0/16"), instance: ^uint64(0), sequence: ^uint64(0)}
	for i := range maxSlots {
		full.filled = append(full.filled, uint16(65535-maxSlots+1+i))
	}
	if size := len(full.encode()); size != maxSize {
		t.Errorf("the largest has %d bytes, want %d", size, maxSize)
	}
	for name, d := range map[string]datagram{
		"example": example(), "full": full,
		"empty": {block: prefix("10.0.0.0/24")}, "one address": {block: prefix("10.0.0.7/32"), filled: []uint16{0}},
	} {
		got, err := decode(d.encode())
		if err != nil || diff(d, got) != "" {
			t.Errorf("%s: %v %s", name, err, diff(d, got))
		}
	}
}

// A later agent may append to the datagram, and use the byte that is 0 now.
func TestDecode_LaterVersion_IsUnderstood(t *testing.T) {
	b := append(example().encode(), "what is new"...)
	b[17] = 0xff
	got, err := decode(b)
	if err != nil || diff(example(), got) != "" {
		t.Errorf("%v %s", err, diff(example(), got))
	}
}

func malformed() map[string][]byte {
	change := func(at int, to ...byte) []byte {
		b := example().encode()
		copy(b[at:], to)
		return b
	}
	whole := example().encode()
	return map[string][]byte{
		"nothing":                   {},
		"half a header":             whole[:headerSize-1],
		"an offset too few":         whole[:len(whole)-2],
		"half an offset":            whole[:len(whole)-1],
		"another protocol":          change(0, 'R'),
		"another version":           change(3, 2),
		"prefix length 33":          change(16, 33),
		"prefix length 255":         change(16, 255),
		"bits beyond the prefix":    change(15, 1),
		"more offsets than follow":  change(18, 0, 4),
		"more than 256 offsets":     append(change(18, 1, 1), make([]byte, 2*maxSlots)...),
		"an offset twice":           change(38, 0, 16),
		"descending offsets":        change(38, 0, 15),
		"an offset past the block":  change(40, 1, 0),
		"an offset of a /32 is 16":  change(12, 10, 255, 3, 0, 32),
		"an offset of a /25 is 255": change(16, 25),
	}
}

func TestDecode_Malformed_IsRefused(t *testing.T) {
	for name, b := range malformed() {
		if d, err := decode(b); err == nil {
			t.Errorf("%s: decoded as %+v", name, d)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(example().encode())
	f.Add(datagram{block: prefix("0.0.0.0/0")}.encode())
	f.Add(append(example().encode(), 1, 2, 3))
	for _, b := range malformed() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := decode(b)
		if err != nil {
			return
		}
		again := d.encode()
		if len(again) > len(b) || !bytes.Equal(again[18:], b[18:len(again)]) || !bytes.Equal(again[:17], b[:17]) {
			t.Errorf("decoded %x, encoded %x", b, again)
		}
		if got, err := decode(again); err != nil || diff(d, got) != "" {
			t.Errorf("%v %s", err, diff(d, got))
		}
	})
}

// Any list of slots that a node may have arrives as it was.
func FuzzEncode(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint32(0x0a000000), byte(24), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, instance, sequence uint64, block uint32, bits byte, slots []byte) {
		d := datagram{instance: instance, sequence: sequence}
		a := netip.AddrFrom4([4]byte{byte(block >> 24), byte(block >> 16), byte(block >> 8), byte(block)})
		d.block = netip.PrefixFrom(a, int(bits%25)).Masked()
		m := Member{Address: a, Block: d.block}
		first := d.block.Addr().As4()
		for _, n := range slots {
			first[3] = n
			m.Slots = append(m.Slots, netip.AddrFrom4(first))
		}
		d.filled = m.offsets(func(netip.Addr) bool { return true })
		if got, err := decode(d.encode()); err != nil || diff(d, got) != "" {
			t.Errorf("%v %s", err, diff(d, got))
		}
	})
}
