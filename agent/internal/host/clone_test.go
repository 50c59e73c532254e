package host

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// TestExamine_Clone: check finds it in the words of the warning, so that it is said
// once.
func TestExamine_Clone(t *testing.T) {
	rec := cluster(t)
	rec.Nodes["n1"].Address = netip.MustParseAddr("203.0.113.9")
	for _, f := range (&Host{Proc: fakeProc(t), Root: t.TempDir()}).Examine(t.Context(), rec, "n1") {
		if f.Check == "address" && (len(f.Problems) != 1 || f.Problems[0] != addressLost(rec.Nodes["n1"])) {
			t.Errorf("%+v", f)
		}
	}
}

// TestAddressWatch: a clone of a node says that it is one and what to run; the
// node itself says nothing.
func TestAddressWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := cluster(t)
		self := rec.Nodes["n1"]
		reads, own, node, broken := 0, netip.MustParseAddr("203.0.113.9"), "n1", error(nil)
		w := &AddressWatch{
			Current: func() (*mesh.Record, string) { return rec, node },
			Facts: func() (mesh.HostFacts, error) {
				reads++
				return mesh.HostFacts{Interfaces: []mesh.Interface{{Name: "eth0", Addresses: []netip.Prefix{netip.PrefixFrom(own, 24)}}}}, broken
			},
		}
		for range 100 {
			got := w.Warnings()
			if len(got) != 1 || got[0].Code != mesh.WarnHost || got[0].Object != mesh.NodeRef("n1") || !got[0].AllTraffic ||
				!strings.Contains(got[0].Text, "does not have "+self.Address.String()) || !strings.Contains(got[0].Text, "run `routingmesh-agent uninstall`") {
				t.Fatalf("a clone: %+v", got)
			}
		}
		if reads != 1 {
			t.Errorf("the addresses were read %d times within a second", reads)
		}
		own = self.Address
		time.Sleep(factsFor)
		if got := w.Warnings(); got != nil {
			t.Errorf("the node itself: %+v", got)
		}
		for _, name := range []string{"", "n9"} {
			if node = name; w.Warnings() != nil {
				t.Errorf("a host that is no node (%q)", name)
			}
		}
		node, own, broken = "n1", netip.MustParseAddr("203.0.113.9"), errors.New("no netlink")
		time.Sleep(factsFor)
		if got := w.Warnings(); got != nil {
			t.Errorf("addresses that cannot be read: %+v", got)
		}
	})
}
