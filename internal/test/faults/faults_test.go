package faults

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTargets(t *testing.T) {
	t.Parallel()
	want := Target{"udp", netip.MustParseAddrPort("192.168.200.10:8080"), 150 * time.Millisecond}
	if got, err := ParseTarget(want.String()); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	for _, s := range []string{"", "tcp", "sctp/192.168.200.10:8080/1s", "tcp/192.168.200.10/1s", "tcp/192.168.200.10:8080/0s", "tcp/192.168.200.10:8080/often"} {
		if got, err := ParseTarget(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
	if got := Through([]Target{want, {"tcp", netip.MustParseAddrPort("192.168.200.11:8080"), 1}}, "192.168.200.10"); len(got) != 1 || got[0] != want {
		t.Errorf("through the first node: %v", got)
	}
}

func TestBetween(t *testing.T) {
	t.Parallel()
	a := Target{"tcp", netip.MustParseAddrPort("192.168.200.10:8080"), 100 * time.Millisecond}
	b := Target{"udp", netip.MustParseAddrPort("192.168.200.11:8080"), 500 * time.Millisecond}
	other := Target{"tcp", netip.MustParseAddrPort("192.168.200.12:8080"), time.Second}
	asked := func(n int) map[string]int { return map[string]int{a.Name(): n, b.Name(): 2 * n, other.Name(): n} }
	from, to := Report{At: 10, Asked: asked(100)}, Report{At: 20, Asked: asked(150)}
	reports := []Report{
		{Target: a.Name(), At: 9.9, Error: "before"},
		{Target: b.Name(), At: 12, Error: "refused"},
		{Target: a.Name(), At: 13, Error: "timeout"},
		{Target: a.Name(), At: 12.5, Error: "timeout"}, // began earlier, ended later
		{Target: other.Name(), At: 14, Error: "not asked for"},
		{Target: a.Name(), At: 20, Error: "after"},
	}
	got := Between(from, to, reports, a, b)
	if want := (Outage{Seconds: 0.6, Failed: 3, Asked: 150, First: b.Name() + ": refused"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := Between(from, to, reports[:1], a); got != (Outage{Asked: 50}) {
		t.Errorf("nothing failed: %+v", got)
	}
}

const plan = `  # routingmesh_node.n2 will be updated in-place
  ~ resource "routingmesh_node" "n2" {
      ~ drift = [
          - "node n2: The filter chain ROUTINGMESH-IN lacks the rule ` + "`-m comment --comment \\\"a b\\\"`" + `.",
          - "node n1: IPVS has no service 10.255.0.1:8080/tcp.",
          - "node n1: IPVS has no service 10.255.0.1:8080/tcp.",
        ] -> (known after apply)
        name = "node"
    }
`

func TestSentences(t *testing.T) {
	t.Parallel()
	want := []string{"node n2: The filter chain ROUTINGMESH-IN lacks the rule `-m comment --comment \"a b\"`.", "node n1: IPVS has no service 10.255.0.1:8080/tcp."}
	if got := Sentences(plan); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	got := Table([]Row{
		{Fault: "vx0 deleted", Node: "n1", Firewall: "ufw", Outage: Outage{Seconds: 1.234, Failed: 7, Asked: 90}, Repaired: "0.9 s", Said: []string{"node n1: a.", "node n1: b."}},
		{Fault: "kill -9", Node: "n2", Outage: Outage{Asked: 80}},
	})
	want := `fault       | node | firewall | s to serve | failed of N | repaired | plan said
vx0 deleted | n1   | ufw      | 1.2        | 7 of 90     | 0.9 s    | node n1: a.
            |      |          |            |             |          | node n1: b.
kill -9     | n2   | –        | 0          | 0 of 80     | –        | –
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, strings.TrimSuffix(want, "\n"))
	}
}
