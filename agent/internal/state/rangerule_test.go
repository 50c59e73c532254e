package state

import (
	"net/netip"
	"testing"
)

func TestRangeRule_ReadBack(t *testing.T) {
	t.Parallel()
	vip := netip.MustParseAddr("244.0.39.16")
	for want, r := range map[string]RangeRule{
		"-p tcp -m tcp --dport 10000:10999 -m set --match-set routingmesh-tcp dst -j DNAT --to-destination 244.0.39.16": {
			Proto: "tcp", First: 10000, Last: 10999, Set: "routingmesh-tcp", VIP: vip, Target: 10000,
		},
		"-p udp -m udp --dport 10000:65535 -m set --match-set routingmesh-udp dst -j DNAT --to-destination 244.0.39.16:1-55536/10000": {
			Proto: "udp", First: 10000, Last: 65535, Set: "routingmesh-udp", VIP: vip, Target: 1,
		},
	} {
		if back, ok := ParseRangeRule(want); r.String() != want || !ok || back != r {
			t.Errorf("%+v is %s, read as %+v", r, r, back)
		}
	}
	r := RangeRule{First: 10000, Last: 10999, Target: 20000}
	if !r.Leads(10005, 20005) || r.Leads(10005, 20006) || r.Leads(11000, 21000) {
		t.Error("a port has another target")
	}
}

func FuzzParseRangeRule(f *testing.F) {
	f.Add("-p tcp -m tcp --dport 10000:10999 -m set --match-set routingmesh-tcp dst -j DNAT --to-destination 244.0.39.16:20000-20999/10000")
	f.Add("-p tcp -m set --match-set routingmesh-tcp dst -j DNAT --to-destination 10.255.1.1")
	f.Fuzz(func(t *testing.T, rule string) {
		if r, ok := ParseRangeRule(rule); ok && r.String() != rule {
			t.Errorf("%q is read as %q", rule, r)
		}
	})
}
