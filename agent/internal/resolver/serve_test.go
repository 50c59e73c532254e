package resolver

import (
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
)

func TestResolver_Answers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.follow()
	w.open()
	for _, tt := range []struct {
		from netip.Addr
		name string
		kind dnsmessage.Type
		want string
	}{
		{slotA, "web.", dnsmessage.TypeA, "Success 127.255.255.2"},
		{slotA, "wEb.Demo.internal.", dnsmessage.TypeA, "Success 127.255.255.2"},
		{slotA, "web.", dnsmessage.TypeAAAA, "Success SOA . 1"},
		{slotA, "none.", dnsmessage.TypeA, "NameError SOA . 1"},
		{slotA, "none.demo.internal.", dnsmessage.TypeA, "NameError SOA demo.internal. 1"},
		{slotA, "demo.internal.", dnsmessage.TypeSOA, "Success SOA demo.internal. 1"},
		{slotA, "2.255.255.127.in-addr.arpa.", dnsmessage.TypePTR, "Success web.demo.internal."},
		{slotA, "128.0.255.127.in-addr.arpa.", dnsmessage.TypePTR, "Success tasks.web.demo.internal."},
		{slotA, "web.", dnsmessage.TypeAXFR, "NotImplemented"},
		{hostAddress, "web.", dnsmessage.TypeA, "ServerFailure"}, // a container that is not attached yet
		{addr("127.0.0.9"), "web.", dnsmessage.TypeA, "Refused"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			for _, size := range []int{0, 4096} {
				raw := w.exchange(network, tt.from, request(t, 7, tt.name, tt.kind, size))
				if got := show(t, raw); got != tt.want {
					t.Errorf("%s %s of %s over %s: %q, want %q", tt.kind, tt.name, tt.from, network, got, tt.want)
				}
				if edns := strings.Contains(string(raw), "\x00\x00\x29\x04\xd0"); edns != (size > 0) {
					t.Errorf("%s: EDNS is %t", tt.name, edns)
				}
			}
		}
	}
	if got := w.Queries(); got["answered"] != 20 || got["nxdomain"] != 8 || got["no_data"] != 4 || got["refused"] != 4 || got["not_yet"] != 4 || got["malformed"] != 4 {
		t.Errorf("counted: %v", got)
	}
}

// TestResolver_Rotates: one address after the other comes first.
func TestResolver_Rotates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.follow()
	w.open()
	first := map[string]int{}
	for range 10 {
		fields := strings.Fields(w.ask(slotA, "tasks.web."))
		if len(fields) != 3 {
			t.Fatal(fields)
		}
		first[fields[1]]++
	}
	if first[slotA.String()] != 5 || first[slotB.String()] != 5 {
		t.Errorf("first: %v", first)
	}
}

// TestResolver_Truncates: as many addresses as fit, and over TCP all.
func TestResolver_Truncates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.follow()
	w.open()
	for _, tt := range []struct {
		network         string
		size, most, max int
		cut             bool
	}{
		{"udp", 0, 30, 512, true},
		{"udp", 512, 29, 512, true},
		{"udp", 700, 41, 700, true},
		{"udp", 4096, 64, 1232, false},
		{"udp", 100, 29, 512, true}, // no asker takes less than 512
		{"tcp", 0, 64, maxMessage, false},
	} {
		raw := w.exchange(tt.network, slotA, request(t, 7, "many.", dnsmessage.TypeA, tt.size))
		got := show(t, raw)
		if n := strings.Count(got, "127.255.0."); n != tt.most || len(raw) > tt.max || strings.Contains(got, "truncated") != tt.cut {
			t.Errorf("%s, %d: %d addresses in %d bytes: %s", tt.network, tt.size, n, len(raw), got)
		}
	}
}

// TestResolver_Follows: what becomes of slots is seen at once.
func TestResolver_Follows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.follow()
	w.open()
	w.Follow(w.rec, "n1", compile.Conditions{Absent: map[netip.Addr]bool{slotA: true}})
	if got := w.ask(slotB, "tasks.web."); got != "Success "+slotB.String() {
		t.Errorf("an empty slot: %q", got)
	}
	w.Follow(w.rec, "n1", compile.Conditions{Absent: map[netip.Addr]bool{}})
	if got := w.ask(slotB, "tasks.web."); !strings.Contains(got, slotA.String()) {
		t.Errorf("a filled slot: %q", got)
	}
}

// TestResolver_Malformed: what is no query is not answered, and what cannot be read is said
// to be so.
func TestResolver_Malformed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.follow()
	w.open()
	good := request(t, 7, "web.", dnsmessage.TypeA, 1232)
	edit := func(change func(b []byte) []byte) []byte { return change(append([]byte(nil), good...)) }
	for name, tt := range map[string]struct {
		raw  []byte
		want string
	}{
		"an opcode":           {edit(func(b []byte) []byte { b[2] |= 2 << 3; return b }), "NotImplemented"},
		"no question":         {edit(func(b []byte) []byte { b[5] = 0; return b[:12] }), "FormatError"},
		"two questions":       {edit(func(b []byte) []byte { b[5] = 2; return b }), "FormatError"},
		"a cut question":      {edit(func(b []byte) []byte { return b[:15] }), "FormatError"},
		"a pointer":           {edit(func(b []byte) []byte { b[12] = 0xc0; return b }), "FormatError"},
		"another class":       {edit(func(b []byte) []byte { b[20] = 3; return b }), "Refused"},
		"a cut option":        {edit(func(b []byte) []byte { return b[:len(b)-2] }), "FormatError"},
		"an EDNS to come":     {edit(func(b []byte) []byte { b[len(b)-5] = 1; return b }), "Success"},
		"a name with a point": {edit(func(b []byte) []byte { b[14] = '.'; return b }), "FormatError"},
	} {
		if got := show(t, w.exchange("udp", slotA, tt.raw)); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	conn := w.dial("udp", slotA)
	for _, raw := range [][]byte{{}, good[:11], edit(func(b []byte) []byte { b[2] |= 0x80; return b })} {
		_, err := conn.Write(raw)
		must(t, err)
	}
	_, err := conn.Write(good) // the first one that has an answer
	must(t, err)
	buf := make([]byte, maxMessage)
	n, err := conn.Read(buf)
	must(t, err)
	if got := show(t, buf[:n]); got != "Success 127.255.255.2" {
		t.Errorf("what is no query was answered: %q", got)
	}
}

// FuzzDecide: whatever somebody sends, the answer is a message with the request's id and
// question that fits, or the request goes on as it is.
func FuzzDecide(f *testing.F) {
	t := &testing.T{}
	for _, name := range []string{"web.", "many.", "none.", "example.com.", ".", "128.0.255.127.in-addr.arpa.", "demo.internal."} {
		for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypePTR, dnsmessage.TypeSOA} {
			f.Add(request(t, 7, name, kind, 0), false)
			f.Add(request(t, 7, name, kind, 1232), true)
		}
	}
	r := New(Options{Kernel: &spaces{}}) // there is no namespace
	r.Follow(record(t), "n1", compile.Conditions{})
	f.Fuzz(func(t *testing.T, raw []byte, stream bool) {
		sent := string(raw)
		answer, q := r.decide(raw, slotA, stream)
		if string(raw) != sent {
			t.Error("the request was changed")
		}
		if q != nil {
			if d := q.detach(raw); string(d) != sent || string(q.asked) != sent[headerSize:headerSize+len(q.asked)] {
				t.Error("another query goes on")
			}
			return
		}
		if len(answer) == 0 {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(answer); err != nil {
			t.Fatalf("%x: %v", answer, err)
		}
		if string(answer[:2]) != sent[:2] || !m.Response {
			t.Errorf("no answer to the request: %v", m.Header)
		}
		if !stream && len(answer) > ednsSize {
			t.Errorf("%d bytes", len(answer))
		}
	})
}

func FuzzAnswerTo(f *testing.F) {
	t := &testing.T{}
	raw := request(t, 7, "example.com.", dnsmessage.TypeA, 1232)
	q, _, err := parseQuery(raw)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(q.fail(0))
	f.Fuzz(func(t *testing.T, answer []byte) {
		if !answerTo(answer, 7, q.asked) {
			return
		}
		for _, limit := range []int{0, plainSize, maxMessage} {
			if cut := q.fit(answer, limit); len(cut) > max(limit, headerSize+len(q.asked)) || !answerTo(cut, 7, q.asked) {
				t.Errorf("%d bytes for %d: %x", len(cut), limit, cut)
			}
		}
		_, _ = truncated(answer), rcodeOf(answer)
	})
}
