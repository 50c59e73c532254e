package host

import (
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func link(index int, name string, mtu int, l netlink.Link) netlink.Link {
	*l.Attrs() = netlink.LinkAttrs{Index: index, Name: name, MTU: mtu, RawFlags: unix.IFF_UP}
	if name == "lo" {
		l.Attrs().RawFlags |= unix.IFF_LOOPBACK
	}
	return l
}

// An address on lo or a dummy has the MTU of what carries its packets.
func TestBehind(t *testing.T) {
	links := []netlink.Link{
		link(1, "lo", 65_536, &netlink.Device{}), link(2, "eth0", 1500, &netlink.Device{}), link(3, "dummy0", 1500, &netlink.Dummy{}),
		link(4, "bond0", 9000, &netlink.Bond{}), link(5, "rmesh0", 1300, &netlink.Veth{}), link(6, "eth0.7", 1496, &netlink.Vlan{}),
		link(7, "br0", 1400, &netlink.Bridge{}),
	}
	via := func(index, mtu int) netlink.Route {
		return netlink.Route{LinkIndex: index, MTU: mtu, Type: unix.RTN_UNICAST}
	}
	twoHops := netlink.Route{MultiPath: []*netlink.NexthopInfo{{LinkIndex: 4}, {LinkIndex: 2}}}
	addressed := map[string]bool{"lo": true, "eth0": true, "dummy0": true, "bond0": true, "rmesh0": true}
	for name, tt := range map[string]struct {
		defaults  []netlink.Route
		addressed map[string]bool
		want      int
	}{
		"the default route's link":        {[]netlink.Route{via(4, 0)}, addressed, 9000},
		"a VLAN's own MTU":                {[]netlink.Route{via(6, 0)}, addressed, 1496},
		"the route's own MTU":             {[]netlink.Route{via(4, 1400)}, addressed, 1400},
		"the smallest of several":         {[]netlink.Route{via(4, 0), via(2, 0)}, addressed, 1500},
		"the smallest of several hops":    {[]netlink.Route{twoHops}, addressed, 1500},
		"no default route":                {nil, addressed, 1500},
		"no default route, only a bridge": {nil, map[string]bool{"lo": true, "br0": true}, 1400},
		"nothing":                         {nil, map[string]bool{"lo": true}, 0},
	} {
		if got := behind(links, tt.defaults, tt.addressed); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
	_, everywhere, _ := net.ParseCIDR("0.0.0.0/0")
	_, half, _ := net.ParseCIDR("0.0.0.0/1")
	for _, tt := range []struct {
		route netlink.Route
		want  bool
	}{{via(2, 0), true}, {netlink.Route{Type: unix.RTN_UNICAST, Dst: everywhere}, true}, {netlink.Route{Type: unix.RTN_UNICAST, Dst: half}, false}, {netlink.Route{Type: unix.RTN_BLACKHOLE}, false}} {
		if isDefault(tt.route) != tt.want {
			t.Errorf("%s is a default route: %t", tt.route, !tt.want)
		}
	}
}
