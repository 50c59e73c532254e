package mesh

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// What a record has given to networks is made of its history: which block, number and VIP was
// free at the time, and what was given and is not used any more. So rebuild steers the searches
// for them, as it does those for blocks of nodes, and fails where what the record has cannot be
// had.

// rebuildNetworks puts the networks with the numbers and blocks that they have.
func rebuildNetworks(made, r *Record) error {
	if len(r.Networks) == 0 {
		return nil
	}
	if r.Addressing == nil {
		return errors.New("networks without addressing")
	}
	if err := rebuildVIPBlocks(made, r.Addressing.VIPBlocks); err != nil {
		return err
	}
	for _, name := range r.NetworkNames() {
		n := r.Networks[name]
		if n == nil || n.Name != name {
			return errors.New("a network under another name")
		}
		steerIdentity(made, r, NetworkSet(name))
		if err := made.PutNetwork(&Network{Name: name}); err != nil {
			return err
		}
	}
	for _, set := range slices.Sorted(maps.Keys(r.Addressing.Identities)) {
		if err := rebuildIdentity(made, r, set); err != nil {
			return err
		}
	}
	for _, name := range r.NetworkNames() {
		n := r.Networks[name]
		if err := withGuests(made, n.Hosts, func() error { return made.PutNetwork(n) }); err != nil {
			return err
		}
		if !slices.Equal(made.Networks[name].Hosts, n.Hosts) {
			return errors.New("hosts are sorted")
		}
	}
	return nil
}

func rebuildVIPBlocks(made *Record, blocks []netip.Prefix) error {
	used := map[netip.Prefix]bool{}
	for _, n := range made.Nodes {
		used[n.Block] = true
	}
	for _, b := range blocks {
		free := false
		for i := range made.Cluster.Capacity() {
			free = free || made.Cluster.block(i) == b && !used[b]
		}
		if !free {
			return fmt.Errorf("the block of VIPs %s cannot be had", b)
		}
		used[b] = true
	}
	if len(blocks) == 0 {
		return errors.New("networks have a block of VIPs")
	}
	made.Addressing = &NetworkAddressing{Identities: map[NetworkSet]uint16{}, VIPBlocks: slices.Clone(blocks)}
	return nil
}

// steerIdentity makes the number of the set the next one.
func steerIdentity(made, r *Record, set NetworkSet) {
	a := made.Addressing.clone()
	if id := r.Addressing.Identities[set]; id > 0 && id <= MaxIdentity {
		a.NextIdentity = id - 1
	}
	made.Addressing = a
}

// rebuildIdentity has a service in the set come and go: its number stays.
func rebuildIdentity(made, r *Record, set NetworkSet) error {
	s := &Service{Name: "passing-by", EndpointMode: EndpointDNSRR, Networks: map[string]Membership{}, Endpoints: map[string]Endpoint{}}
	for _, name := range set.Names() {
		s.Networks[name] = Membership{}
	}
	if s.NetworkSet() != set || set == "" {
		return fmt.Errorf("%q is not how a set of networks is written", set)
	}
	steerIdentity(made, r, set)
	if err := made.PutService(s); err != nil {
		return err
	}
	if got := made.Addressing.Identities[set]; got != r.Addressing.Identities[set] {
		return fmt.Errorf("the number %d of %q cannot be had", r.Addressing.Identities[set], set)
	}
	return made.RemoveService(s.Name)
}

// finishNetworks is what comes after the services: removals, and the places where the next
// searches start. Then all that was given must be what the record has, but for the numbers of
// sets that rebuild has passed through: a host that is in one network after the other.
func finishNetworks(made, r *Record) error {
	if len(r.Networks) == 0 {
		if r.Addressing != nil {
			return errors.New("addressing without networks")
		}
		return nil
	}
	for _, name := range r.NetworkNames() {
		if !r.Networks[name].Removed {
			continue
		}
		if err := made.RemoveNetwork(name); err != nil {
			return err
		}
		if made.Networks[name] == nil {
			return errors.New("nobody is in the removed network")
		}
	}
	if a := r.Addressing; int(a.NextIdentity) >= MaxIdentity || a.NextVIP < 0 || a.NextVIP >= len(a.VIPBlocks)*made.Cluster.vipsPerBlock() {
		return errors.New("no next number, or no next VIP")
	}
	next := made.Addressing.clone()
	wanted := made.networkSets(nil)
	maps.DeleteFunc(next.Identities, func(set NetworkSet, _ uint16) bool {
		return r.Addressing.Identities[set] == 0 && !slices.Contains(wanted, set)
	})
	next.NextIdentity, next.NextVIP = r.Addressing.NextIdentity, r.Addressing.NextVIP
	made.Addressing = next
	if !next.equal(r.Addressing) {
		return fmt.Errorf("what networks were given cannot be had: %+v, want %+v", *next, *r.Addressing)
	}
	return nil
}

// networks has networks with services in them, and what they may have been given. Most of it
// is right, as is all that the first choices make.
func (c *choices) networks(r *Record) {
	r.Networks = map[string]*Network{}
	for i := range 1 + c.next(3) {
		n := &Network{Name: []string{"front", "back", pick(c, "web", "web", "B", "")}[i], Removed: c.next(4) == 1}
		switch c.next(5) {
		case 1:
			n.Hosts = []string{EveryHost}
		case 2:
			n.Hosts = []string{pick(c, "n1", "n2", "n3", "n9", "web", c.name())}
		case 3:
			n.Hosts = []string{"n1", pick(c, "n2", "n3", "n9", EveryHost, "n1")}
		}
		r.Networks[pick(c, n.Name, n.Name, n.Name, n.Name, n.Name, n.Name, n.Name, "other")] = n
	}
	for i, name := range slices.Sorted(maps.Keys(r.Services)) {
		c.member(r, r.Services[name], byte(i+2))
	}
	c.addressing(r)
}

func (c *choices) member(r *Record, s *Service, last byte) {
	names := append(r.NetworkNames(), r.NetworkNames()...)
	for range c.next(3) {
		m := Membership{}
		for range c.next(3) {
			m.Aliases = append(m.Aliases, pick(c, s.Name+"-2", "site", s.Name, "db", "web", "", "X"))
		}
		if s.Networks == nil {
			s.Networks = map[string]Membership{}
		}
		s.Networks[pick(c, append(names, names[0], "missing")...)] = m
	}
	if in := len(s.Networks) > 0; in || c.next(8) == 1 {
		s.EndpointMode = pick(c, EndpointVIP, EndpointVIP, EndpointVIP, EndpointDNSRR, EndpointDNSRR, "x")
		for range c.next(2) {
			s.VIPPorts = map[PortKey]uint16{
				{Port: pick[uint16](c, 80, 80, 0), Protocol: pick(c, TCP, TCP, TCP, UDP, "sctp"), VIP: pick[uint8](c, 0, 0, 0, 0, 1)}: pick[uint16](c, 8080, 8080, 8080, 0),
			}
		}
		if in && s.EndpointMode == EndpointVIP {
			s.VIP = netip.AddrFrom4([4]byte{10, 1, 255, last})
		}
	}
	switch c.next(16) {
	case 1:
		s.VIP = netip.MustParseAddr(pick(c, "10.1.255.2", "10.1.254.1", "10.1.255.1", "10.1.255.0", "10.1.255.255", "10.1.0.9", "10.1.255.254"))
	case 2:
		s.VIP = netip.Addr{}
	}
}

// addressing is what a record of some history would have, and now and then something else.
func (c *choices) addressing(r *Record) {
	a := &NetworkAddressing{Identities: map[NetworkSet]uint16{}, NextIdentity: pick[uint16](c, 9, 9, 9, 0, MaxIdentity, MaxIdentity-1), NextVIP: pick(c, 4, 4, 4, 0, 253, 254, 600, -1)}
	blocks := []string{pick(c, "10.1.255.0/24", "10.1.255.0/24", "10.1.255.0/24", "10.1.255.0/24", "10.1.3.0/24", "10.1.0.0/24", "10.2.0.0/24", "10.1.255.0/25")}
	for _, block := range append(blocks, pick(c, "", "", "10.1.254.0/24", "10.1.254.0/24", "10.1.255.0/24")) {
		if block != "" && c.next(16) != 1 {
			a.VIPBlocks = append(a.VIPBlocks, netip.MustParsePrefix(block))
		}
	}
	next := uint16(1)
	for _, set := range append(slices.Sorted(maps.Keys(wantedSets(r))), pick[NetworkSet](c, "", "", "", "front", "back,front", "back,front", "front,back", "gone")) {
		if set != "" && c.next(24) != 1 && a.Identities[set] == 0 {
			a.Identities[set] = pick(c, next, next, next, next, next, next, 77+next, 77+next, 0, 1, MaxIdentity, NoNetworks)
			next++
		}
	}
	if r.Addressing = a; c.next(16) == 1 {
		r.Addressing = nil
	}
}

// wantedSets are the sets that members of the record are in.
func wantedSets(r *Record) map[NetworkSet]bool {
	wanted := map[NetworkSet]bool{}
	known := *r
	known.Networks = maps.Clone(r.Networks)
	maps.DeleteFunc(known.Networks, func(_ string, n *Network) bool { return n == nil })
	for _, set := range known.networkSets(nil) {
		wanted[set] = true
	}
	return wanted
}

// TestRules_Networks is FuzzRules of many records that are right but for their networks: a
// fuzzer seldom gets that far.
func TestRules_Networks(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	seen := map[string]int{}
	for range 20_000 {
		data := make([]byte, 120)
		for i := range data {
			if random.IntN(2) == 0 { // the first choice is right
				data[i] = byte(random.Uint32())
			}
		}
		c := choices{data}
		r := demoRecord(t)
		r.Cluster.AddressPool = netip.MustParsePrefix("10.1.0.0/16")
		for i, name := range r.NodeNames() {
			r.Nodes[name].Block = r.Cluster.block(i)
		}
		must(t, r.PutService(&Service{Name: "db", Endpoints: map[string]Endpoint{}}))
		if c.next(2) == 0 {
			r.Services["web"].Endpoints = map[string]Endpoint{}
		}
		if c.next(3) == 1 {
			delete(r.Nodes, "n3")
		}
		c.networks(r)
		if !sameRules(t, r) {
			continue
		}
		note(seen, r)
	}
	for _, what := range []string{"valid", "removed", "hosts", "guests", "members", "process", "blocks", "vip", "dnsrr", "aliases", "idle"} {
		if seen[what] < 20 {
			t.Errorf("too few records with %s: %v", what, seen)
		}
	}
}

// note counts what a valid record has.
func note(seen map[string]int, r *Record) {
	count := func(what string, there bool) {
		if there {
			seen[what]++
		}
	}
	count("valid", true)
	count("blocks", len(r.Addressing.VIPBlocks) > 1)
	count("idle", len(r.Addressing.Identities) > len(r.networkSets(nil)))
	for name, n := range r.Networks {
		count("removed", n.Removed)
		count("hosts", len(n.Hosts) > 0)
		count("guests", slices.ContainsFunc(n.Hosts, func(host string) bool { return host != EveryHost && r.Nodes[host] == nil }))
		count("members", len(r.Members(name)) > 0)
	}
	for _, s := range r.Services {
		count("vip", s.VIP.IsValid())
		count("process", len(s.Networks) > 0 && s.hasProcesses())
		count("dnsrr", s.EndpointMode == EndpointDNSRR)
		for _, m := range s.Networks {
			count("aliases", len(m.Aliases) > 0)
		}
	}
}
