package hairpin

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// TestElements: what is written is what is read, and what is not an address is an error.
func TestElements(t *testing.T) {
	h := state.Hairpin{Source: netip.MustParseAddr("10.255.1.7"), Members: "10.255.1.2 10.255.1.128"}
	all, err := elements(h)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := membersOf(all)
	if want := []netip.Addr{netip.MustParseAddr("10.255.1.2"), netip.MustParseAddr("10.255.1.128")}; !ok || !cmp.Equal(got, want, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })) {
		t.Errorf("%t, %v, want %v", ok, got, want)
	}
	for _, members := range []string{"10.255.1", "::1", "10.255.1.2,10.255.1.3"} {
		if _, err := elements(state.Hairpin{Members: members}); err == nil || !strings.Contains(err.Error(), "not an IPv4 address") {
			t.Errorf("%s: %v", members, err)
		}
	}
	for name, key := range map[string][]byte{"too short": {10, 255, 1, 2}, "of two addresses": {10, 255, 1, 2, 10, 255, 1, 3}} {
		if _, ok := membersOf([]nftables.SetElement{{Key: key}}); ok {
			t.Errorf("an element that is %s is taken for one of ours", name)
		}
	}
}

// TestRules: the source of the rules can be read from them.
func TestRules(t *testing.T) {
	source := netip.MustParseAddr("10.255.1.7")
	if got := sourceOf(rules(source)[out]); got != source {
		t.Errorf("the source is %s", got)
	}
	if got := sourceOf(rules(source)[back]); got.IsValid() {
		t.Errorf("a rule that puts nothing into packets has the source %s", got)
	}
}
