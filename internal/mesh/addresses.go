package mesh

import (
	"fmt"
	"net/netip"
	"strings"
)

// reserved are the IPv4 networks that no host and no overlay can have, and what
// they are for (RFC 6890). Documentation networks are not among them: labs use
// them, and routers do not treat them in any special way.
var reserved = []reservedNetwork{
	{netip.MustParsePrefix("0.0.0.0/8"), "which stands for the host itself"},
	{netip.MustParsePrefix("127.0.0.0/8"), "the loopback network"},
	{netip.MustParsePrefix("169.254.0.0/16"), "the link-local network, where clouds have their metadata service (169.254.169.254)"},
	{netip.MustParsePrefix("224.0.0.0/4"), "the multicast network"},
	{netip.MustParsePrefix("240.0.0.0/4"), "which is reserved and includes the broadcast address"},
}

// ParsePool reads an address pool. It suggests what was probably meant: host bits and a
// forgotten length are the usual mistakes.
func ParsePool(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, aerr := netip.ParseAddr(s); aerr == nil && a.Is4() {
			return netip.Prefix{}, fmt.Errorf("%q has no prefix length: write %s", s, netip.PrefixFrom(a, 16).Masked())
		}
		return netip.Prefix{}, fmt.Errorf("%q is no IPv4 prefix: want ADDRESS/LENGTH, as in %s", s, DefaultAddressPool)
	}
	return p, CheckPool(p)
}

type reservedNetwork struct {
	prefix netip.Prefix
	what   string
}

// CheckPool reports why p cannot be an address pool.
func CheckPool(p netip.Prefix) error {
	if err := checkPrefix(p); err != nil {
		return err
	}
	for _, r := range reserved {
		if p.Overlaps(r.prefix) {
			return fmt.Errorf("the address pool %s overlaps %s, %s: the overlay needs unicast addresses that no host uses, as in %s",
				p, r.prefix, r.what, DefaultAddressPool)
		}
	}
	return nil
}

// private are the IPv4 networks that nobody has on the internet: RFC 1918, carriers' NAT,
// benchmarks and documentation.
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
}

// PoolWarning says what may come of a pool that works, "" for nothing.
func PoolWarning(p netip.Prefix) string {
	for _, n := range private {
		if n.Bits() <= p.Bits() && n.Contains(p.Addr()) {
			return ""
		}
	}
	return fmt.Sprintf("The address pool %s has public addresses in it. The nodes, and containers behind them, do not reach those hosts on the internet any more while they are in the cluster. "+
		"Unless the addresses are yours and unused, choose a private pool, as in %s.", p, DefaultAddressPool)
}

func checkPrefix(p netip.Prefix) error {
	switch {
	case !p.IsValid():
		return fmt.Errorf("the address pool must be an IPv4 prefix, as in %s", DefaultAddressPool)
	case !p.Addr().Is4():
		return fmt.Errorf("the address pool must be an IPv4 prefix, as in %s: %s is IPv6", DefaultAddressPool, p)
	case p != p.Masked():
		return fmt.Errorf("the address pool %s has bits set beyond its length: write %s", p, p.Masked())
	}
	return nil
}

// ParseNodeAddress reads the underlay address of a node.
func ParseNodeAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil && strings.Contains(s, "/"):
		return netip.Addr{}, fmt.Errorf("%q has a prefix length: want the bare address, as in 192.168.200.10", s)
	case err != nil:
		return netip.Addr{}, fmt.Errorf("%q is no IPv4 address: want the underlay address itself, as in 192.168.200.10, not a name", s)
	}
	return a, CheckNodeAddress(a)
}

// CheckNodeAddress reports why a cannot be the underlay address of a node.
func CheckNodeAddress(a netip.Addr) error {
	if !a.Is4() {
		return fmt.Errorf("a node's underlay address must be a unicast IPv4 address that the other nodes can reach: %s is IPv6", a)
	}
	for _, r := range reserved {
		if r.prefix.Contains(a) {
			return fmt.Errorf("a node's underlay address must be a unicast IPv4 address that the other nodes can reach: %s is in %s, %s", a, r.prefix, r.what)
		}
	}
	return nil
}

// capitalized begins a sentence with the text of an error that begins with a letter.
func capitalized(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}
