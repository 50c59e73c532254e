//go:build kernel

package nft

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// inOwnNamespace runs f in a network namespace with lo alone.
func inOwnNamespace(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread() // the thread ends with the test: it is never unlocked
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
	f()
}

func load(t *testing.T, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader("flush ruleset\n" + script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, script)
	}
}

// arrives says whether a datagram from one port of 127.0.0.1 gets to another one.
func arrives(t *testing.T, from, to uint16) bool {
	t.Helper()
	here := netip.MustParseAddr("127.0.0.1")
	server, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(here, to)))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(here, from)))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(here, to)); errors.Is(err, os.ErrPermission) {
		return false // dropped in output
	}
	// Over lo a datagram has arrived when the call that sends it returns.
	_ = server.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	_, _, err = server.ReadFromUDPAddrPort(make([]byte, 1))
	return err == nil
}

// judged is what the evaluator says of the same datagram.
func judged(t *testing.T, from, to uint16) (drops, unsure bool) {
	t.Helper()
	r, done, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	here := netip.MustParseAddr("127.0.0.1")
	p := Packet{Src: here, Dst: here, ToLocal: true, Protocol: UDP, SrcPort: from, DstPort: to, State: New}
	for _, c := range r.Chains {
		q := p
		switch c.Hook {
		case Output, Postrouting:
			q.Out, q.OutIndex = "lo", 1
		case Prerouting, Input:
			q.In, q.InIndex = "lo", 1
		default:
			continue
		}
		v := r.Judge(c, q, func(Chain, string) *Verdict { return nil })
		drops, unsure = drops || v.Drops(), unsure || v.Unsure()
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return drops, unsure
}

// TestJudge_RealPackets: what the evaluator says is what the kernel does, in rule
// sets made of everything it knows, at random.
func TestJudge_RealPackets(t *testing.T) {
	const sets, from = 50, 40000
	seed := uint64(time.Now().UnixNano()) // any will do
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1)) // it is for a test
	inOwnNamespace(t, func() {
		passed, dropped := 0, 0
		for i := range sets {
			script := randomRules(random)
			load(t, script)
			for n, port := range []uint16{4789, 53} {
				source := uint16(from + 2*i + n)
				drops, unsure := judged(t, source, port)
				if unsure {
					t.Errorf("not sure of port %d in\n%s", port, script)
				}
				if got := arrives(t, source, port); got == drops {
					t.Errorf("port %d arrives: %t; the evaluator says dropped: %t, in\n%s", port, got, drops, script)
				}
				if drops {
					dropped++
				} else {
					passed++
				}
			}
		}
		if passed < sets/4 || dropped < sets/4 {
			t.Errorf("%d passed, %d were dropped: the rule sets are too much alike", passed, dropped)
		}
	})
}

// randomRules are one or two base chains and two others, with sets and maps.
func randomRules(r *rand.Rand) string {
	pick := func(all ...string) string { return all[r.IntN(len(all))] }
	var b strings.Builder
	family := pick("inet", "ip")
	fmt.Fprintf(&b, "table %s t {\n", family)
	fmt.Fprintf(&b, " set ports { type inet_service; flags interval; elements = { %s } }\n", pick("53", "1-100", "4000-5000", "53, 4789", "100-200"))
	fmt.Fprintf(&b, " set names { type ifname; elements = { %s } }\n", pick(`"lo"`, `"eth0"`))
	fmt.Fprintf(&b, " set pairs { type ipv4_addr . inet_service; flags interval; elements = { %s } }\n", pick("127.0.0.0/8 . 1-100", "127.0.0.1 . 4789", "10.0.0.0/8 . 1-60000"))
	fmt.Fprintf(&b, " map ends { type inet_service : verdict; elements = { %s } }\n", pick("53 : drop", "4789 : drop", "4789 : jump deep", "53 : accept, 4789 : jump deep"))
	rules := func(n int, jumps bool) {
		for range r.IntN(n) {
			match := pick("udp dport 4789", "udp dport { 53, 80 }", "udp dport @ports", "udp dport != @ports", "udp dport 4000-5000", "udp dport > 1000", "udp sport 40000-40100",
				"ip saddr 127.0.0.0/8", "ip daddr != 127.0.0.1", "ip saddr . udp dport @pairs", "meta l4proto udp", "meta l4proto { tcp, icmp }", "tcp dport 53", "ct state new", "ct state established,related",
				"ct state invalid", "ct status dnat", `iifname "lo"`, `oifname "lo"`, "iif lo", `meta iifname @names`, "meta mark set 1 counter", "counter", "fib daddr type local", "ip protocol udp", "udp dport 53 limit rate 1000/second")
			if strings.Contains(match, "if") || strings.Contains(match, "limit") { // known on one side only, or never
				match = "counter"
			}
			end := pick("accept", "drop", "return", "continue", "reject", "counter")
			if jumps && r.IntN(3) == 0 {
				end = pick("jump deep", "goto deep")
			}
			if r.IntN(6) == 0 {
				match, end = pick("udp dport vmap @ends", "ct state vmap { established : accept, new : jump deep }", "meta l4proto vmap { udp : goto deep, tcp : drop }"), ""
				if !jumps {
					match = "udp dport vmap { 53 : accept, 1-20 : drop }"
				}
			}
			fmt.Fprintf(&b, "  %s %s\n", match, end)
		}
	}
	b.WriteString(" chain deep {\n")
	rules(4, false)
	b.WriteString(" }\n")
	for i := range 1 + r.IntN(2) {
		fmt.Fprintf(&b, " chain base%d {\n  type filter hook %s priority %s; policy %s;\n", i, pick("input", "output", "input", "prerouting"), pick("0", "10", "-10"), pick("accept", "drop"))
		rules(5, true)
		b.WriteString(" }\n")
	}
	b.WriteString("}\n")
	return b.String()
}
