package conntrack

import (
	"encoding/hex"
	"testing"
)

// A udp entry as Linux 6.1 sends it: 192.168.77.100:40000 to 192.168.77.1:5353,
// answered by 10.255.1.1:5353.
const sentEntry = "02000000" +
	"34000180" + "14000180" + "08000100c0a84d64" + "08000200c0a84d01" + "1c000280" + "0500010011000000" + "060002009c400000" + "0600030014e90000" +
	"34000280" + "14000180" + "080001000aff0101" + "08000200c0a84d64" + "1c000280" + "0500010011000000" + "0600020014e90000" + "060003009c400000" +
	"080003000000019e" + "0800070000000064"

func TestParse(t *testing.T) {
	message, err := hex.DecodeString(sentEntry)
	if err != nil {
		t.Fatal(err)
	}
	f, ok := parse(message, false)
	if !ok || f.from.String() != "192.168.77.100:40000" || f.to.String() != "192.168.77.1:5353" || f.answeredFrom.String() != "10.255.1.1:5353" || f.answeredTo != f.from {
		t.Errorf("%+v, %t", f, ok)
	}
	tcp := append([]byte(nil), message...)
	tcp[36] = 6
	if f, ok := parse(tcp, false); ok {
		t.Errorf("tcp: %+v", f)
	}
	if f, ok := parse(tcp, true); !ok || !f.tcp || f.answeredFrom.String() != "10.255.1.1:5353" {
		t.Errorf("tcp, asked for: %+v, %t", f, ok)
	}
	if f, ok := parse(append(message, 6, 0, 18, 0, 0, 1, 0, 0), true); ok {
		t.Errorf("another zone: %+v", f)
	}
}

// Whatever the kernel sends, an entry is read or left.
func FuzzParse(f *testing.F) {
	message, err := hex.DecodeString(sentEntry)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(message)
	f.Fuzz(func(_ *testing.T, b []byte) {
		if read, ok := parse(b, true); ok {
			_ = inMesh{&Stale{}}.stale(read) || inHost{&Stale{}}.stale(read)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	message, err := hex.DecodeString(sentEntry)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		parse(message, false)
	}
}
