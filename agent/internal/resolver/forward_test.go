package resolver

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// nameserverFake is one of the host's at an address of 127.0.0.0/8, over UDP and TCP. It
// answers with its address as text.
type nameserverFake struct {
	t       *testing.T
	address string
	udp     *net.UDPConn
	tcp     net.Listener

	mu    sync.Mutex
	asked []string // network, name and id
	ports []uint16
	// over says what to do with a request over UDP instead; nil is to answer.
	over func(raw []byte, from netip.AddrPort)
	code dnsmessage.RCode
}

func (w *world) nameserver(address string) *nameserverFake {
	w.t.Helper()
	at := netip.AddrPortFrom(addr(address), w.at.Port())
	udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	must(w.t, err)
	var config net.ListenConfig
	tcp, err := config.Listen(w.t.Context(), "tcp4", at.String())
	must(w.t, err)
	f := &nameserverFake{t: w.t, address: address, udp: udp, tcp: tcp}
	w.t.Cleanup(f.stop)
	go f.serveDatagrams()
	go f.serveStreams()
	return f
}

func (f *nameserverFake) stop() {
	f.udp.Close()
	f.tcp.Close()
}

func (f *nameserverFake) serveDatagrams() {
	buf := make([]byte, maxMessage)
	for {
		n, from, err := f.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		raw := slices.Clone(buf[:n])
		f.note("udp", raw, from.Port())
		f.mu.Lock()
		over := f.over
		f.mu.Unlock()
		if over != nil {
			over(raw, from)
		} else {
			f.send(f.answer(raw, f.address), from)
		}
	}
}

func (f *nameserverFake) serveStreams() {
	for {
		conn, err := f.tcp.Accept()
		if err != nil {
			return
		}
		if raw, err := readStream(conn); err == nil {
			f.note("tcp", raw, 0)
			_ = writeStream(conn, f.answer(raw, f.address+" over tcp"))
		}
		conn.Close()
	}
}

func (f *nameserverFake) note(network string, raw []byte, port uint16) {
	var p dnsmessage.Parser
	h, err := p.Start(raw)
	q, e := p.Question()
	if err != nil || e != nil {
		f.t.Errorf("forwarded: %x", raw)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, network+" "+q.Name.String())
	f.ports = append(f.ports, port, h.ID)
}

func (f *nameserverFake) set(over func(raw []byte, from netip.AddrPort)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = over
}

func (f *nameserverFake) log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

func (f *nameserverFake) send(raw []byte, to netip.AddrPort) {
	_, _ = f.udp.WriteToUDPAddrPort(raw, to)
}

// answer is a TXT record to the request.
func (f *nameserverFake) answer(raw []byte, text string) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(raw)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: h.ID, Response: true, RCode: f.code})
	_ = b.StartQuestions()
	_ = b.Question(q)
	_ = b.StartAnswers()
	_ = b.TXTResource(dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}, dnsmessage.TXTResource{TXT: []string{text}})
	answer, _ := b.Finish()
	return answer
}

// forwarding is a world that is open, with these nameservers.
func forwarding(t *testing.T, addresses ...string) (*world, []*nameserverFake) {
	t.Helper()
	w := newWorld(t)
	var all []*nameserverFake
	for _, a := range addresses {
		all = append(all, w.nameserver(a))
	}
	w.upstreams(addresses...)
	w.follow()
	w.open()
	return w, all
}

func TestForward_AsItIs(t *testing.T) {
	t.Parallel()
	w, up := forwarding(t, "127.0.1.53")
	for range 20 {
		if got := w.ask(slotA, "Example.com."); got != "Success 127.0.1.53" {
			t.Fatalf("%q", got)
		}
	}
	up[0].mu.Lock()
	ports := slices.Sorted(slices.Values(up[0].ports))
	up[0].mu.Unlock()
	if n := len(slices.Compact(ports)); n < 36 { // of 20 ports and 20 ids
		t.Errorf("ports and ids repeat: %v", ports)
	}
	if up[0].log()[0] != "udp Example.com." {
		t.Errorf("forwarded: %v", up[0].log())
	}
	if got := show(t, w.exchange("tcp", slotA, request(t, 7, "example.com.", dnsmessage.TypeA, 0))); got != "Success 127.0.1.53" {
		t.Errorf("over TCP: %q", got)
	}
}

// TestForward_OwnNames: no question about the cluster's names leaves the host, of whatever
// type, nor a name without a domain.
func TestForward_OwnNames(t *testing.T) {
	t.Parallel()
	w, up := forwarding(t, "127.0.1.53")
	for _, name := range []string{"web.", "tasks.web.", "none.", "web.demo.internal.", "none.demo.internal.", "2.255.255.127.in-addr.arpa."} {
		for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeMX, dnsmessage.TypeSRV, dnsmessage.TypePTR, 65} {
			w.exchange("udp", slotA, request(t, 7, name, kind, 0))
		}
	}
	if got := w.ask(addr("127.0.0.9"), "example.com."); got != "Refused" {
		t.Errorf("for somebody else: %q", got)
	}
	if log := up[0].log(); len(log) > 0 {
		t.Errorf("forwarded: %v", log)
	}
}

// TestForward_Next: a nameserver that refuses the packet, says nothing, or cannot tell is no
// reason for no answer, and is asked last for a while.
func TestForward_Next(t *testing.T) {
	t.Parallel()
	w, up := forwarding(t, "127.0.1.53", "127.0.2.53")
	silent := func([]byte, netip.AddrPort) {}
	up[0].set(silent)
	for range 3 {
		if got := w.ask(slotA, "example.com."); got != "Success 127.0.2.53" {
			t.Errorf("one is silent: %q", got)
		}
	}
	if n := len(up[0].log()); n != 1 {
		t.Errorf("the silent one was asked %d times", n)
	}
	up[0].set(nil)
	w.clock.Store(int64(avoidFor))
	if got := w.ask(slotA, "example.com."); got != "Success 127.0.1.53" {
		t.Errorf("it answers again: %q", got)
	}
	up[0].mu.Lock()
	up[0].code = dnsmessage.RCodeServerFailure
	up[0].mu.Unlock()
	if got := w.ask(slotA, "example.com."); got != "Success 127.0.2.53" {
		t.Errorf("one cannot tell: %q", got)
	}
	up[1].stop()
	if got := w.ask(slotA, "example.com."); got != "ServerFailure 127.0.1.53" {
		t.Errorf("nobody can tell: %q", got)
	}
	up[0].stop()
	if got := w.ask(slotA, "example.com."); got != "ServerFailure" {
		t.Errorf("all refuse: %q", got)
	}
}

// TestForward_Forged: what has another id or question, or comes from another address, is no
// answer.
func TestForward_Forged(t *testing.T) {
	t.Parallel()
	w, up := forwarding(t, "127.0.1.53")
	other := w.nameserver("127.0.2.53")
	up[0].set(func(raw []byte, from netip.AddrPort) {
		other.send(other.answer(raw, "forged"), from)
		wrong := up[0].answer(raw, "forged")
		up[0].send(withID(wrong, ^(uint16(raw[0])<<8|uint16(raw[1]))), from)
		question := up[0].answer(raw, "forged")
		question[headerSize+1] ^= 1
		up[0].send(question, from)
		up[0].send(raw, from) // no answer at all
		up[0].send(raw[:5], from)
		up[0].send(up[0].answer(raw, "right"), from)
	})
	for range 5 {
		if got := w.ask(slotA, "example.com."); got != "Success right" {
			t.Errorf("%q", got)
		}
	}
}

// TestForward_Truncated: an asker over UDP is told to come over TCP, and one over TCP gets all.
func TestForward_Truncated(t *testing.T) {
	t.Parallel()
	w, up := forwarding(t, "127.0.1.53")
	up[0].set(func(raw []byte, from netip.AddrPort) {
		answer := up[0].answer(raw, "a part")
		answer[2] |= 0x02
		up[0].send(answer, from)
	})
	if got := w.ask(slotA, "example.com."); got != "Success truncated a part" {
		t.Errorf("over UDP: %q", got)
	}
	if got := show(t, w.exchange("tcp", slotA, request(t, 7, "example.com.", dnsmessage.TypeA, 0))); got != "Success 127.0.1.53 over tcp" {
		t.Errorf("over TCP: %q", got)
	}
	long := strings.Repeat("x", 250)
	up[0].set(func(raw []byte, from netip.AddrPort) {
		answer := up[0].answer(raw, long)
		up[0].send(append(answer, make([]byte, 600)...), from)
	})
	if got := w.ask(slotA, "example.com."); got != "Success truncated" {
		t.Errorf("more than was asked for: %q", got)
	}
	if got := show(t, w.exchange("udp", slotA, request(t, 7, "example.com.", dnsmessage.TypeA, 1232))); !strings.Contains(got, long) {
		t.Errorf("as much as was asked for: %q", got)
	}
}

// TestForward_Fair: an asker whose queries nobody answers takes no place of another one.
func TestForward_Fair(t *testing.T) {
	t.Parallel()
	w, up := forwarding(t, "127.0.1.53")
	w.forwarder.attempt = waitFor // nothing ends by itself
	up[0].set(func(raw []byte, from netip.AddrPort) {
		if strings.Contains(string(raw), "good") {
			up[0].send(up[0].answer(raw, "good"), from)
		}
	})
	bad := w.dial("udp", slotA)
	for range maxPerAsker + 50 {
		_, err := bad.Write(request(t, 7, "bad.example.com.", dnsmessage.TypeA, 0))
		must(t, err)
	}
	buf := make([]byte, maxMessage)
	for range 50 {
		n, err := bad.Read(buf)
		must(t, err)
		if got := show(t, buf[:n]); got != "ServerFailure" {
			t.Fatalf("one too many: %q", got)
		}
	}
	if got := w.ask(slotB, "good.example.com."); got != "Success good" {
		t.Errorf("another asker: %q", got)
	}
	if got := w.ask(slotA, "web."); got != "Success 127.255.255.2" {
		t.Errorf("the asker's own names: %q", got)
	}
	if got := w.Queries()["overload"]; got != 50 {
		t.Errorf("%d were too many", got)
	}
}

func TestForwarder_MaxInFlight(t *testing.T) {
	f := newForwarder(nil)
	in := 0
	for i := range maxInFlight {
		if f.enter(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})) {
			in++
		}
	}
	one := addr("10.9.9.9")
	if in != maxInFlight || f.enter(one) {
		t.Errorf("%d and one more are in flight", in)
	}
	f.leave(addr("10.0.0.0"))
	if !f.enter(one) {
		t.Error("a place that was left is not free")
	}
	if len(f.askers) != maxInFlight {
		t.Errorf("%d askers are remembered", len(f.askers))
	}
}

// TestForward_ResolvConf is read again when it has changed, and never leads back to R.
func TestForward_ResolvConf(t *testing.T) {
	t.Parallel()
	w, _ := forwarding(t, "127.0.1.53")
	w.nameserver("127.0.2.53")
	if got := w.ask(slotA, "example.com."); got != "Success 127.0.1.53" {
		t.Errorf("%q", got)
	}
	w.upstreams(resolverAt.String(), slotB.String(), "127.0.2.53", "127.0.2.53", "junk")
	w.clock.Add(int64(resolvFresh))
	if got := w.ask(slotA, "example.com."); got != "Success 127.0.2.53" {
		t.Errorf("after a change: %q", got)
	}
	if servers, listed, _ := w.forwarder.upstream.alive(); len(servers) != 1 || listed != 4 {
		t.Errorf("%d of %d nameservers are asked", len(servers), listed)
	}
}

// warned waits until the text of the one warning has this in it; "" is for none.
func (w *world) warned(want string) {
	w.t.Helper()
	var last []mesh.Warning
	eventually(w.t, want, func() bool {
		last = w.Warnings()
		return want == "" && len(last) == 0 || len(last) == 1 && want != "" && strings.Contains(last[0].Text, want)
	})
	for _, one := range last {
		if one.Code != mesh.WarnNames || one.Object != mesh.NodeRef("n1") {
			w.t.Errorf("%+v", one)
		}
	}
}

func TestWarnings_Nameservers(t *testing.T) {
	t.Parallel()
	w, up := forwarding(t, "127.0.1.53")
	w.warned("")
	up[0].stop()
	w.ask(slotA, "example.com.")
	w.warned("") // one query in vain, tried twice, may be an accident
	w.ask(slotA, "example.com.")
	w.warned("no nameserver of the host's " + w.resolv + " answers (127.0.1.53)")
	w.nameserver("127.0.1.53")
	w.clock.Add(int64(reviveEvery)) // nobody asks anything meanwhile
	w.warned("")
	w.upstreams(resolverAt.String())
	w.clock.Add(int64(resolvFresh))
	w.warned("no nameserver but the mesh's own")
	must(t, os.Remove(w.resolv))
	w.clock.Add(int64(resolvFresh))
	w.warned("") // as the host itself wants it
	if got := w.ask(slotA, "example.com."); got != "ServerFailure" {
		t.Errorf("nobody to ask: %q", got)
	}
	w.Follow(nil, "", w.followed.now)
	w.warned("")
}

func TestWarnings_Sockets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.upstreams("127.0.1.53")
	other, err := net.ListenPacket("udp4", w.at.String())
	must(t, err)
	w.follow()
	eventually(t, "tried", func() bool { return w.fault.lasting(time.Now().Add(time.Hour)) != nil })
	w.warned("")
	w.clock.Add(int64(brokenFor))
	w.warned("another program listens there (`ip netns exec routingmesh ss -lunpt` shows which one)")
	other.Close()
	w.open()
	w.warned("")
	w.spaces.fail.Store(true)
	w.spaces.id.Store(2)
	eventually(t, "closed", func() bool { return len(w.store.names()) == 0 })
	w.clock.Add(int64(brokenFor))
	w.warned(unix.EADDRNOTAVAIL.Error())
	w.spaces.id.Store(0)
	w.warned("there is no network namespace routingmesh")
	if errors.Is(w.fault.lasting(w.now()), unix.EADDRNOTAVAIL) {
		t.Error("the fault of before is told")
	}
}
