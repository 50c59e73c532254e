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
	// DefaultMarkBit is one that Docker, Kubernetes, firewalls and VPNs leave alone.
	DefaultMarkBit = 12
	// VXLANOverhead is what an IPv4 VXLAN header takes of the underlay's MTU:
	// 14 Ethernet + 20 IP + 8 UDP + 8 VXLAN (RFC 7348).
	VXLANOverhead = 50
	// defaultUnderlayMTU is assumed while the cluster has no node.
	defaultUnderlayMTU = 1500
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
	if len(r.Nodes) > 0 {
		if c.Name != r.Cluster.Name || c.AddressPool != r.Cluster.AddressPool || c.NodePrefixLength != r.Cluster.NodePrefixLength {
			return &Error{Object: ClusterRef, Attribute: "address_pool",
				Detail: "Name, address_pool and node_prefix_length cannot change while the cluster has nodes: their addresses are made of them."}
		}
	}
	if err := c.preservable(); err != nil {
		for _, p := range r.Ports {
			if p.keepsAddresses() {
				return &Error{Object: ClusterRef, Attribute: "address_pool", Detail: fmt.Sprintf("Port %s: %s.", p.Key().Plain(), err)}
			}
		}
	}
	if p := r.PortOver(PortKey{Port: c.VXLANPort, Protocol: UDP}); p != nil {
		return &Error{Object: ClusterRef, Attribute: "vxlan_port", Detail: fmt.Sprintf(
			"Port %s is published by service %q: the overlay cannot use it too. Choose another vxlan_port, or remove the published port first.", p.Name(), p.Service)}
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
	if err := CheckPool(p); err != nil {
		return fail("address_pool", "%s.", capitalized(err))
	}
	smaller := Limits{int64(p.Bits()) + 1, NodePrefixLengths.Last}
	if err := smaller.Check("node_prefix_length", int64(c.NodePrefixLength)); err != nil {
		return fail("node_prefix_length", "A node's block must be smaller than the pool %s and hold its addresses: %v.", p, err)
	}
	if err := Ports.Check("vxlan_port", int64(c.VXLANPort)); err != nil {
		return fail("vxlan_port", "%v.", err)
	}
	if err := VNIs.Check("vni", int64(c.VNI)); err != nil {
		return fail("vni", "%v.", err)
	}
	if err := MTUs.Check("mtu", int64(c.MTU)); c.MTU != 0 && err != nil {
		return fail("mtu", "%v.", err)
	}
	if err := MarkBits.Check("mark_bit", int64(c.MarkBit)); c.MarkBit != 0 && err != nil {
		return fail("mark_bit", "%v.", err)
	}
	if err := c.PublishedPortRange.check(); err != nil {
		return fail("published_port_range", "%v.", err)
	}
	switch {
	case c.Repair != RepairAutomatic && c.Repair != RepairReport:
		return fail("repair", "Repair must be automatic or report, not %q.", string(c.Repair))
	case c.Firewall != FirewallManage && c.Firewall != FirewallReport:
		return fail("firewall", "Firewall must be manage or report, not %q.", string(c.Firewall))
	case c.HostDNS != HostDNSHosts && c.HostDNS != HostDNSOff:
		return fail("host_dns", "Host_dns must be hosts or off, not %q.", string(c.HostDNS))
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
	return min(smallest-VXLANOverhead, int(MTUs.Last))
}
