package mesh

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// NetworkAddressing is what the record has given to networks: numbers that packets carry, and
// addresses. It is not changed in place: records share it.
type NetworkAddressing struct {
	// Identities has a number for each set of networks that a member is in, 1–MaxIdentity. Each packet
	// of a member carries that of its set (VXLAN group policy), so that the receiving node
	// knows what the sender may reach without knowing the sender.
	Identities map[NetworkSet]uint16 `json:"identities"`
	// NextIdentity is where the search for a free number starts, as NextBlock is for blocks.
	NextIdentity uint16 `json:"next_identity"`
	// VIPBlocks are the blocks of the pool that services' VIPs are taken from. The first
	// address of the first one is the resolver's.
	VIPBlocks []netip.Prefix `json:"vip_blocks,omitempty"`
	// NextVIP is where the search for a free VIP starts.
	NextVIP int `json:"next_vip,omitempty"`
}

const (
	// MaxIdentity is the largest number of a set of networks.
	MaxIdentity = 0x7ffe
	// NoNetworks is the number of a container that is in no network: nobody's peer.
	NoNetworks = 0x7fff
)

// Identity is the number of the set of networks; false for one that has none, and for no
// networks.
func (r *Record) Identity(set NetworkSet) (uint16, bool) {
	if r.Addressing == nil || set == "" {
		return 0, false
	}
	id, ok := r.Addressing.Identities[set]
	return id, ok
}

// Peers are the numbers of the sets of networks whose members reach those of the set, sorted;
// the set's own is one of them.
func (r *Record) Peers(set NetworkSet) (peers []uint16) {
	if r.Addressing == nil || set == "" {
		return nil
	}
	for other, id := range r.Addressing.Identities {
		if other.Meets(set) {
			peers = append(peers, id)
		}
	}
	slices.Sort(peers)
	return peers
}

// Resolver is R: where members ask for names, the same address on every node. It is not valid
// while the record has no networks.
func (r *Record) Resolver() netip.Addr {
	if r.Addressing == nil || len(r.Addressing.VIPBlocks) == 0 {
		return netip.Addr{}
	}
	return nth(r.Addressing.VIPBlocks[0], 1)
}

// VIPBlocks are the networks that service VIPs and the resolver's address are in.
func (r *Record) VIPBlocks() []netip.Prefix {
	if r.Addressing == nil {
		return nil
	}
	return r.Addressing.VIPBlocks
}

// ServerMark is the mark of the packets for an IPVS service of many ports: that of a range
// of published ports, by its VIP, or of a service's VIP that leads to every port, which has
// the port 0 and is its own mark. It is false for a service of one port.
func ServerMark(server netip.AddrPort) (mark uint32, ok bool) {
	if mark, ok = RangeMark(server.Addr()); ok || server.Port() != 0 || !server.Addr().Is4() {
		return mark, ok
	}
	a := server.Addr().As4()
	return binary.BigEndian.Uint32(a[:]), true
}

// ServerOfMark is the reverse of ServerMark. A VIP that leads to every port is of no protocol.
func ServerOfMark(mark uint32) (Protocol, netip.AddrPort, bool) {
	if proto, at, ok := RangeOfMark(mark); ok {
		return proto, at, true
	}
	vip := netip.AddrFrom4([4]byte{byte(mark >> 24), byte(mark >> 16), byte(mark >> 8), byte(mark)})
	if slices.ContainsFunc(reserved, func(r reservedNetwork) bool { return r.prefix.Contains(vip) }) {
		return "", netip.AddrPort{}, false
	}
	return "", netip.AddrPortFrom(vip, 0), true
}

// VIPMark is the mark of packets for a VIP that leads to every port.
func VIPMark(vip netip.Addr) uint32 {
	mark, _ := ServerMark(netip.AddrPortFrom(vip, 0))
	return mark
}

// HighMarks is the mask of the bits that only marks for IPVS have: neither an identity nor a
// packet that is for no such service has one of them.
const HighMarks = 0xffff << 16

// rangeMarkAddresses have the marks of ranges as their own.
var rangeMarkAddresses = netip.MustParsePrefix("82.0.0.0/13")

// checkPoolOfNetworks: a VIP is its own mark.
func (r *Record) checkPoolOfNetworks() error {
	if pool := r.Cluster.AddressPool; pool.IsValid() && pool.Overlaps(rangeMarkAddresses) {
		return &Error{Object: ClusterRef, Attribute: "address_pool", Detail: fmt.Sprintf(
			"A cluster with networks cannot have addresses of %s in its pool, as %s has: the mesh marks packets for ranges of ports with these numbers. Another pool needs a new cluster.", rangeMarkAddresses, pool)}
	}
	return nil
}

// allocateNetworks gives numbers to the sets of networks that have none yet, and a VIP to put
// (nil for none), a service that is about to replace the one of its name. It is called after
// each change that may need one, and drops the networks that were removed and that nobody is
// in any more. A refusal changes nothing.
func (r *Record) allocateNetworks(put *Service) error {
	if r.HasNetworks() {
		return r.allocate(put, r.keptNetworks(put))
	}
	r.Addressing = nil
	return nil
}

func (r *Record) allocate(put *Service, networks map[string]*Network) error {
	kept := *r
	if kept.Networks = networks; !kept.HasNetworks() {
		r.Networks, r.Addressing = nil, nil
		return nil
	}
	if err := r.checkPoolOfNetworks(); err != nil {
		return err
	}
	next := r.Addressing.clone()
	next.forget(&kept)
	for _, set := range kept.networkSets(put) {
		if err := next.identify(set); err != nil {
			return err
		}
	}
	if len(next.VIPBlocks) == 0 {
		if err := r.takeVIPBlock(next); err != nil {
			return err
		}
	}
	if put != nil {
		if err := r.allocateVIP(next, put); err != nil {
			return err
		}
	}
	r.Networks = networks
	if !r.Addressing.equal(next) {
		r.Addressing = next
	}
	return nil
}

func (a *NetworkAddressing) clone() *NetworkAddressing {
	if a == nil {
		return &NetworkAddressing{Identities: map[NetworkSet]uint16{}}
	}
	c := *a
	c.Identities, c.VIPBlocks = maps.Clone(a.Identities), slices.Clone(a.VIPBlocks)
	return &c
}

func (a *NetworkAddressing) equal(o *NetworkAddressing) bool {
	if a == nil || o == nil {
		return a == o
	}
	return maps.Equal(a.Identities, o.Identities) && a.NextIdentity == o.NextIdentity && slices.Equal(a.VIPBlocks, o.VIPBlocks) && a.NextVIP == o.NextVIP
}

// forget drops the numbers of sets with a network that is gone. The others stay without a
// member too: a container that is on its way out still sends with its number.
func (a *NetworkAddressing) forget(r *Record) {
	maps.DeleteFunc(a.Identities, func(set NetworkSet, _ uint16) bool {
		return slices.ContainsFunc(set.Names(), func(name string) bool { return r.Networks[name] == nil })
	})
}

// networkSets are those that a member is in, and each network by itself, sorted.
func (r *Record) networkSets(put *Service) []NetworkSet {
	sets, hosts := map[NetworkSet]bool{}, map[string]map[string]bool{}
	member := func(node, network string) {
		if hosts[node] == nil {
			hosts[node] = map[string]bool{}
		}
		hosts[node][network] = true
	}
	note := func(s *Service) {
		if len(s.Networks) == 0 {
			return
		}
		sets[s.NetworkSet()] = true
		for _, e := range s.Endpoints {
			if e.Container != nil {
				continue
			}
			for network := range s.Networks {
				member(e.Node, network)
			}
		}
	}
	for name, n := range r.Networks {
		sets[NetworkSet(name)] = true
		for _, host := range n.Hosts {
			if host != EveryHost {
				member(host, name)
				continue
			}
			for node := range r.Nodes {
				member(node, name)
			}
		}
	}
	for name, s := range r.Services {
		if put == nil || name != put.Name {
			note(s)
		}
	}
	if put != nil {
		note(put)
	}
	for _, networks := range hosts {
		sets[NewNetworkSet(slices.Collect(maps.Keys(networks))...)] = true
	}
	return slices.Sorted(maps.Keys(sets))
}

func (a *NetworkAddressing) identify(set NetworkSet) error {
	if _, ok := a.Identities[set]; ok {
		return nil
	}
	used := make(map[uint16]bool, len(a.Identities))
	for _, id := range a.Identities {
		used[id] = true
	}
	for i := range MaxIdentity {
		if id := uint16((int(a.NextIdentity)+i)%MaxIdentity) + 1; !used[id] {
			a.Identities[set], a.NextIdentity = id, id%MaxIdentity
			return nil
		}
	}
	return &Error{Object: ClusterRef, Detail: fmt.Sprintf("The cluster has %d different sets of networks, and no more are possible.", MaxIdentity)}
}

// allocateVIP gives s the VIP that it has, or a free one; none where its names lead to containers.
func (r *Record) allocateVIP(a *NetworkAddressing, s *Service) error {
	s.VIP = netip.Addr{}
	if len(s.Networks) == 0 || s.EndpointMode == EndpointDNSRR || r.Cluster.NodePrefixLength == 0 {
		return nil
	}
	if old := r.Services[s.Name]; old != nil && old.VIP.IsValid() {
		s.VIP = old.VIP
		return nil
	}
	used := make(map[netip.Addr]bool, len(r.Services))
	for _, other := range r.Services {
		used[other.VIP] = true
	}
	for {
		total := len(a.VIPBlocks) * r.Cluster.vipsPerBlock()
		for i := range total {
			place := (a.NextVIP + i) % total
			if vip := r.Cluster.vip(a.VIPBlocks, place); place != resolverPlace && !used[vip] {
				s.VIP, a.NextVIP = vip, (place+1)%total
				return nil
			}
		}
		if err := r.takeVIPBlock(a); err != nil {
			return s.fail("networks", "The service needs a VIP: %v", err)
		}
		a.NextVIP = total
	}
}

// resolverPlace is the place of the resolver's address among the VIPs.
const resolverPlace = 0

// vipsPerBlock leaves out the first and the last address of a block: they may be taken for a
// network's and its broadcast address.
func (c *Cluster) vipsPerBlock() int { return 1<<(32-c.NodePrefixLength) - 2 }

func (c *Cluster) vip(blocks []netip.Prefix, place int) netip.Addr {
	return nth(blocks[place/c.vipsPerBlock()], 1+place%c.vipsPerBlock())
}

// takeVIPBlock takes a free block of the pool, the last one first, so that nodes have theirs in a row.
func (r *Record) takeVIPBlock(a *NetworkAddressing) error {
	if r.Cluster.NodePrefixLength == 0 || !r.Cluster.AddressPool.IsValid() {
		return nil // a plan that does not know them yet
	}
	used := map[netip.Prefix]bool{}
	for _, n := range r.Nodes {
		used[n.Block] = true
	}
	for _, block := range a.VIPBlocks {
		used[block] = true
	}
	for i := r.Cluster.Capacity() - 1; i >= 0; i-- {
		if block := r.Cluster.block(i); !used[block] {
			a.VIPBlocks = append(a.VIPBlocks, block)
			return nil
		}
	}
	return &Error{Object: ClusterRef, Attribute: "address_pool", Detail: fmt.Sprintf(
		"Networks take one block of the address pool %s for the VIPs of services, and all %d of /%d are taken. A larger pool or a longer node_prefix_length needs a new cluster.",
		r.Cluster.AddressPool, r.Cluster.Capacity(), r.Cluster.NodePrefixLength)}
}

// validateNetworks checks networks, and what they were given, in a record that came from outside.
func (r *Record) validateNetworks() error {
	for name, n := range r.Networks {
		if n == nil || n.Name != name || !slices.Equal(n.Hosts, sortedSet(n.Hosts)) {
			return fmt.Errorf("the record's network %q is malformed", name)
		}
		if err := r.checkNetwork(n); err != nil {
			return err
		}
		if n.Removed && len(r.Members(name)) == 0 {
			return fmt.Errorf("the record's network %q was removed, and no service is in it any more", name)
		}
	}
	if err := r.checkAllNames(); err != nil {
		return err
	}
	if r.HasNetworks() != (r.Addressing != nil) {
		return fmt.Errorf("the record has networks and no addressing for them, or the reverse")
	}
	if r.Addressing == nil {
		return nil
	}
	if err := r.checkPoolOfNetworks(); err != nil {
		return err
	}
	if err := r.validateIdentities(); err != nil {
		return err
	}
	return r.validateVIPs()
}

func (r *Record) validateIdentities() error {
	a, seen := r.Addressing, map[uint16]NetworkSet{}
	for set, id := range a.Identities {
		for _, name := range set.Names() {
			if r.Networks[name] == nil {
				return fmt.Errorf("the record has an identity for %q, which the cluster does not have", name)
			}
		}
		if set == "" || set != NewNetworkSet(set.Names()...) || id < 1 || id > MaxIdentity {
			return fmt.Errorf("the record's identity %d of %q is malformed", id, set)
		}
		if other, ok := seen[id]; ok {
			return fmt.Errorf("the record's sets of networks %q and %q share the identity %d", min(set, other), max(set, other), id)
		}
		seen[id] = set
	}
	for _, set := range r.networkSets(nil) {
		if _, ok := a.Identities[set]; !ok {
			return fmt.Errorf("the record has no identity for the networks %q", set)
		}
	}
	if a.NextIdentity >= MaxIdentity {
		return fmt.Errorf("the record's next_identity %d is not in 0–%d", a.NextIdentity, MaxIdentity-1)
	}
	return nil
}

func (r *Record) validateVIPs() error {
	a, blocks := r.Addressing, map[netip.Prefix]bool{}
	for _, n := range r.Nodes {
		blocks[n.Block] = true
	}
	for _, b := range a.VIPBlocks {
		if b != b.Masked() || b.Bits() != r.Cluster.NodePrefixLength || !r.Cluster.AddressPool.Contains(b.Addr()) || blocks[b] {
			return fmt.Errorf("the record's block of VIPs %s is none of the pool %s, or is another's", b, r.Cluster.AddressPool)
		}
		blocks[b] = true
	}
	if total := len(a.VIPBlocks) * r.Cluster.vipsPerBlock(); len(a.VIPBlocks) == 0 || a.NextVIP < 0 || a.NextVIP >= total {
		return fmt.Errorf("the record has %d blocks of VIPs, and the next_vip %d", len(a.VIPBlocks), a.NextVIP)
	}
	seen := map[netip.Addr]string{r.Resolver(): "the resolver"}
	for name, s := range r.Services {
		if wants := len(s.Networks) > 0 && s.EndpointMode == EndpointVIP; wants != s.VIP.IsValid() {
			return fmt.Errorf("the record's service %q has the VIP %s, and should not, or should have one", name, s.VIP)
		} else if !wants {
			continue
		}
		if other, ok := seen[s.VIP]; ok {
			return fmt.Errorf("the record's service %q and %s share the VIP %s", name, other, s.VIP)
		}
		seen[s.VIP] = name
		if !r.isVIP(s.VIP) {
			return fmt.Errorf("the record's service %q has the VIP %s, which is none", name, s.VIP)
		}
	}
	return nil
}

// isVIP says that the address is a place for a VIP.
func (r *Record) isVIP(a netip.Addr) bool {
	return slices.ContainsFunc(r.VIPBlocks(), func(b netip.Prefix) bool {
		return b.Contains(a) && a != b.Addr() && a != nth(b, r.Cluster.vipsPerBlock()+1)
	})
}
