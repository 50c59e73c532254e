package nlmsg

import (
	"bytes"
	"maps"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// What a batch puts together is read back as it was put in.
func TestBatch_ReadBack(t *testing.T) {
	t.Parallel()
	b := &Batch{}
	first := b.NextSeq()
	b.Message(7, unix.NLM_F_ACK, 1, 2, 3, 4)
	b.AttrText(1, "text")
	at := b.Nest(2 | unix.NLA_F_NESTED)
	b.AttrPort(3, 8080)
	b.Attr16(4, 4711)
	b.Attr(5, 10, 255, 1, 2)
	b.End(at)
	b.Message(8, 0)
	b.Attr32(6, 1<<31)
	got := map[uint16][]byte{}
	var seen []Message
	for m := range Messages(b.Bytes()) {
		seen = append(seen, m)
		body := m.Body
		if m.Type == 7 {
			if !bytes.HasPrefix(body, []byte{1, 2, 3, 4}) {
				t.Errorf("the header is not where it was put: %x", body)
			}
			body = body[4:]
		}
		maps.Insert(got, Attrs(body))
	}
	maps.Insert(got, Attrs(got[2]))
	if len(seen) != 2 || seen[0].Seq != first || seen[1].Seq != first+1 || seen[0].Flags != unix.NLM_F_REQUEST|unix.NLM_F_ACK {
		t.Errorf("messages: %+v", seen)
	}
	if Text(got[1]) != "text" || Port(got[3]) != 8080 || Uint16(got[4]) != 4711 || IPv4(got[5]) != netip.MustParseAddr("10.255.1.2") || Uint32(got[6]) != 1<<31 {
		t.Errorf("attributes: %x", got)
	}
	if b.Reset(); len(b.Bytes()) != 0 || b.NextSeq() != first+2 {
		t.Errorf("after a reset: %x, next %d", b.Bytes(), b.NextSeq())
	}
}

// What is cut off reads as nothing, and ends the walk.
func FuzzRead(f *testing.F) {
	b := &Batch{}
	b.Message(1, 0, 0, 0, 0, 0)
	b.AttrText(1, "text")
	f.Add(b.Bytes())
	f.Add([]byte{4, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		n := 0
		for m := range Messages(data) {
			n += len(m.Body)
			for _, value := range NetfilterAttrs(m.Body) {
				_, _, _, _, _ = Text(value), Uint16(value), Uint32(value), Port(value), IPv4(value)
			}
		}
		if n > len(data) {
			t.Errorf("%d bytes read of %d", n, len(data))
		}
	})
}
