package mesh

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// rebuild makes a record by the Put methods alone, as somebody would who wants this one.
// An error is a rule of theirs, or that they make something else.
func rebuild(r *Record) (*Record, error) {
	made, err := NewRecord(r.UID, r.Cluster)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(r.Nodes)) {
		if err := rebuildNode(made, name, r.Nodes[name]); err != nil {
			return nil, err
		}
	}
	if err := rebuildNetworks(made, r); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(r.Services)) {
		s := r.Services[name]
		if s == nil || s.Name != name {
			return nil, errors.New("a service under another name")
		}
		if err := rebuildService(made, s); err != nil {
			return nil, err
		}
	}
	if err := finishNetworks(made, r); err != nil {
		return nil, err
	}
	for k, p := range r.Ports {
		if p == nil || p.Key() != k || k.Port == 0 {
			return nil, errors.New("a port under another key")
		}
		copied := *p
		if err := made.PutPort(&copied); err != nil {
			return nil, err
		}
		if copied.Key() != k {
			return nil, fmt.Errorf("the pair of VIPs of %s cannot be had", k)
		}
	}
	if r.NextBlock < 0 || r.NextBlock >= made.Cluster.Capacity() {
		return nil, errors.New("no next block of the pool")
	}
	made.NextBlock, made.Generation, made.Parent = r.NextBlock, r.Generation, r.Parent
	return made, nil
}

// rebuildNode has the node take the block that it has, if the pool has it and it is free.
func rebuildNode(made *Record, name string, n *Node) error {
	if n == nil || n.Name != name {
		return errors.New("a node under another name")
	}
	copied := *n
	for i := range made.Cluster.Capacity() {
		if made.Cluster.block(i) == n.Block {
			made.NextBlock = i
		}
	}
	if err := made.PutNode(&copied); err != nil {
		return err
	}
	if copied.Block != n.Block {
		return fmt.Errorf("the block %s cannot be had", n.Block)
	}
	return nil
}

// rebuildService has the service take the VIP that it has, if the blocks have it and it is free.
func rebuildService(made *Record, s *Service) error {
	if a := made.Addressing; a != nil && s.VIP.IsValid() {
		steered := a.clone()
		for place := range len(a.VIPBlocks) * made.Cluster.vipsPerBlock() {
			if made.Cluster.vip(a.VIPBlocks, place) == s.VIP {
				steered.NextVIP = place
			}
		}
		made.Addressing = steered
	}
	var nodes []string
	for _, e := range s.Endpoints {
		nodes = append(nodes, e.Node)
	}
	if err := withGuests(made, nodes, func() error { return made.PutService(s) }); err != nil {
		return err
	}
	if made.Services[s.Name].VIP != s.VIP {
		return fmt.Errorf("the VIP %s cannot be had", s.VIP)
	}
	return nil
}

// withGuests puts something that names nodes which have left.
func withGuests(made *Record, nodes []string, put func() error) error {
	var guests []string
	for _, node := range nodes {
		if made.Nodes[node] == nil && CheckName(node) == nil {
			guests = append(guests, node)
			made.Nodes[node] = &Node{Name: node} // as one that joined and leaves
		}
	}
	err := put()
	for _, name := range guests {
		made.RemoveNode(name)
	}
	return err
}

// canonical is a record as the Put methods write it.
func canonical(r *Record) *Record {
	c := r.Clone()
	c.Cluster = c.Cluster.canonical()
	for _, s := range c.Services {
		s.canonical()
	}
	return c
}

// choices makes records of a fuzzer's bytes, from values that are right and values that
// are nearly so.
type choices struct{ data []byte }

func (c *choices) next(n int) int {
	if len(c.data) == 0 || n <= 1 {
		return 0
	}
	b := c.data[0]
	c.data = c.data[1:]
	return int(b) % n
}

func pick[T any](c *choices, values ...T) T { return values[c.next(len(values))] }

func (c *choices) addr() netip.Addr {
	return netip.MustParseAddr(pick(c, "192.0.2.1", "192.0.2.2", "192.0.2.3", "10.1.0.9", "127.0.0.1", "224.0.0.1", "169.254.0.1", "255.255.255.255", "2001:db8::1", "::ffff:192.0.2.1"))
}

func (c *choices) name() string {
	return pick(c, "n1", "n2", "n3", "web", "db", "N1", "", "-a", "a\x1b[2J", strings.Repeat("a", 64))
}

func (c *choices) text() string {
	return pick(c, "", "host", "üser", "a\nb", "\x1b[2J", "\u202e", "\xff", strings.Repeat("k", maxText+1))
}

func (c *choices) port() uint16 { return pick[uint16](c, 0, 22, 80, 2222, 4789, 8080, 10256, 65535) }

func (c *choices) number() int {
	return pick(c, 0, 1, 2, 100, 1500, 2000, -1, 65536, 1<<20+1, 2678400, 2678401, 18446744074+100, 1<<62)
}

func (c *choices) record() *Record {
	r := &Record{
		Format: pick(c, RecordFormat, RecordFormat, RecordFormat, 2), UID: pick(c, "uid", "uid", "uid", "", "\x1b[2J"), Generation: uint64(c.next(9)),
		Cluster: Cluster{
			Name:        pick(c, "demo", "demo", "demo", "", "D"),
			AddressPool: netip.MustParsePrefix(pick(c, "10.1.0.0/16", "10.1.0.0/16", "10.1.0.0/22", "10.1.0.0/30", "0.0.0.0/0", "127.0.0.0/8", "10.1.2.0/16", "fd00::/64")), NodePrefixLength: pick(c, 24, 24, 24, 29, 30, 16, -1, 0),
			VXLANPort: pick[uint16](c, 4789, 4789, 0, 8080), VNI: pick[uint32](c, 5_000_000, 5_000_000, 0, 1<<24), MTU: pick(c, 0, 0, 1450, 575, 65486, -1),
			PublishedPortRange: PortRange{pick[uint16](c, 30000, 30000, 0), pick[uint16](c, 32767, 32767, 1)},
			Repair:             pick(c, RepairAutomatic, RepairReport, "x"), Firewall: pick(c, FirewallManage, FirewallReport, "x"),
		},
		Nodes: map[string]*Node{}, Services: map[string]*Service{}, Ports: map[PortKey]*PublishedPort{},
		NextBlock: pick(c, 0, 1, 3, 255, -1, 1<<20),
	}
	if c.next(2) == 1 {
		r.Cluster.TCPIdleSeconds, r.Cluster.UDPIdleSeconds = c.number(), c.number()
		r.Cluster.HealthAddress = pick(c, "", ":10256", "0.0.0.0:8080", ":22", "x", ":2222")
		r.Cluster.MetricsAddress = pick(c, "", ":10256", ":10257", "[::]:1")
	}
	for range c.next(4) {
		c.node(r)
	}
	for range c.next(3) {
		c.service(r)
	}
	for range c.next(4) {
		c.publishedPort(r)
	}
	if c.next(2) == 1 {
		c.networks(r)
	}
	return r
}

func (c *choices) node(r *Record) {
	n := &Node{Name: c.name(), Address: c.addr(), Availability: pick(c, AvailabilityActive, AvailabilityDrain, "x"), UnderlayMTU: pick(c, 0, 1500, 65536, 100, -5, 1<<40)}
	if i := c.next(8); i < 6 && r.Cluster.AddressPool.Addr().Is4() && r.Cluster.NodePrefixLength >= 0 {
		n.Block = r.Cluster.block(i / 2)
	} else {
		n.Block = netip.MustParsePrefix(pick(c, "10.2.0.0/24", "10.1.0.0/25"))
	}
	if c.next(2) == 1 {
		n.SSH = SSH{Host: c.text(), Port: c.port(), User: c.text(), HostKey: c.text(), BastionHost: c.text(), BastionPort: c.port(), BastionUser: c.text()}
		n.Labels = map[string]string{c.text(): c.text()}
	}
	r.Nodes[pick(c, n.Name, n.Name, n.Name, n.Name, "other")] = n
}

func (c *choices) service(r *Record) {
	s := &Service{Name: c.name(), Scheduler: pick(c, "", "rr", "wlc", "x"), DrainSeconds: c.number(), Endpoints: map[string]Endpoint{}}
	for range c.next(4) {
		e := Endpoint{Node: c.name(), Port: c.port()}
		if w := c.number(); c.next(2) == 1 {
			e.Weight = &w
		}
		s.Endpoints[pick(c, "a", "b", "c d", "", "x\n", "\x1b[2J", strings.Repeat("e", maxEndpointName+1))] = e
	}
	if c.next(2) == 1 {
		s.Affinity = &Affinity{TimeoutSeconds: c.number(), PrefixLength: pick(c, 32, 1, 0, 33)}
	}
	if c.next(2) == 1 {
		s.HealthCheck = &HealthCheck{
			Type: pick(c, CheckTCP, CheckHTTP, CheckHTTPS, "x"), Port: c.port(), Path: pick(c, "", "/", "/a b", "x", "/\u202e"), Host: c.text(), Status: pick(c, "", "200", "9"),
			IntervalMillis: pick(c, 5000, 1, 1<<62), TimeoutMillis: pick(c, 2000, 0, -1, 6000), Rise: pick(c, 2, 0, 101), Fall: pick(c, 3, 0, 101), OnUnhealthy: pick(c, KeepConnections, CutConnections, "x"),
		}
	}
	r.Services[pick(c, s.Name, s.Name, s.Name, s.Name, "other")] = s
}

func (c *choices) publishedPort(r *Record) {
	p := &PublishedPort{
		Service: c.name(), Published: c.port(), Target: c.port(), Protocol: pick(c, TCP, UDP, "sctp"), Mode: pick(c, Ingress, Host, "x"),
		Locality: pick(c, AnyEndpoint, PreferLocal, "x"), OnePacket: c.next(4) == 1, AllowedCIDRs: pick[PrefixList](c, "", "10.0.0.0/8", "10.0.0.0/8,9.0.0.0/8", "x"),
		Nodes: pick[NodeList](c, "", "n1", "n1,n2", "n2,n1", "N 1"), Listen: pick[PrefixList](c, "", "192.0.2.1/32", "127.0.0.0/8", "192.0.2.0/24", "10.0.0.0/8,9.0.0.0/8", "x", "224.0.0.1/32"),
		VIP:           pick[uint8](c, 0, 0, 0, 1, 2, 15, 16),
		ClientAddress: pick(c, EntryNode, Preserve, "x"), PreservedBefore: c.next(4) == 1,
		Last: pick[uint16](c, 0, 0, 0, 0, 81, 4790, 8081, 65535),
	}
	key := p.Key()
	if c.next(5) == 1 {
		key.Port++
	}
	r.Ports[key] = p
}

// FuzzRules: what Validate takes, the Put methods make, and what they make, it takes. What
// one refuses, the other does.
func FuzzRules(f *testing.F) {
	f.Add([]byte{})
	good := []byte{
		0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // header
		2,                // two nodes
		0, 0, 0, 1, 0, 0, // n1
		1, 1, 1, 1, 2, 0, // n2
		1,                      // a service
		3, 0, 1, 1, 0, 2, 0, 0, // web with one endpoint
	}
	f.Add(good)
	for i := range good { // each byte of it otherwise
		other := slices.Clone(good)
		other[i] += 5
		f.Add(append(other, 1, 3, 5, 2, 0, 0, 0))
	}
	networks := slices.Concat(good, []byte{0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 2, 1, 0, 5, 0})
	f.Add(networks)
	for i := range networks {
		other := slices.Clone(networks)
		other[i] += 3
		f.Add(other)
	}
	f.Fuzz(func(t *testing.T, data []byte) { sameRules(t, (&choices{data}).record()) })
}

// sameRules says that the record is valid; else both refuse it.
func sameRules(t *testing.T, r *Record) bool {
	t.Helper()
	refused := r.Validate()
	made, err := rebuild(r)
	if r.Format != RecordFormat {
		err = errors.New("another format")
	}
	if (refused == nil) != (err == nil) {
		t.Fatalf("Validate: %v\nPut…: %v\n%s", refused, err, mustJSON(t, r))
	}
	if err != nil {
		return false
	}
	if err := made.Validate(); err != nil {
		t.Fatalf("the Put methods have made what is not valid: %v", err)
	}
	if want := canonical(r); want.Hash() != made.Hash() {
		t.Fatalf("the Put methods make another record:\n%s\n%s", mustJSON(t, want), mustJSON(t, made))
	}
	return true
}

// TestRules_SameRefusal: each rule is said in the same words by both.
func TestRules_SameRefusal(t *testing.T) {
	node := func(change func(n *Node)) func(r *Record) error {
		return func(r *Record) error {
			n := *r.Nodes["n2"]
			change(&n)
			err := r.PutNode(&n)
			r.Nodes["n2"] = &n
			return err
		}
	}
	service := func(change func(s *Service)) func(r *Record) error {
		return func(r *Record) error {
			s := r.Services["web"].clone()
			change(s)
			err := r.PutService(s)
			r.Services["web"] = s
			return err
		}
	}
	port := func(change func(p *PublishedPort)) func(r *Record) error {
		return func(r *Record) error {
			p := *r.Ports[PortKey{Port: 8080, Protocol: TCP}]
			change(&p)
			err := r.PutPort(&p)
			delete(r.Ports, PortKey{Port: 8080, Protocol: TCP})
			r.Ports[p.Key()] = &p
			return err
		}
	}
	network := func(n *Network) func(r *Record) error {
		return func(r *Record) error {
			err := r.PutNetwork(n)
			r.Networks = map[string]*Network{n.Name: n}
			r.Addressing = &NetworkAddressing{Identities: map[NetworkSet]uint16{}, VIPBlocks: []netip.Prefix{netip.MustParsePrefix("10.255.255.0/24")}}
			return err
		}
	}
	inBack := func(change func(s *Service)) func(r *Record) error {
		return func(r *Record) error {
			must(t, r.PutNetwork(&Network{Name: "back"}))
			must(t, r.PutService(inNetworks("db", "n2", "back")))
			return service(func(s *Service) {
				s.Networks, s.VIPPorts = map[string]Membership{"back": {}}, map[PortKey]uint16{{Port: 80, Protocol: TCP}: 8080}
				change(s)
			})(r)
		}
	}
	cluster := func(change func(c *Cluster)) func(r *Record) error {
		return func(r *Record) error {
			c := r.Cluster
			change(&c)
			err := r.PutCluster(c)
			r.Cluster = c
			return err
		}
	}
	for name, put := range map[string]func(r *Record) error{
		"two nodes of one address":     node(func(n *Node) { n.Address = netip.MustParseAddr("192.168.200.10") }),
		"a loopback address":           node(func(n *Node) { n.Address = netip.MustParseAddr("127.0.0.1") }),
		"a multicast address":          node(func(n *Node) { n.Address = netip.MustParseAddr("224.0.0.1") }),
		"an address in the pool":       node(func(n *Node) { n.Address = netip.MustParseAddr("10.255.9.9") }),
		"no address":                   node(func(n *Node) { n.Address = netip.Addr{} }),
		"a negative underlay MTU":      node(func(n *Node) { n.UnderlayMTU = -5 }),
		"an underlay MTU too small":    node(func(n *Node) { n.UnderlayMTU = 100 }),
		"an escape in a host":          node(func(n *Node) { n.SSH.Host = "x\x1b[2J" }),
		"an escape in a label":         node(func(n *Node) { n.Labels = map[string]string{"a": "\x1b[2J"} }),
		"a strange availability":       node(func(n *Node) { n.Availability = "x" }),
		"an SSH port that is ours":     node(func(n *Node) { n.SSH.Port = 10256 }),
		"an endpoint twice":            service(func(s *Service) { s.Endpoints["x"] = Endpoint{Node: "n2"} }),
		"an endpoint with an escape":   service(func(s *Service) { s.Endpoints["x\n\x1b[2J"] = Endpoint{Node: "n1", Port: 99} }),
		"a node that no cluster has":   service(func(s *Service) { s.Endpoints["x"] = Endpoint{Node: "N_1"} }),
		"affinity that overflows":      service(func(s *Service) { s.Affinity = &Affinity{TimeoutSeconds: 18446744074 + 100, PrefixLength: 32} }),
		"a drain that overflows":       service(func(s *Service) { s.DrainSeconds = 18446744074 + 100 }),
		"an unknown scheduler":         service(func(s *Service) { s.Scheduler = "x" }),
		"sshd's port":                  port(func(p *PublishedPort) { p.Published = 22 }),
		"the health address's port":    port(func(p *PublishedPort) { p.Published = 10256 }),
		"a range that ends too soon":   port(func(p *PublishedPort) { p.Last = 8080 }),
		"a range of targets too high":  port(func(p *PublishedPort) { p.Last, p.Target = 8090, 65530 }),
		"a range over the health port": port(func(p *PublishedPort) { p.Last = 12000 }),
		"a range at an address":        port(func(p *PublishedPort) { p.Last, p.Listen = 8090, "192.0.2.7/32" }),
		"a range packet by packet":     port(func(p *PublishedPort) { p.Last, p.Protocol, p.OnePacket = 8090, UDP, true }),
		"no target":                    port(func(p *PublishedPort) { p.Target = 0 }),
		"an unknown service":           port(func(p *PublishedPort) { p.Service = "gone" }),
		"nodes that are not sorted":    port(func(p *PublishedPort) { p.Nodes = "n2,n1" }),
		"listening that is not sorted": port(func(p *PublishedPort) { p.Listen = "10.0.0.0/8,9.0.0.0/8" }),
		"listening to multicast":       port(func(p *PublishedPort) { p.Listen = "224.0.0.1/32" }),
		"a pair of VIPs too many":      port(func(p *PublishedPort) { p.VIP = MaxVIPs }),
		"networks that are not right":  port(func(p *PublishedPort) { p.AllowedCIDRs = "0.0.0.0/0" }),
		"a network without a name":     network(&Network{}),
		"a network of all and one":     network(&Network{Name: "back", Hosts: []string{"*", "n1"}}),
		"a host that no cluster has":   network(&Network{Name: "back", Hosts: []string{"N_1"}}),
		"a network that is not there":  inBack(func(s *Service) { s.Networks["gone"] = Membership{} }),
		"a network of an odd name":     inBack(func(s *Service) { s.Networks["Gone"] = Membership{} }),
		"an alias that another has":    inBack(func(s *Service) { s.Networks["back"] = Membership{Aliases: []string{"db"}} }),
		"an alias that is no name":     inBack(func(s *Service) { s.Networks["back"] = Membership{Aliases: []string{"D B"}} }),
		"a VIP without ports":          inBack(func(s *Service) { s.VIPPorts = nil }),
		"a port of a VIP to nowhere":   inBack(func(s *Service) { s.VIPPorts[PortKey{Port: 1, Protocol: UDP}] = 0 }),
		"an odd port of a VIP":         inBack(func(s *Service) { s.VIPPorts = map[PortKey]uint16{{Port: 1, Protocol: "sctp"}: 1} }),
		"an unknown endpoint mode":     inBack(func(s *Service) { s.EndpointMode = "x" }),
		"ports of a VIP with dnsrr":    inBack(func(s *Service) { s.EndpointMode = EndpointDNSRR }),
		"processes with dnsrr":         inBack(func(s *Service) { s.EndpointMode, s.VIPPorts = EndpointDNSRR, nil }),
		"an endpoint mode for nobody":  service(func(s *Service) { s.EndpointMode = EndpointDNSRR }),
		"ports of no VIP":              service(func(s *Service) { s.VIPPorts = map[PortKey]uint16{{Port: 1, Protocol: TCP}: 1} }),
		"idle that overflows":          cluster(func(c *Cluster) { c.TCPIdleSeconds = 18446744074 + 100 }),
		"a pool that is everything":    cluster(func(c *Cluster) { c.AddressPool = netip.MustParsePrefix("0.0.0.0/0") }),
		"a strange repair":             cluster(func(c *Cluster) { c.Repair = "x" }),
		"a strange host_dns":           cluster(func(c *Cluster) { c.HostDNS = "x" }),
	} {
		t.Run(name, func(t *testing.T) {
			r := demoRecord(t)
			r.Cluster.HealthAddress = ":10256"
			r = r.Clone()
			put, took := put(r), r.Validate()
			if put == nil || took == nil || put.Error() != took.Error() {
				t.Errorf("Put…: %v\nValidate: %v", put, took)
			}
		})
	}
}
