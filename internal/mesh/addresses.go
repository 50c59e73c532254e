package mesh

import (
	"fmt"
	"net/netip"
)

// reserved are the IPv4 networks that no host and no overlay can have, and what
// they are for (RFC 6890). Documentation networks are not among them: labs use
// them, and routers do not treat them in any special way.
var reserved = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "which stands for the host itself"},
	{netip.MustParsePrefix("127.0.0.0/8"), "the loopback network"},
	{netip.MustParsePrefix("169.254.0.0/16"), "the link-local network, where clouds have their metadata service (169.254.169.254)"},
	{netip.MustParsePrefix("224.0.0.0/4"), "the multicast network"},
	{netip.MustParsePrefix("240.0.0.0/4"), "which is reserved and includes the broadcast address"},
}

// CheckPool reports why p cannot be an address pool. Records that exist are not
// held to it: a cluster must not stop because a later version knows better.
func CheckPool(p netip.Prefix) error {
	for _, r := range reserved {
		if p.Overlaps(r.prefix) {
			return fmt.Errorf("the address pool %s overlaps %s, %s: the overlay needs unicast addresses that no host uses, as in %s",
				p, r.prefix, r.what, DefaultAddressPool)
		}
	}
	return nil
}

// CheckNodeAddress reports why a cannot be the underlay address of a node.
func CheckNodeAddress(a netip.Addr) error {
	for _, r := range reserved {
		if r.prefix.Contains(a) {
			return fmt.Errorf("a node's underlay address must be a unicast IPv4 address that the other nodes can reach: %s is in %s, %s", a, r.prefix, r.what)
		}
	}
	return nil
}

func capitalized(err error) string {
	text := err.Error()
	return string(text[0]-'a'+'A') + text[1:]
}
