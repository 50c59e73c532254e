package mesh

import (
	"net/netip"
	"testing"
)

func TestLimits_Check(t *testing.T) {
	for n, want := range map[int64]string{
		0: "vni must be 1–16777215, not 0", 1: "", 1<<24 - 1: "", 1 << 24: "vni must be 1–16777215, not 16777216", -5: "vni must be 1–16777215, not -5",
	} {
		got := ""
		if err := VNIs.Check("vni", n); err != nil {
			got = err.Error()
		}
		if got != want || VNIs.Has(n) != (want == "") {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestPortRange_Parse(t *testing.T) {
	for s, ok := range map[string]bool{
		"30000-32767": true, "1-65535": true, "80-80": true, "": false, "30000": false, "0-9": false, "9-8": false, "1-65536": false, "030-99": false, "1 - 2": false,
	} {
		r, err := ParsePortRange(s)
		if (err == nil) != ok || ok && r.String() != s {
			t.Errorf("%q is read as %s, %v", s, r, err)
		}
	}
}

// TestPutNode_Address: what a plan refuses as a node's address a commit refuses, too, also
// where the address was not known when it was planned, and as a record of others.
func TestPutNode_Address(t *testing.T) {
	for address, text := range map[string]string{
		"169.254.1.1": "is in 169.254.0.0/16", "240.0.0.1": "is in 240.0.0.0/4", "0.1.2.3": "is in 0.0.0.0/8", "127.0.0.1": "the loopback network", "fd00::1": "is IPv6",
	} {
		r, bad := demoRecord(t), netip.MustParseAddr(address)
		wantRule(t, r.PutNode(&Node{Name: "n4", Address: bad}), "address", "must be a unicast IPv4 address that the other nodes can reach: "+address)
		wantRule(t, r.PutNode(&Node{Name: "n4", Address: bad}), "address", text)
		if _, err := ParseNodeAddress(address); err == nil {
			t.Errorf("a plan takes %s", address)
		}
		r.Nodes["n1"].Address = bad
		wantRule(t, r.Validate(), "address", text)
	}
	wantRule(t, demoRecord(t).PutNode(&Node{Name: "n4"}), "address", "needs an underlay address")
}

// TestPlanNode_UnknownAddresses: nodes whose addresses are not known yet are no twins.
func TestPlanNode_UnknownAddresses(t *testing.T) {
	r := demoRecord(t)
	must(t, r.PlanNode(&Node{Name: "n4"}))
	must(t, r.PlanNode(&Node{Name: "n5"}))
	if r.Nodes["n4"].Block == r.Nodes["n5"].Block {
		t.Error("both have the same block")
	}
	wantRule(t, r.PlanNode(&Node{Name: "n6", Address: r.Nodes["n1"].Address}), "address", "Node n1 already has")
}
