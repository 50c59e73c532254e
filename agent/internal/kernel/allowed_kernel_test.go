//go:build kernel

package kernel_test

import (
	"net/netip"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// A port that some networks may connect to refuses others at once, by tcp and udp, and
// lets the node itself in. A change is for new connections: open ones go on.
func TestAllowedCIDRs(t *testing.T) {
	a, b, c := newMesh(t, true)
	allowed := func(networks ...string) state.State {
		want := published(t, 1)
		list, err := mesh.ParsePrefixList(append(networks, "10.255.1.4/32"))
		if err != nil {
			t.Fatal(err)
		}
		for _, proto := range []string{"tcp", "udp"} {
			want.Put(state.SetMember{Set: "routingmesh-limit-" + proto, Port: 8080})
			for _, p := range list.Prefixes() {
				want.Put(state.SetMember{Set: "routingmesh-allow-" + proto, Addr: p.Addr(), Bits: uint8(p.Bits()), Port: 8080})
			}
		}
		return want
	}
	const port, served = "192.168.77.1:8080", "b sees 10.255.1.1"
	for _, try := range []struct {
		networks     []string
		c, b, itself string
	}{
		{[]string{"192.168.77.100/32"}, served, "refused", served},
		{[]string{"192.168.77.2/31", "203.0.113.0/24"}, "refused", served, served},
		{[]string{"192.168.77.0/24"}, served, served, served},
		{[]string{"203.0.113.0/24"}, "refused", "refused", served},
	} {
		a.reach(allowed(try.networks...), 1)
		for _, from := range []struct {
			m    *machine
			want string
		}{{c, try.c}, {b, try.b}, {a, try.itself}} {
			for _, proto := range []string{"tcp", "udp"} {
				if got := from.m.greeting(proto, port); got != from.want {
					t.Errorf("%v, %s from %s: %q, want %q", try.networks, proto, from.m.name, got, from.want)
				}
			}
		}
		if got := c.greeting("tcp", "192.168.77.1:8082"); got != served {
			t.Errorf("%v: a port that everybody may connect to: %q", try.networks, got)
		}
	}
	// More than the kernel's default of 65,536 pairs.
	many := published(t, 1)
	for port := uint16(1); port <= 280; port++ {
		for i := range 256 {
			many.Put(state.SetMember{Set: "routingmesh-allow-tcp", Addr: netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), Bits: 32, Port: port})
		}
	}
	a.settle(many)
	a.reach(published(t, 1), 1)
	if got := c.ask("tcp", port); got != served {
		t.Errorf("without a limit: %q", got)
	}
}
