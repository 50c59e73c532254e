package mesh

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// ClientAddress says which address the endpoints of a published port see as the client's.
type ClientAddress string

const (
	// EntryNode is the entry node's. It is kept as "" in a record.
	EntryNode ClientAddress = ""
	// Preserve is the client's own.
	Preserve ClientAddress = "preserve"
)

// An endpoint that sees the client's own address must answer through the node that the
// connection came in by, and one client's port may come in by several nodes at once. So an
// endpoint's node has an entry address for each node: what comes in by that one is sent to
// it, which tells the connections apart, and where to send what is answered from it.
//
// Entry addresses are of 240.0.0.0/4, which no host, network or pool may have: nobody but
// the nodes sees them. Half of the rest is the number of the endpoint's node, half that of
// the entry node: its block's number in the pool.
const (
	entryBits = 13
	// MaxPreserveNodes is how many blocks the pool of a cluster may have that has a port
	// with Preserve.
	MaxPreserveNodes = 1 << entryBits
)

// EntryAddresses are the entry addresses of all nodes.
var EntryAddresses = netip.PrefixFrom(netip.AddrFrom4([4]byte{240}), 32-2*entryBits)

// EntryBlock is the entry addresses of the node, as the endpoints' node.
func (n *Node) EntryBlock() netip.Prefix {
	return netip.PrefixFrom(entryAddress(n.EntryNumber(), 0), 32-entryBits)
}

// EntryAddress is where the node's endpoints get what comes in by the entry node.
func (n *Node) EntryAddress(entry *Node) netip.Addr {
	return entryAddress(n.EntryNumber(), entry.EntryNumber())
}

// EntryNumber is the number of the node's block, which no other node has.
func (n *Node) EntryNumber() int {
	a := n.Block.Addr().As4()
	return int(binary.BigEndian.Uint32(a[:])>>(32-n.Block.Bits())) % MaxPreserveNodes
}

func entryAddress(node, entry int) netip.Addr {
	a := EntryAddresses.Addr().As4()
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])|uint32(node)<<entryBits|uint32(entry))
	return netip.AddrFrom4(a)
}

// HasEndpointsAt says that the node's endpoints are reached at the overlay address, by
// whichever node.
func (n *Node) HasEndpointsAt(a netip.Addr) bool {
	return a == n.HostAddress() || n.EntryBlock().Contains(a) || n.SlotBlock().Contains(a)
}

// Mark is the bit of packets' and connections' marks that the nodes use.
func (c *Cluster) Mark() uint32 { return 1 << c.MarkBitNumber() }

// MarkBitNumber is which bit that is.
func (c *Cluster) MarkBitNumber() int {
	if c.MarkBit == 0 {
		return DefaultMarkBit
	}
	return c.MarkBit
}

// keepsAddresses says that connections of the port, from now or from before, have entry
// addresses.
func (p *PublishedPort) keepsAddresses() bool {
	return p.ClientAddress == Preserve || p.PreservedBefore
}

// checkPreserve: a port that preserves the client's address has one VIP of its own on each
// node, and is open at all addresses.
func (p *PublishedPort) checkPreserve() error {
	var why string
	switch {
	case p.ClientAddress != Preserve || !p.ByAddress():
		return nil
	case p.Listen != "":
		why = "A port that preserves the client's address is open at all addresses of a node: leave listen_addresses out (nodes and allowed_cidrs may say where it is open, and for whom), or client_address."
	default:
		why = fmt.Sprintf("Port %s began as one of several of its number, with listen_addresses, and so cannot preserve the client's address: remove the published port and publish it again.", p.Key().Plain())
	}
	return &Error{Object: PortRef(p.Key().Plain()), Attribute: "client_address", Detail: why}
}

// PreservesAddresses says that a port preserves clients' addresses, or has done so.
func (r *Record) PreservesAddresses() bool {
	for _, p := range r.Ports {
		if p.keepsAddresses() {
			return true
		}
	}
	return false
}

// preservable says why no port of the cluster can have Preserve, nil where it can. A pool
// that is not valid stands for one that is not known yet, as in a plan.
func (c *Cluster) preservable() error {
	if known := CheckPool(c.AddressPool) == nil; !known || c.Capacity() <= MaxPreserveNodes {
		return nil
	}
	return fmt.Errorf("clients' addresses can be preserved where the address pool has at most %d blocks, and %s has %d of /%d: another address_pool or node_prefix_length needs a new cluster",
		MaxPreserveNodes, c.AddressPool, c.Capacity(), c.NodePrefixLength)
}
