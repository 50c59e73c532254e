package mesh

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Several services may publish one port number for different addresses of a node. Each
// then has its own pair of VIPs on every node, because IPVS tells services apart by
// address and port. The pair of nearly all ports is 0, the node's MeshAddress and
// HostModeAddress. A port that preserves the client's address is open at all addresses, and
// has a VIP of its own, PreserveAddress.

// MaxVIPs is how many services can publish one port number of a protocol.
const MaxVIPs = 16

// firstFurtherVIP is the place in a node's block from which on it has the further pairs.
const firstFurtherVIP = 8

// vips is how many pairs of VIPs a node's block has room for.
func (c *Cluster) vips() int {
	if c.NodePrefixLength < 1 || c.NodePrefixLength > 29 {
		return 1
	}
	return min(MaxVIPs, 1+(1<<(32-c.NodePrefixLength)-firstFurtherVIP)/2)
}

// ingressVIP is the pair's address for ingress ports, hostModeVIP that for host-mode tcp
// ports. Those of a further pair are one network of two addresses (FurtherVIPs).
func (n *Node) ingressVIP(pair uint8) netip.Addr {
	if pair == 0 {
		return n.MeshAddress()
	}
	return nth(n.Block, firstFurtherVIP+2*(int(pair)-1))
}

func (n *Node) hostModeVIP(pair uint8) netip.Addr {
	if pair == 0 {
		return n.HostModeAddress()
	}
	return n.ingressVIP(pair).Next()
}

// FurtherVIPs is the network of a pair that is not 0.
func (n *Node) FurtherVIPs(pair uint8) netip.Prefix { return netip.PrefixFrom(n.ingressVIP(pair), 31) }

// VIP is the node's virtual address of the port; hostMode asks for that of host-mode tcp.
func (n *Node) VIP(pair uint8, hostMode bool) netip.Addr {
	if hostMode {
		return n.hostModeVIP(pair)
	}
	return n.ingressVIP(pair)
}

// PairOf is the pair of VIPs that has the address; false for an address that is no VIP.
func (n *Node) PairOf(vip netip.Addr) (pair uint8, ok bool) {
	if vip == n.MeshAddress() || vip == n.HostModeAddress() || vip == n.PreserveAddress() || RangeVIPs.Contains(vip) {
		return 0, true
	}
	if !vip.Is4() || !n.Block.Contains(vip) {
		return 0, false
	}
	at := 0
	for a := n.Block.Addr(); a != vip; a = a.Next() {
		if at++; at >= firstFurtherVIP+2*(MaxVIPs-1) {
			return 0, false
		}
	}
	return uint8(1 + (at-firstFurtherVIP)/2), at >= firstFurtherVIP
}

// PortKeyAt is the key of the published port whose IPVS service on the node is at server;
// false where that is at none of the node's VIPs.
func (n *Node) PortKeyAt(protocol Protocol, server netip.AddrPort) (PortKey, bool) {
	if n == nil {
		return PortKey{}, false
	}
	pair, ok := n.PairOf(server.Addr())
	return PortKey{Port: server.Port(), Protocol: protocol, VIP: pair}, ok
}

// ParseListenAddresses reads addresses and networks of nodes: 192.0.2.7, 192.0.2.0/24.
func ParseListenAddresses(texts []string) (PrefixList, error) {
	networks := make([]string, 0, len(texts))
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil {
			switch {
			case !a.Is4():
				return "", fmt.Errorf("%q is not an IPv4 address", text)
			case a.IsUnspecified():
				return "", fmt.Errorf("%q stands for every address, which is what no list means", text)
			}
			text = netip.PrefixFrom(a, 32).String()
		} else if !strings.Contains(text, "/") {
			return "", fmt.Errorf("%q is not an address or a network: want one as in 192.0.2.7 or 192.0.2.0/24", text)
		}
		networks = append(networks, text)
	}
	list, err := ParsePrefixList(networks)
	if err == nil {
		err = list.checkListen()
	}
	if err != nil {
		return "", err
	}
	return list, nil
}

// checkListen refuses networks that no node's address is in.
func (l PrefixList) checkListen() error {
	if l == "" {
		return nil
	}
	for _, p := range l.Prefixes() {
		if p.Addr().IsMulticast() {
			return fmt.Errorf("%s is multicast: a port cannot be published there", p)
		}
	}
	return nil
}

// AddressTexts are the networks, a single address without its length.
func (l PrefixList) AddressTexts() []string {
	texts := l.Strings()
	for i := range texts {
		texts[i] = strings.TrimSuffix(texts[i], "/32")
	}
	return texts
}

// Has says that the address is in one of the networks; every one is in no list.
func (l PrefixList) Has(a netip.Addr) bool {
	return l == "" || slices.ContainsFunc(l.Prefixes(), func(p netip.Prefix) bool { return p.Contains(a) })
}

// HasLoopback says that one of the networks has loopback addresses.
func (l PrefixList) HasLoopback() bool {
	_, overlap := l.overlap("127.0.0.0/8")
	return overlap
}

// Overlaps says that both ports are open at some address.
func (p *PublishedPort) Overlaps(o *PublishedPort) bool {
	_, overlap := p.Listen.overlap(o.Listen)
	return overlap
}

// overlap is a network of both; false where there is none. No list has every address.
func (l PrefixList) overlap(o PrefixList) (netip.Prefix, bool) {
	switch {
	case l == "" && o == "":
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0), true
	case l == "":
		return o.Prefixes()[0], true
	case o == "":
		return l.Prefixes()[0], true
	}
	for _, a := range l.Prefixes() {
		for _, b := range o.Prefixes() {
			if a.Overlaps(b) {
				if a.Bits() < b.Bits() {
					return b, true
				}
				return a, true
			}
		}
	}
	return netip.Prefix{}, false
}

// Plain is the key without the pair of VIPs: what Terraform's ids and people call it.
func (k PortKey) Plain() PortKey { return PortKey{Port: k.Port, Protocol: k.Protocol} }

// PortsAt returns the published ports of the key's number and protocol, whatever their
// addresses, sorted.
func (r *Record) PortsAt(k PortKey) (ports []*PublishedPort) {
	for pair := range uint8(MaxVIPs) {
		if p := r.Ports[PortKey{Port: k.Port, Protocol: k.Protocol, VIP: pair}]; p != nil {
			ports = append(ports, p)
		}
	}
	return ports
}

// PortAt is the first of PortsAt, nil for none.
func (r *Record) PortAt(k PortKey) *PublishedPort {
	if p := r.Ports[k.Plain()]; p != nil {
		return p
	}
	if ports := r.PortsAt(k); len(ports) > 0 {
		return ports[0]
	}
	return nil
}

// PortOf is the port that the service publishes with the number and protocol, nil for none.
func (r *Record) PortOf(service string, k PortKey) *PublishedPort {
	for _, p := range r.PortsAt(k) {
		if p.Service == service {
			return p
		}
	}
	return nil
}

// beside is the rule of two ports with one number and protocol.
func (p *PublishedPort) beside(other *PublishedPort) error {
	if p.Service == other.Service && p.Key().Plain() != other.Key().Plain() {
		return &Error{Object: PortRef(p.Key().Plain()), Attribute: "published_port", Taken: PortRef(other.Key().Plain()), Detail: fmt.Sprintf(
			"Service %q publishes port %s and port %s, which overlap. Choose other ports, or change or remove the other one first.", p.Service, p.Name(), other.Name())}
	}
	if p.Service == other.Service {
		return &Error{Object: PortRef(p.Key().Plain()), Attribute: "published_port", Detail: fmt.Sprintf(
			"Service %q publishes port %s twice. List all addresses in one published port.", p.Service, p.Key().Plain())}
	}
	if at, overlap := p.Listen.overlap(other.Listen); overlap {
		return p.taken(other, at)
	}
	return nil
}

// place gives the port a pair of VIPs that no other port of its number has: the one that
// it has, or asks for, if possible.
func (r *Record) place(p *PublishedPort) error {
	var used [MaxVIPs]bool
	pair := p.VIP
	for _, other := range r.PortsBeside(p) {
		if other.Service == p.Service && other.Published == p.Published {
			pair = other.VIP
			continue
		}
		if err := p.beside(other); err != nil {
			return err
		}
		used[other.VIP] = true
	}
	if used[pair] {
		free := slices.Index(used[:r.Cluster.vips()], false)
		if free < 0 {
			return r.noVIP(p)
		}
		pair = uint8(free)
	}
	p.VIP = pair
	if p.IsRange() && pair != 0 {
		return &Error{Object: PortRef(p.Key().Plain()), Attribute: "last_port", Detail: fmt.Sprintf(
			"Port %s has another service's port beside it, at other addresses, and so cannot become a range. Destroy it and publish the range instead.", p.Key().Plain())}
	}
	return p.checkPreserve()
}

func (r *Record) noVIP(p *PublishedPort) error {
	return &Error{Object: PortRef(p.Key().Plain()), Attribute: "published_port", Detail: fmt.Sprintf(
		"Port %s is published at other addresses by %d services already, and the nodes' blocks (node_prefix_length %d) have room for no more. Choose another published_port.",
		p.Key().Plain(), len(r.PortsAt(p.Key())), r.Cluster.NodePrefixLength)}
}

// checkPairs has the rules of ports with one number beside each other. Of nearly all
// numbers there is one port, whose pair is 0.
func (r *Record) checkPairs(p *PublishedPort) error {
	if p.VIP == 0 {
		return nil
	}
	for _, other := range r.PortsAt(p.Key()) {
		if other.VIP < p.VIP {
			if err := p.beside(other); err != nil {
				return err
			}
		}
	}
	return nil
}

// PairsInUse is up to which pair of VIPs a node needs rules by address: 0 where every port
// is open at all addresses, of the pair 0.
func (r *Record) PairsInUse() (pairs int) {
	for _, p := range r.Ports {
		if p.ByAddress() {
			pairs = max(pairs, 1+int(p.VIP))
		}
	}
	return pairs
}

// ByAddress says that the destination's address, not the port alone, leads to the port.
func (p *PublishedPort) ByAddress() bool { return p.Listen != "" || p.VIP != 0 }

// AddressOn is an address of the port for a node with the given one: that, if it may be,
// else the first listed.
func (p *PublishedPort) AddressOn(own netip.Addr) netip.Addr {
	if p.Listen.Has(own) {
		return own
	}
	first := p.Listen.Prefixes()[0]
	return cmp.Or(first.Addr(), own)
}
