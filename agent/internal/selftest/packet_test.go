package selftest

import (
	"encoding/hex"
	"net/netip"
	"testing"
)

var (
	client = netip.MustParseAddrPort("10.255.0.4:50826")
	server = netip.MustParseAddrPort("192.168.200.10:8081")
)

// The SYN as tcpdump saw it on a host, which found both checksums correct.
func TestSegment_Marshal_IsAsOnTheWire(t *testing.T) {
	const want = "45000030000040004006a7120aff0004c0a8c80ac68a1f91267471df000000007002faf076090000020405b404020101"
	syn := segment{from: client, to: server, seq: 645165535, flags: flagSYN}
	if got := hex.EncodeToString(syn.marshal()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, b := range [][]byte{syn.marshal(), segment{from: client, to: server, seq: 1, ack: 2, flags: flagFIN | flagACK}.marshal()} {
		if checksum(sum(0, b[:ipHeader])) != 0 {
			t.Error("the header's checksum is wrong")
		}
	}
}

func TestParseAnswer(t *testing.T) {
	syn := segment{from: client, to: server, seq: 7, flags: flagSYN}
	answerOf := func(flags byte, ack uint32) []byte {
		return segment{from: server, to: client, seq: 100, ack: ack, flags: flags}.marshal()
	}
	icmp := func(code byte) []byte {
		b := make([]byte, ipHeader+icmpHeader+ipHeader+8)
		b[0], b[9], b[ipHeader], b[ipHeader+1] = 4<<4|5, protocolICMP, 3, code
		copy(b[ipHeader+icmpHeader:], syn.marshal())
		return b
	}
	other := segment{from: client, to: server, seq: 8, flags: flagSYN}
	tests := []struct {
		name     string
		packet   []byte
		answers  bool
		rejected string
	}{
		{"syn-ack", answerOf(flagSYN|flagACK, 8), true, ""},
		{"reset", answerOf(flagRST|flagACK, 8), true, ""},
		{"an answer to another", answerOf(flagSYN|flagACK, 9), false, ""},
		{"an ack of something old", answerOf(flagACK, 8), false, ""},
		{"rejected", icmp(13), true, "icmp-admin-prohibited"},
		{"rejected in a way without a name", icmp(77), true, "icmp-unreachable"},
		{"its own", syn.marshal(), false, ""},
	}
	for _, tt := range tests {
		a, ok := parseAnswer(tt.packet)
		if !ok || a.answers(syn) != tt.answers || a.rejected != tt.rejected {
			t.Errorf("%s: %+v, %t", tt.name, a, ok)
		}
		if a.rejected != "" && a.answers(other) {
			t.Errorf("%s: answers another SYN as well", tt.name)
		}
	}
}

// Whatever comes in on the link is read or left.
func FuzzParseAnswer(f *testing.F) {
	syn := segment{from: client, to: server, seq: 7, flags: flagSYN}
	f.Add(syn.marshal())
	f.Add(append([]byte{0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 3, 13, 0, 0, 0, 0, 0, 0}, syn.marshal()[:28]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := parseAnswer(b)
		if ok && (!a.from.IsValid() || !a.to.IsValid()) {
			t.Errorf("%x: %+v", b, a)
		}
		_ = a.answers(syn)
	})
}
