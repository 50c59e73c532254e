package mesh

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// An endpoint that is a container has slots: places in the record, each with a fixed overlay
// address of the node's block, which the node's agent gives to a container that fits. So
// every node knows all addresses from the record. Which slots are filled is known at run
// time, and is no part of it.

// Container says which containers of a node may fill the slots of an endpoint: the one of a
// name, or those with all of these labels.
type Container struct {
	Name   string            `json:"name,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
}

// Fits says that a container of this name and with these labels may fill a slot.
func (c *Container) Fits(name string, labels map[string]string) bool {
	if c.Name != "" {
		return c.Name == name
	}
	for key, value := range c.Labels {
		if is, ok := labels[key]; !ok || is != value {
			return false
		}
	}
	return len(c.Labels) > 0
}

// String is how a user would name it: container "web", containers with a=b, c=d.
func (c *Container) String() string {
	if c.Name != "" {
		return fmt.Sprintf("container %q", c.Name)
	}
	var labels []string
	for _, key := range slices.Sorted(maps.Keys(c.Labels)) {
		labels = append(labels, key+"="+c.Labels[key])
	}
	return "containers labelled " + strings.Join(labels, ", ")
}

// Equal says that both are the same containers.
func (c *Container) Equal(o *Container) bool {
	return c == o || c != nil && o != nil && c.Name == o.Name && maps.Equal(c.Labels, o.Labels)
}

const (
	// MaxSlots is how many slots one endpoint may have.
	MaxSlots = 64
	// slotRange is how many addresses at most a node has for slots.
	slotRange = 256
	// slotBits is the prefix length of the smallest block with room for slots.
	slotBits = 25
)

// containerNames are those that Docker and Podman take.
var containerNames = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$`)

// check reports why c cannot say which containers.
func (c *Container) check() error {
	switch {
	case (c.Name == "") == (len(c.Labels) == 0):
		return fmt.Errorf("a container is told by its name or by labels, by one of both")
	case c.Name != "" && !containerNames.MatchString(c.Name):
		return fmt.Errorf("%.80q is no name of a container", c.Name)
	}
	for key, value := range c.Labels {
		if key == "" || !isText(key) || !isText(value) {
			return fmt.Errorf("labels must have a name, no control characters, and at most %d bytes: %.80q = %.80q", maxText, key, value)
		}
	}
	return nil
}

// SlotBlock is the network that the slots of the node have their addresses in: of the upper
// half of its block the first 256 addresses at most. It is not valid where the block is too
// small for slots.
func (n *Node) SlotBlock() netip.Prefix {
	bits := n.Block.Bits()
	if !n.Block.IsValid() || bits > slotBits {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(nth(n.Block, firstSlot(bits)), max(bits+1, 24))
}

// firstSlot is the place of the first slot in a block of the length.
func firstSlot(bits int) int { return min(1<<(32-bits-1), 1<<15) }

// slots is how many slots a node of the cluster may have. The last address of a block has
// none: it may be taken for a broadcast address.
func (c *Cluster) slots() int {
	if c.NodePrefixLength > slotBits || c.NodePrefixLength < 1 {
		return 0
	}
	return min(1<<(32-c.NodePrefixLength-1), slotRange) - 1
}

// SlotAddress is the overlay address of a slot of the node. A slot is its place in the block.
func (n *Node) SlotAddress(slot uint16) netip.Addr { return nth(n.Block, int(slot)) }

// PresenceAddress is N: the block's .6, on the mesh side, where the agent tells and hears
// which slots are filled.
func (n *Node) PresenceAddress() netip.Addr { return nth(n.Block, 6) }

// AddressesFor are where endpoint e, which is on host, answers what comes to p by the entry
// node: one address, or that of each slot.
func (p *PublishedPort) AddressesFor(e Endpoint, host, entry *Node) iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		switch {
		case e.Container != nil:
			for address := range e.SlotAddresses(host) {
				if !yield(netip.AddrPortFrom(address, p.DestinationPort(e))) {
					return
				}
			}
		case p.ClientAddress == Preserve:
			yield(netip.AddrPortFrom(host.EntryAddress(entry), p.DestinationPort(e)))
		default:
			yield(host.EndpointAddress(p.DestinationPort(e)))
		}
	}
}

// Addresses are the overlay addresses of the endpoint's processes or containers on host.
func (e Endpoint) Addresses(host *Node) iter.Seq[netip.Addr] {
	if e.Container != nil {
		return e.SlotAddresses(host)
	}
	return func(yield func(netip.Addr) bool) { yield(host.HostAddress()) }
}

// SlotAddresses are the addresses of the endpoint's slots on host.
func (e Endpoint) SlotAddresses(host *Node) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, slot := range e.Slots {
			if !yield(host.SlotAddress(slot)) {
				return
			}
		}
	}
}

// SameAs says that both are the same endpoint in every way.
func (e Endpoint) SameAs(o Endpoint) bool {
	return e.Node == o.Node && e.Port == o.Port && e.Share() == o.Share() && e.Container.Equal(o.Container) && slices.Equal(e.Slots, o.Slots)
}

// HasContainers says that an endpoint of the service is a container.
func (s *Service) HasContainers() bool {
	for _, e := range s.Endpoints {
		if e.Container != nil {
			return true
		}
	}
	return false
}

// ReachableServices are those that something leads to: they publish a port, or are in networks.
// The containers of others are not looked for.
func (r *Record) ReachableServices() map[string]bool {
	reachable := map[string]bool{}
	for _, p := range r.Ports {
		reachable[p.Service] = true
	}
	if r.HasNetworks() {
		for name, s := range r.Services {
			if len(s.Networks) > 0 {
				reachable[name] = true
			}
		}
	}
	return reachable
}

// checkContainer has the rules of one endpoint that are about containers.
func (e Endpoint) checkContainer() error {
	switch {
	case e.Container == nil && len(e.Slots) > 0:
		return fmt.Errorf("slots are for containers: name the container, or leave slots out")
	case e.Container == nil:
		return nil
	case len(e.Slots) == 0 || len(e.Slots) > MaxSlots:
		return fmt.Errorf("an endpoint has 1–%d slots, not %d", MaxSlots, len(e.Slots))
	}
	return e.Container.check()
}

// allocateSlots gives each slot of s that has no place yet (0) one on its node: first those
// that the endpoint has had before. What was freed is used last, because another node may
// still remember its address.
func (r *Record) allocateSlots(s *Service) error {
	if r.Cluster.NodePrefixLength == 0 {
		return nil // a plan that does not know it yet
	}
	old := r.Services[s.Name]
	for _, key := range slices.Sorted(maps.Keys(s.Endpoints)) {
		e := s.Endpoints[key]
		if e.Container == nil {
			continue
		}
		if r.Cluster.slots() == 0 {
			return s.fail("endpoints", "Endpoint %q is a container, and a node's block of the address pool is too small for those: /%d. "+
				"A cluster with node_prefix_length = %d or less has room for them. It cannot be changed of a cluster that exists.", key, r.Cluster.NodePrefixLength, slotBits)
		}
		want := slices.Clone(e.Slots)
		if old != nil && old.Endpoints[key].Node == e.Node {
			copy(want, old.Endpoints[key].Slots)
		}
		e.Slots = want
		s.Endpoints[key] = e
	}
	taken := r.slotsTaken(s)
	for _, key := range slices.Sorted(maps.Keys(s.Endpoints)) {
		e := s.Endpoints[key]
		for i, slot := range e.Slots {
			if slot != 0 {
				continue
			}
			next, err := r.nextSlot(s, key, taken[e.Node])
			if err != nil {
				return err
			}
			e.Slots[i] = next
			if taken[e.Node] == nil {
				taken[e.Node] = map[uint16]bool{}
			}
			taken[e.Node][next] = true
		}
	}
	return nil
}

// slotsTaken are the places that are in use by node, with s in the place of the service of
// its name.
func (r *Record) slotsTaken(s *Service) map[string]map[uint16]bool {
	taken := map[string]map[uint16]bool{}
	note := func(s *Service) {
		for _, e := range s.Endpoints {
			for _, slot := range e.Slots {
				if taken[e.Node] == nil {
					taken[e.Node] = map[uint16]bool{}
				}
				taken[e.Node][slot] = slot != 0
			}
		}
	}
	for name, other := range r.Services {
		if name != s.Name {
			note(other)
		}
	}
	note(s)
	return taken
}

func (r *Record) nextSlot(s *Service, key string, taken map[uint16]bool) (uint16, error) {
	name := s.Endpoints[key].Node
	node, first, total := *r.Nodes[name], firstSlot(r.Cluster.NodePrefixLength), r.Cluster.slots()
	for i := range total {
		place := (node.NextSlot + i) % total
		if slot := uint16(first + place); !taken[slot] {
			node.NextSlot = (place + 1) % total
			r.Nodes[name] = &node
			return slot, nil
		}
	}
	return 0, s.fail("endpoints", "Endpoint %q needs another slot, and all %d that node %s has room for are taken. Other nodes have their own; a cluster with a smaller node_prefix_length has more.",
		key, total, name)
}

// validateSlots checks the places of slots in a record that came from outside.
func (r *Record) validateSlots() error {
	first, total := firstSlot(r.Cluster.NodePrefixLength), r.Cluster.slots()
	type place struct {
		node string
		slot uint16
	}
	seen := map[place]string{}
	for _, name := range slices.Sorted(maps.Keys(r.Services)) {
		for key, e := range r.Services[name].Endpoints {
			for _, slot := range e.Slots {
				at := place{e.Node, slot}
				if int(slot) < first || int(slot) >= first+total {
					return fmt.Errorf("the record's service %q has the slot %d of node %q, which is none", name, slot, e.Node)
				}
				if other, ok := seen[at]; ok {
					return fmt.Errorf("the record's endpoints %q and %q share the slot %d of node %q", other, name+"/"+key, slot, e.Node)
				}
				seen[at] = name + "/" + key
			}
		}
	}
	for name, n := range r.Nodes {
		if n.NextSlot != 0 && (n.NextSlot < 0 || n.NextSlot >= total) {
			return fmt.Errorf("the record's node %q has the next_slot %d, which is not in 0–%d", name, n.NextSlot, total-1)
		}
	}
	return nil
}

// checkSlots: the address of a slot does not tell by which node a connection came in.
func (p *PublishedPort) checkSlots(s *Service) error {
	if p.ClientAddress != Preserve || !s.HasContainers() {
		return nil
	}
	return &Error{Object: PortRef(p.Key().Plain()), Attribute: "client_address", Detail: fmt.Sprintf(
		`Port %s is to preserve the client's address, and endpoints of service %q are containers, which cannot see it in ingress mode. `+
			`Use mode = "host" for tcp, which shows it to them on their own nodes, or leave client_address out.`, p.Key().Plain(), s.Name)}
}

// checkPreserved refuses containers for a service with a port that preserves the client's
// address.
func (r *Record) checkPreserved(s *Service) error {
	if !s.HasContainers() {
		return nil
	}
	for _, p := range r.ServicePorts(s.Name) {
		if p.ClientAddress == Preserve {
			return s.fail("endpoints", `Service %q publishes %s with client_address = "preserve", and an endpoint is a container, which cannot see the client's address in ingress mode. `+
				`Use mode = "host" for that port, or leave client_address out.`, s.Name, p.Key().Plain())
		}
	}
	return nil
}
