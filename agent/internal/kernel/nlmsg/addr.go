package nlmsg

import (
	"net"
	"net/netip"
)

// ToAddr is an address of the netlink library as a value.
func ToAddr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip) // the zero Addr for none
	return a.Unmap()
}

// ToPrefix is a network of the netlink library as a value.
func ToPrefix(n *net.IPNet) netip.Prefix {
	if n == nil { // a default route
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(ToAddr(n.IP), ones)
}

// ToIPNet is a network as the netlink library takes it.
func ToIPNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// ParseMAC gives none for what is no MAC; the kernel then refuses the entry.
func ParseMAC(s string) net.HardwareAddr {
	mac, _ := net.ParseMAC(s) // the record's rules have checked it
	return mac
}
