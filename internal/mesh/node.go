package mesh

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// PutNode joins or changes a node. A Block that is not set is allocated (and
// written to n); a node that is already there keeps its own.
func (r *Record) PutNode(n *Node) error {
	if !n.Address.IsValid() {
		return n.addressMissing()
	}
	return r.PlanNode(n)
}

// PlanNode is PutNode for a record that is only planned: the address may be the zero one,
// of which nothing is known yet.
func (r *Record) PlanNode(n *Node) error {
	if err := r.checkNode(n, r.Cluster.ownListeners()); err != nil {
		return err
	}
	for _, other := range r.Nodes {
		if other.Name != n.Name && n.Address.IsValid() && other.Address == n.Address {
			return n.addressTaken(other)
		}
	}
	if old := r.Nodes[n.Name]; old != nil {
		n.Block, n.NextSlot = old.Block, old.NextSlot
	} else if err := r.allocateBlock(n); err != nil {
		return err
	}
	copied := *n
	r.Nodes[n.Name] = &copied
	return r.allocateNetworks(nil)
}

// checkNode has the rules of a node beside the others of the record. own are the cluster's
// listeners. The zero address is no mistake here.
func (r *Record) checkNode(n *Node, own []ownListener) error {
	fail := func(attr, format string, args ...any) error {
		return &Error{Object: NodeRef(n.Name), Attribute: attr, Detail: fmt.Sprintf(format, args...)}
	}
	if err := CheckName(n.Name); err != nil {
		return fail("name", "%v.", err)
	}
	if n.Address.IsValid() {
		if err := CheckNodeAddress(n.Address); err != nil {
			return fail("address", "%s.", capitalized(err))
		}
	}
	if !n.Availability.known() {
		return fail("availability", "A node's availability must be active or drain, not %q.", string(n.Availability))
	}
	if r.Cluster.AddressPool.Contains(n.Address) {
		return fail("address", "The underlay address %s lies in the cluster's address pool %s, which the overlay uses itself.", n.Address, r.Cluster.AddressPool)
	}
	if err := UnderlayMTUs.Check("the MTU of the link that carries the node's address", int64(n.UnderlayMTU)); n.UnderlayMTU != 0 && err != nil {
		return fail("address", "%s.", capitalized(err))
	}
	for name, value := range n.Labels {
		if !isText(name) || !isText(value) {
			return fail("labels", "Labels must not have control characters or be longer than %d bytes: %.80q = %.80q.", maxText, name, value)
		}
	}
	return r.checkNodeSSH(n, own)
}

func (r *Record) checkNodeSSH(n *Node, own []ownListener) error {
	for _, field := range []struct{ name, value string }{
		{"host", n.SSH.Host}, {"user", n.SSH.User}, {"bastion_host", n.SSH.BastionHost}, {"bastion_user", n.SSH.BastionUser}, {"host_key", n.SSH.HostKey},
	} {
		if !isText(field.value) {
			return &Error{Object: NodeRef(n.Name), Attribute: "ssh", Detail: fmt.Sprintf(
				"ssh.%s must not have control characters or be longer than %d bytes: %.80q.", field.name, maxText, field.value)}
		}
	}
	if n.SSH.Port == 0 {
		return nil
	}
	if p := r.PortOver(PortKey{Port: n.SSH.Port, Protocol: TCP}); p != nil {
		return &Error{Object: NodeRef(n.Name), Attribute: "ssh", Summary: "SSH port is published", Detail: fmt.Sprintf(
			"Its SSH port %d is published by service %q: the mesh would take over its logins.", n.SSH.Port, p.Service)}
	}
	for _, listener := range own {
		if listener.port == n.SSH.Port {
			return &Error{Object: NodeRef(n.Name), Attribute: "ssh", Summary: "SSH port is taken by the cluster", Detail: fmt.Sprintf(
				"Its SSH port %d is the cluster's %s, where its agent is to listen.", n.SSH.Port, listener.attribute)}
		}
	}
	return nil
}

func (n *Node) addressMissing() error {
	return &Error{Object: NodeRef(n.Name), Attribute: "address", Detail: "A node needs an underlay address."}
}

func (n *Node) addressTaken(other *Node) error {
	return &Error{Object: NodeRef(n.Name), Attribute: "address", Taken: NodeRef(other.Name),
		Detail: fmt.Sprintf("Node %s already has the underlay address %s.", other.Name, n.Address)}
}

// RemoveNode takes a node out. Endpoints on it stay in their services and are
// passed over: Terraform destroys a node before it updates the services that
// named it, and their update then removes them.
func (r *Record) RemoveNode(name string) { delete(r.Nodes, name) }

func (r *Record) allocateBlock(n *Node) error {
	used := make(map[netip.Prefix]bool, len(r.Nodes))
	for _, o := range r.Nodes {
		used[o.Block] = true
	}
	for _, block := range r.VIPBlocks() {
		used[block] = true
	}
	total := r.Cluster.Capacity()
	for i := range total {
		index := (r.NextBlock + i) % total
		if b := r.Cluster.block(index); !used[b] {
			n.Block = b
			r.NextBlock = (index + 1) % total
			return nil
		}
	}
	return &Error{Object: NodeRef(n.Name), Attribute: "cluster_id", Detail: fmt.Sprintf(
		"The address pool %s has room for %d nodes of /%d each, and all are taken. A larger pool or a longer node_prefix_length needs a new cluster.",
		r.Cluster.AddressPool, total, r.Cluster.NodePrefixLength)}
}

func (c *Cluster) block(index int) netip.Prefix {
	return netip.PrefixFrom(nth(c.AddressPool, index<<(32-c.NodePrefixLength)), c.NodePrefixLength)
}

// MeshAddress is S: the block's .1, on the mesh side; the virtual address of
// ingress ports, and the source address that endpoints see.
func (n *Node) MeshAddress() netip.Addr { return nth(n.Block, 1) }

// HostAddress is H: the block's .2, on the host side, where the node's own
// processes are reached as endpoints.
func (n *Node) HostAddress() netip.Addr { return nth(n.Block, 2) }

// EndpointAddress is where the mesh reaches what listens on the port of the host.
func (n *Node) EndpointAddress(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(n.HostAddress(), port)
}

// HostModeAddress is P: the block's .3, on the mesh side; the virtual address
// of host-mode ports, whose clients keep their own address.
func (n *Node) HostModeAddress() netip.Addr { return nth(n.Block, 3) }

// SelfTestAddress is T: the block's .4, from which the agent's self-test sends
// what a client would. No link has it.
func (n *Node) SelfTestAddress() netip.Addr { return nth(n.Block, 4) }

// PreserveAddress is C: the block's .5, on the mesh side; the virtual address of ports
// that preserve the client's address.
func (n *Node) PreserveAddress() netip.Addr { return nth(n.Block, 5) }

// HairpinAddress is L: the block's .7, the source of what a member of a network has sent to
// itself by a VIP. No link has it.
func (n *Node) HairpinAddress() netip.Addr { return nth(n.Block, 7) }

// MAC is the hardware address of the node's VXLAN device: locally
// administered, made of its mesh address, so that every node can compute it.
func (n *Node) MAC() net.HardwareAddr {
	a := n.MeshAddress().As4()
	return net.HardwareAddr{0x02, 0x52, a[0], a[1], a[2], a[3]}
}

// nth is the i-th address of a network, of one that is not known yet none.
func nth(p netip.Prefix, i int) netip.Addr {
	if !p.IsValid() {
		return netip.Addr{}
	}
	a := p.Addr().As4()
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])+uint32(i))
	return netip.AddrFrom4(a)
}
