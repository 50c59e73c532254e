package mesh

import (
	"fmt"
	"hash/crc32"
	"net/netip"
)

// Defaults of a cluster's settings.
var DefaultAddressPool = netip.MustParsePrefix("10.255.0.0/16")

const (
	DefaultNodePrefixLength = 24
	// DefaultVXLANPort is IANA's for VXLAN, and Swarm's.
	DefaultVXLANPort = 4789
	// VXLANOverhead is what an IPv4 VXLAN header takes of the underlay's MTU:
	// 14 Ethernet + 20 IP + 8 UDP + 8 VXLAN (RFC 7348).
	VXLANOverhead = 50
	// defaultUnderlayMTU is assumed while the cluster has no node.
	defaultUnderlayMTU = 1500
	minMTU, maxMTU     = 576, 65485
	maxVNI             = 1<<24 - 1
)

// DefaultVNI derives the VXLAN network identifier from the cluster's name, in
// a range of ours: 5,000,000–5,999,999 (Swarm counts from 4096, flannel uses 1).
func DefaultVNI(name string) uint32 { return 5_000_000 + crc32.ChecksumIEEE([]byte(name))%1_000_000 }

// PutCluster sets the cluster's settings. What every node's addresses hang on
// (pool, block size) cannot change while there are nodes.
func (r *Record) PutCluster(c Cluster) error {
	if err := c.Check(); err != nil {
		return err
	}
	if c.AddressPool != r.Cluster.AddressPool {
		if err := CheckPool(c.AddressPool); err != nil {
			return &Error{Object: ClusterRef, Attribute: "address_pool", Detail: capitalized(err) + "."}
		}
	}
	if len(r.Nodes) > 0 {
		if c.Name != r.Cluster.Name || c.AddressPool != r.Cluster.AddressPool || c.NodePrefixLength != r.Cluster.NodePrefixLength {
			return &Error{Object: ClusterRef, Attribute: "address_pool",
				Detail: "Name, address_pool and node_prefix_length cannot change while the cluster has nodes: their addresses are made of them."}
		}
	}
	if p := r.Ports[PortKey{c.VXLANPort, UDP}]; p != nil {
		return &Error{Object: ClusterRef, Attribute: "vxlan_port", Detail: fmt.Sprintf(
			"Port %s is published by service %q: the overlay cannot use it too. Choose another vxlan_port, or remove the published port first.", p.Key(), p.Service)}
	}
	if err := r.checkListeners(&c); err != nil {
		return err
	}
	r.Cluster = c.canonical()
	return nil
}

// Check reports the first setting that is out of range, as an *Error.
func (c *Cluster) Check() error {
	fail := func(attr, format string, args ...any) error {
		return &Error{Object: ClusterRef, Attribute: attr, Detail: fmt.Sprintf(format, args...)}
	}
	if err := CheckName(c.Name); err != nil {
		return fail("name", "%v.", err)
	}
	p := c.AddressPool
	switch {
	case !p.IsValid() || !p.Addr().Is4():
		return fail("address_pool", "The address pool must be an IPv4 prefix, as in 10.255.0.0/16.")
	case p != p.Masked():
		return fail("address_pool", "%s has bits set beyond its length: write %s.", p, p.Masked())
	case c.NodePrefixLength <= p.Bits() || c.NodePrefixLength > 29:
		return fail("node_prefix_length", "A node's block must be smaller than the pool %s and hold its addresses: %d–29, not %d.",
			p, p.Bits()+1, c.NodePrefixLength)
	case c.VXLANPort == 0:
		return fail("vxlan_port", "The VXLAN port must be 1–65535.")
	case c.VNI == 0 || c.VNI > maxVNI:
		return fail("vni", "The VXLAN network identifier must be 1–%d.", maxVNI)
	case c.MTU != 0 && (c.MTU < minMTU || c.MTU > maxMTU):
		return fail("mtu", "The overlay's MTU must be %d–%d.", minMTU, maxMTU)
	case c.PublishedPortRange.First == 0 || c.PublishedPortRange.First > c.PublishedPortRange.Last:
		return fail("published_port_range", "The range must be FIRST-LAST with 1 ≤ FIRST ≤ LAST ≤ 65535.")
	case c.Repair != RepairAutomatic && c.Repair != RepairReport:
		return fail("repair", "Repair must be automatic or report, not %q.", string(c.Repair))
	case c.Firewall != FirewallManage && c.Firewall != FirewallReport:
		return fail("firewall", "Firewall must be manage or report, not %q.", string(c.Firewall))
	}
	return c.checkServing()
}

// Capacity is how many nodes the address pool has blocks for.
func (c *Cluster) Capacity() int { return 1 << (c.NodePrefixLength - c.AddressPool.Bits()) }

// MTU is the overlay's MTU in bytes: as set, or the smallest underlay MTU of
// the nodes less VXLAN's header.
func (r *Record) MTU() int {
	if r.Cluster.MTU != 0 {
		return r.Cluster.MTU
	}
	smallest := 0
	for _, n := range r.Nodes {
		if n.UnderlayMTU != 0 && (smallest == 0 || n.UnderlayMTU < smallest) {
			smallest = n.UnderlayMTU
		}
	}
	if smallest == 0 {
		smallest = defaultUnderlayMTU
	}
	return smallest - VXLANOverhead
}
