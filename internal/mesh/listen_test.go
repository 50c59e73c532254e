package mesh

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
)

func TestParseListenAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want, err string }{
		{"", "", ""},
		{"192.0.2.7 10.0.0.0/8 192.0.2.7/32", "10.0.0.0/8,192.0.2.7/32", ""},
		{"127.0.0.1/8", "", `"127.0.0.1/8" has bits beyond its prefix length: is 127.0.0.0/8 meant, or 127.0.0.1/32?`},
		{"0.0.0.0", "", `"0.0.0.0" stands for every address, which is what no list means`},
		{"0.0.0.0/0", "", `"0.0.0.0/0" is everybody, which is what no list means`},
		{"::1", "", `"::1" is not an IPv4 address`},
		{"224.0.0.1", "", `224.0.0.1/32 is multicast: a port cannot be published there`},
		{"eth0", "", `"eth0" is not an address or a network: want one as in 192.0.2.7 or 192.0.2.0/24`},
	} {
		got, err := ParseListenAddresses(strings.Fields(c.in))
		if text := errorText(err); string(got) != c.want || text != c.err {
			t.Errorf("%q: %q, %s", c.in, got, text)
		}
	}
	if got := PrefixList("10.0.0.0/8,192.0.2.7/32").AddressTexts(); strings.Join(got, " ") != "10.0.0.0/8 192.0.2.7" {
		t.Errorf("shown as %v", got)
	}
}

func FuzzParseListenAddresses(f *testing.F) {
	f.Add("192.0.2.7 10.0.0.0/8")
	f.Add("0.0.0.0/1 128.0.0.0/1")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseListenAddresses(strings.Fields(text))
		if err != nil {
			return
		}
		again, err := ParseListenAddresses(list.AddressTexts())
		if err != nil || again != list || list.check() != nil {
			t.Errorf("%q became %q, then %q: %v", text, list, again, err)
		}
	})
}

func listening(service string, addresses ...string) *PublishedPort {
	list, err := ParseListenAddresses(addresses)
	if err != nil {
		panic(err)
	}
	return &PublishedPort{Service: service, Published: 443, Target: 443, Protocol: TCP, Mode: Ingress, Listen: list}
}

// One port number at different addresses is several ports; addresses that overlap are
// refused. A port keeps its pair of VIPs for as long as it is there.
func TestPutPort_OneNumber_ManyAddresses(t *testing.T) {
	t.Parallel()
	r := demoRecord(t)
	for _, name := range []string{"a", "b", "c"} {
		must(t, r.PutService(&Service{Name: name}))
	}
	has := func(want string) {
		t.Helper()
		var got []string
		for _, p := range r.PortsAt(PortKey{Port: 443, Protocol: TCP}) {
			got = append(got, p.Key().String()+"="+p.Service)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("there are %v, want %s", got, want)
		}
		if err := r.Validate(); err != nil {
			t.Error(err)
		}
	}
	must(t, r.PutPort(listening("a", "203.0.113.0/24", "127.0.0.1")))
	must(t, r.PutPort(listening("b", "10.0.0.0/8")))
	has("443/tcp=a 443/tcp/1=b")
	for _, p := range []*PublishedPort{listening("c", "10.9.0.0/16"), listening("c"), listening("c", "127.0.0.0/8")} {
		err := r.PutPort(p)
		if err == nil || !strings.Contains(err.Error(), "Port 443/tcp is already published by service") {
			t.Errorf("%q is taken: %v", p.Listen, err)
		}
	}
	if err := r.PutPort(listening("c", "10.9.0.0/16")); err == nil || !strings.Contains(err.Error(), `service "b" at 10.9.0.0/16 `) {
		t.Errorf("the overlap is not said: %v", err)
	}
	must(t, r.PutPort(listening("c", "192.0.2.7")))
	r.RemovePort(PortKey{Port: 443, Protocol: TCP})
	has("443/tcp/1=b 443/tcp/2=c")
	must(t, r.PutPort(listening("b", "10.0.0.0/8", "203.0.113.9")))
	must(t, r.PutPort(listening("a", "203.0.113.0/29")))
	has("443/tcp=a 443/tcp/1=b 443/tcp/2=c")
	if r.PairsInUse() != 3 {
		t.Errorf("%d pairs in use", r.PairsInUse())
	}
	r.RemovePort(PortKey{Port: 443, Protocol: TCP})
	r.RemovePort(PortKey{Port: 443, Protocol: TCP, VIP: 2})
	must(t, r.PutPort(listening("b"))) // all addresses, and still its own pair: connections go on
	has("443/tcp/1=b")
	preserving := func(p *PublishedPort) *PublishedPort { p.ClientAddress = Preserve; return p }
	refused := func(p *PublishedPort, why string) {
		t.Helper()
		if err := r.PutPort(p); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, want %s", err, why)
		}
	}
	refused(preserving(listening("b", "192.0.2.1")), "leave listen_addresses out")
	refused(preserving(listening("b")), "remove the published port and publish it again")
	has("443/tcp/1=b")
	if err := r.PutNode(&Node{Name: "n9", Address: netip.MustParseAddr("192.168.200.99"), SSH: SSH{Port: 443}}); err == nil {
		t.Error("a further port is no reason to refuse an SSH port")
	}
}

// A block has so many pairs of VIPs, all different from its other addresses.
func TestPairs(t *testing.T) {
	t.Parallel()
	for length, want := range map[int]int{24: 16, 26: 16, 27: 13, 28: 5, 29: 1} {
		c := &Cluster{AddressPool: netip.MustParsePrefix("10.0.0.0/16"), NodePrefixLength: length}
		if c.vips() != want {
			t.Errorf("/%d has %d pairs, want %d", length, c.vips(), want)
		}
		n := &Node{Block: c.block(3)}
		if pair, ok := n.PairOf(n.PreserveAddress()); pair != 0 || !ok {
			t.Errorf("/%d: %s is of pair %d (%t)", length, n.PreserveAddress(), pair, ok)
		}
		seen := map[netip.Addr]bool{n.HostAddress(): true, n.SelfTestAddress(): true, n.PreserveAddress(): true}
		for pair := range uint8(c.vips()) {
			for _, hostMode := range []bool{false, true} {
				a := n.VIP(pair, hostMode)
				got, ok := n.PairOf(a)
				if seen[a] || !n.Block.Contains(a) || !ok || got != pair || pair > 0 && !n.FurtherVIPs(pair).Contains(a) {
					t.Errorf("/%d: pair %d has %s, which is of pair %d (%t)", length, pair, a, got, ok)
				}
				seen[a] = true
			}
		}
		for _, other := range []netip.Addr{n.HostAddress(), n.SelfTestAddress(), nth(n.Block, 6), netip.MustParseAddr("10.9.9.9"), {}} {
			if pair, ok := n.PairOf(other); ok {
				t.Errorf("%s is of pair %d", other, pair)
			}
		}
	}
}

func TestPortKeyWithPair(t *testing.T) {
	t.Parallel()
	var k PortKey
	for text, want := range map[string]PortKey{`"8080/tcp"`: {Port: 8080, Protocol: TCP}, `"8080/udp/15"`: {8080, UDP, 15}} {
		if err := json.Unmarshal([]byte(text), &k); err != nil || k != want || `"`+k.String()+`"` != text {
			t.Errorf("%s became %v: %v", text, k, err)
		}
		if got, ok := PortRef(want).PortKey(); !ok || got != want {
			t.Errorf("the Ref of %s is of %v", text, got)
		}
		if PortID("demo/web", want) != "demo/web/"+want.Plain().String() {
			t.Error("a Terraform id has no pair of VIPs")
		}
	}
	for _, text := range []string{"8080/tcp/0", "8080/tcp/16", "8080/tcp/01", "8080/tcp/", "8080/tcp/1/1", "8080/tcp/-1"} {
		if err := k.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken as %v", text, k)
		}
	}
	if _, err := ParsePortKey("8080/tcp/1"); err == nil {
		t.Error("what people write has no pair of VIPs")
	}
}
