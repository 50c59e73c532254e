package ipvs

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	moby "github.com/moby/ipvs"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

func ports(ns ...uint16) (addrs []netip.AddrPort) {
	for _, n := range ns {
		addrs = append(addrs, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 255, 1, 2}), n))
	}
	return addrs
}

func TestMovers(t *testing.T) {
	for _, tt := range []struct{ listed, want []netip.AddrPort }{
		{nil, nil},
		{ports(1), nil},
		{ports(3, 2, 1), nil},
		{ports(2, 3, 1), ports(3)},          // 2 was made last
		{ports(1, 3, 2), ports(2, 3)},       // the lowest was made last: all others go before it
		{ports(4, 1, 3, 2), ports(2, 3, 4)}, // 4 is first already, but what moves goes before it
		{ports(1, 2, 3), ports(2, 3)},
	} {
		if got := movers(tt.listed); !slices.Equal(got, tt.want) {
			t.Errorf("%v: %v move, want %v", tt.listed, got, tt.want)
		}
	}
}

// Whatever the order, who moves to the front one after the other leaves it right,
// and nobody moves where it is right.
func TestMoversBringOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		listed := ports()
		for _, i := range rng.Perm(rng.IntN(12)) {
			listed = append(listed, ports(uint16(i+1))...)
		}
		moving := movers(listed)
		if inOneOrder(listed) != (len(moving) == 0) {
			t.Fatalf("%v: %v move", listed, moving)
		}
		for _, a := range moving {
			at := slices.Index(listed, a)
			listed = slices.Insert(slices.Delete(listed, at, at+1), 0, a)
		}
		if !inOneOrder(listed) {
			t.Fatalf("afterwards: %v", listed)
		}
	}
}

// What is asked for is read back as such.
func TestServiceSettingsReadBackEqual(t *testing.T) {
	for _, scheduler := range mesh.Schedulers() {
		for bits := range 33 {
			v := state.VirtualServer{Proto: "udp", Addr: ports(53)[0], Scheduler: scheduler, AffinityBits: bits, OnePacket: bits%2 == 0}
			if bits > 0 {
				v.AffinitySeconds = 600
			}
			s := serviceOf(v)
			s.Flags |= serviceHashed
			if got := virtualOf(s); got != v {
				t.Errorf("%v is read back as %v", v, got)
			}
		}
	}
}

func TestServiceFaults(t *testing.T) {
	for _, tt := range []struct {
		service moby.Service
		want    string
	}{
		{moby.Service{SchedName: "rr", Netmask: netmask(32)}, ""},
		{moby.Service{SchedName: "rr", Netmask: netmask(32), Flags: serviceFallback}, "flags 0x8"},
		{moby.Service{SchedName: "sh", Netmask: netmask(32), Flags: serviceFallback}, ""},
		{moby.Service{SchedName: "sh", Netmask: netmask(32)}, "the clients of a destination of weight 0 are refused instead of getting another one"},
		{moby.Service{SchedName: "mh", Netmask: netmask(32), Flags: serviceFallback | 0x10}, "flags 0x10"},
		{moby.Service{SchedName: "rr", Netmask: netmask(32) ^ 0x100, Flags: servicePersistent}, "netmask 0xfffffeff"},
	} {
		if got := serviceFault(&tt.service); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.service, got, tt.want)
		}
	}
}
