package mesh

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func demoCluster() Cluster {
	return Cluster{
		Name: "demo", AddressPool: DefaultAddressPool, NodePrefixLength: DefaultNodePrefixLength,
		VXLANPort: DefaultVXLANPort, VNI: DefaultVNI("demo"), PublishedPortRange: DefaultPortRange,
	}
}

// demoRecord has nodes n1–n3, the service web on n2 and n3, and 8080/tcp.
func demoRecord(t *testing.T) *Record {
	t.Helper()
	r, err := NewRecord("uid-1", demoCluster())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		n := &Node{Name: fmt.Sprintf("n%d", i+1), Address: netip.MustParseAddr(fmt.Sprintf("192.168.200.1%d", i)), UnderlayMTU: 1500}
		must(t, r.PutNode(n))
	}
	must(t, r.PutService(&Service{Name: "web", Endpoints: map[string]Endpoint{"n2": {Node: "n2"}, "n3": {Node: "n3"}}}))
	must(t, r.PutPort(&PublishedPort{Service: "web", Published: 8080, Target: 80, Protocol: TCP, Mode: Ingress}))
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantRule fails unless err is an *Error at the attribute whose detail holds text.
func wantRule(t *testing.T, err error, attribute, text string) {
	t.Helper()
	var rule *Error
	if !errors.As(err, &rule) {
		t.Fatalf("got %v, want a rule about %s", err, attribute)
	}
	if rule.Attribute != attribute || !strings.Contains(rule.Detail, text) {
		t.Fatalf("got %q at %q, want %q at %q", rule.Detail, rule.Attribute, text, attribute)
	}
}

func TestNodesGetBlocksAndAddressesFromThePool(t *testing.T) {
	r := demoRecord(t)
	n2 := r.Nodes["n2"]
	got := []string{n2.Block.String(), n2.MeshAddress().String(), n2.HostAddress().String(), n2.HostModeAddress().String(), n2.MAC().String()}
	want := []string{"10.255.1.0/24", "10.255.1.1", "10.255.1.2", "10.255.1.3", "02:52:0a:ff:01:01"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestPort_AddressesFor: an endpoint is reached at its node's host address, on its own port
// or the one that the published port leads to.
func TestPort_AddressesFor(t *testing.T) {
	n2, p := demoRecord(t).Nodes["n2"], &PublishedPort{Published: 8080, Target: 80}
	for port, want := range map[uint16]string{0: "10.255.1.2:80", 8081: "10.255.1.2:8081"} {
		for got := range p.AddressesFor(Endpoint{Node: "n2", Port: port}, n2, n2) {
			if got.String() != want {
				t.Errorf("an endpoint on port %d is at %s, want %s", port, got, want)
			}
		}
	}
}

func TestABlockIsNotUsedAgainSoonAfterItsNodeLeft(t *testing.T) {
	r := demoRecord(t)
	r.RemoveNode("n2")
	n4 := &Node{Name: "n4", Address: netip.MustParseAddr("192.168.200.13")}
	must(t, r.PutNode(n4))
	if n4.Block.String() != "10.255.3.0/24" {
		t.Errorf("n4 got %s, want the next block, not the one that n2 left", n4.Block)
	}
	if n4.Address = netip.MustParseAddr("192.168.200.14"); r.PutNode(n4) != nil || n4.Block.String() != "10.255.3.0/24" {
		t.Errorf("a node that changes its address must keep its block, has %s", n4.Block)
	}
}

func TestAPoolThatIsFullSaysSo(t *testing.T) {
	c := demoCluster()
	c.AddressPool = netip.MustParsePrefix("10.255.0.0/23")
	r, err := NewRecord("u", c)
	must(t, err)
	for i := range 2 {
		must(t, r.PutNode(&Node{Name: fmt.Sprintf("n%d", i), Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}))
	}
	err = r.PutNode(&Node{Name: "n9", Address: netip.MustParseAddr("192.0.2.9")})
	wantRule(t, err, "cluster_id", "room for 2 nodes")
}

func TestNodeRules(t *testing.T) {
	for name, c := range map[string]struct {
		node            Node
		attribute, text string
	}{
		"a name that is no label":       {Node{Name: "N_1", Address: netip.MustParseAddr("192.0.2.1")}, "name", "want 1–63"},
		"an address another node has":   {Node{Name: "n4", Address: netip.MustParseAddr("192.168.200.10")}, "address", "Node n1 already has"},
		"an address inside the pool":    {Node{Name: "n4", Address: netip.MustParseAddr("10.255.9.9")}, "address", "lies in the cluster's address pool"},
		"a loopback address":            {Node{Name: "n4", Address: netip.MustParseAddr("127.0.0.1")}, "address", "unicast IPv4"},
		"an IPv6 address":               {Node{Name: "n4", Address: netip.MustParseAddr("2001:db8::1")}, "address", "unicast IPv4"},
		"an SSH port that is published": {Node{Name: "n4", Address: netip.MustParseAddr("192.0.2.1"), SSH: SSH{Port: 8080}}, "ssh", `published by service "web"`},
	} {
		t.Run(name, func(t *testing.T) { wantRule(t, demoRecord(t).PutNode(&c.node), c.attribute, c.text) })
	}
}

// TestPool_Reserved: a pool that cannot work is refused, in a record of others too.
func TestPool_Reserved(t *testing.T) {
	for _, pool := range []string{"127.0.0.0/8", "0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/8", "240.0.0.0/8", "128.0.0.0/1", "0.0.0.0/0", "127.1.0.0/16", "255.255.255.0/24"} {
		c := demoCluster()
		c.AddressPool = netip.MustParsePrefix(pool)
		_, err := NewRecord("uid", c)
		wantRule(t, err, "address_pool", "overlaps")
		r := demoRecord(t)
		r.Nodes = map[string]*Node{}
		r.Cluster.AddressPool = c.AddressPool
		wantRule(t, r.Validate(), "address_pool", "overlaps")
	}
}

func TestPortRules(t *testing.T) {
	for name, c := range map[string]struct {
		port            PublishedPort
		attribute, text string
	}{
		"a port of another service": {PublishedPort{Service: "api", Published: 8080, Target: 1, Protocol: TCP, Mode: Ingress}, "published_port", `already published by service "web"`},
		"sshd's port":               {PublishedPort{Service: "web", Published: 22, Target: 1, Protocol: TCP, Mode: Ingress}, "published_port", "cut off every SSH login"},
		"a node's own SSH port":     {PublishedPort{Service: "web", Published: 2222, Target: 1, Protocol: TCP, Mode: Ingress}, "published_port", "SSH port of node n1"},
		"the VXLAN port":            {PublishedPort{Service: "web", Published: 4789, Target: 1, Protocol: UDP, Mode: Ingress}, "published_port", "VXLAN overlay"},
		"an unknown service":        {PublishedPort{Service: "none", Published: 1, Target: 1, Protocol: TCP, Mode: Ingress}, "service_id", `no service "none"`},
		"no target":                 {PublishedPort{Service: "web", Published: 1, Protocol: TCP, Mode: Ingress}, "target_port", "1–65535"},
		"a strange protocol":        {PublishedPort{Service: "web", Published: 1, Target: 1, Protocol: "sctp", Mode: Ingress}, "protocol", "tcp or udp"},
		"a strange mode":            {PublishedPort{Service: "web", Published: 1, Target: 1, Protocol: TCP, Mode: "x"}, "mode", "ingress or host"},
	} {
		t.Run(name, func(t *testing.T) {
			r := demoRecord(t)
			must(t, r.PutService(&Service{Name: "api"}))
			r.Nodes["n1"].SSH.Port = 2222
			before := r.Hash()
			wantRule(t, r.PutPort(&c.port), c.attribute, c.text)
			if r.Hash() != before {
				t.Error("a refused port changed the record")
			}
		})
	}
	// the VXLAN port and sshd's are free for the other protocol
	r := demoRecord(t)
	must(t, r.PutPort(&PublishedPort{Service: "web", Published: 4789, Target: 1, Protocol: TCP, Mode: Ingress}))
	must(t, r.PutPort(&PublishedPort{Service: "web", Published: 22, Target: 1, Protocol: UDP, Mode: Ingress}))
}

func TestAPortThatNamesNoneTakesTheNextFreeOfTheRange(t *testing.T) {
	r := demoRecord(t)
	r.Cluster.PublishedPortRange = PortRange{30000, 30002}
	must(t, r.PutPort(&PublishedPort{Service: "web", Published: 30001, Target: 80, Protocol: TCP, Mode: Ingress}))
	for _, want := range []uint16{30000, 30002} {
		p := &PublishedPort{Service: "web", Target: 80, Protocol: TCP, Mode: Ingress}
		must(t, r.PutPort(p))
		if p.Published != want {
			t.Errorf("got %d, want %d", p.Published, want)
		}
	}
	wantRule(t, r.PutPort(&PublishedPort{Service: "web", Target: 80, Protocol: TCP, Mode: Ingress}), "published_port", "30000–30002 is taken")
	p := &PublishedPort{Service: "web", Target: 80, Protocol: UDP, Mode: Ingress}
	must(t, r.PutPort(p))
	if p.Published != 30000 {
		t.Errorf("udp has its own ports, got %d", p.Published)
	}
}

func TestServiceRules(t *testing.T) {
	r := demoRecord(t)
	wantRule(t, r.PutService(&Service{Name: "x", Endpoints: map[string]Endpoint{"a": {Node: "n9"}}}), "endpoints", `names node "n9"`)
	wantRule(t, r.PutService(&Service{Name: "x", Endpoints: map[string]Endpoint{"a": {Node: "n1"}, "b": {Node: "n1"}}}), "endpoints", `"a" and "b" are the same`)
	wantRule(t, r.RemoveService("web"), "", "still publishes 8080/tcp")
	must(t, r.PutService(&Service{Name: "x", Endpoints: map[string]Endpoint{"a": {Node: "n1", Port: 1}, "b": {Node: "n1", Port: 2}}}))
	must(t, r.RemoveService("x"))
}

func TestEndpointsOfANodeThatLeftArePassedOver(t *testing.T) {
	r := demoRecord(t)
	r.RemoveNode("n3")
	if got := r.LiveEndpoints(r.Services["web"]); len(got) != 1 || got[0] != "n2" {
		t.Errorf("live endpoints %v, want n2 alone", got)
	}
	must(t, r.Validate())
}

func TestClusterRules(t *testing.T) {
	for name, c := range map[string]struct {
		change          func(*Cluster)
		attribute, text string
	}{
		"a pool with host bits":       {func(c *Cluster) { c.AddressPool = netip.MustParsePrefix("10.255.1.0/16") }, "address_pool", "write 10.255.0.0/16"},
		"an IPv6 pool":                {func(c *Cluster) { c.AddressPool = netip.MustParsePrefix("fd00::/64") }, "address_pool", "IPv4 prefix"},
		"blocks as large as the pool": {func(c *Cluster) { c.NodePrefixLength = 16 }, "node_prefix_length", "17–29"},
		"blocks too small":            {func(c *Cluster) { c.NodePrefixLength = 30 }, "node_prefix_length", "17–29"},
		"no VXLAN port":               {func(c *Cluster) { c.VXLANPort = 0 }, "vxlan_port", "1–65535"},
		"a VNI beyond 24 bits":        {func(c *Cluster) { c.VNI = 1 << 24 }, "vni", "16777215"},
		"an MTU too small":            {func(c *Cluster) { c.MTU = 100 }, "mtu", "576"},
		"a range upside down":         {func(c *Cluster) { c.PublishedPortRange = PortRange{2, 1} }, "published_port_range", "FIRST ≤ LAST"},
	} {
		t.Run(name, func(t *testing.T) {
			cl := demoCluster()
			c.change(&cl)
			wantRule(t, cl.Check(), c.attribute, c.text)
		})
	}
	moved := demoCluster()
	moved.AddressPool = netip.MustParsePrefix("10.254.0.0/16")
	wantRule(t, demoRecord(t).PutCluster(moved), "address_pool", "cannot change while the cluster has nodes")
}

func TestTheOverlayDoesNotTakeAPublishedPort(t *testing.T) {
	r := demoRecord(t)
	must(t, r.PutPort(&PublishedPort{Service: "web", Published: 8472, Target: 1, Protocol: UDP, Mode: Ingress}))
	c := r.Cluster
	c.VXLANPort = 8472
	wantRule(t, r.PutCluster(c), "vxlan_port", `published by service "web"`)
	c.VXLANPort = 8080 // published for tcp, which is another port
	must(t, r.PutCluster(c))
}

func TestMTUIsTheSmallestUnderlaysLessTheHeader(t *testing.T) {
	r := demoRecord(t)
	r.Nodes["n2"].UnderlayMTU = 1420
	if got := r.MTU(); got != 1370 {
		t.Errorf("got %d, want 1370", got)
	}
	if r.Cluster.MTU = 1300; r.MTU() != 1300 {
		t.Errorf("a configured MTU must win, got %d", r.MTU())
	}
	empty, err := NewRecord("u", demoCluster())
	must(t, err)
	if got := empty.MTU(); got != 1450 {
		t.Errorf("without nodes got %d, want 1450", got)
	}
}

func TestTheNextRecordNamesItsParentAndSharesNothing(t *testing.T) {
	r := demoRecord(t)
	r.Generation = 7
	n := r.Next()
	if n.Generation != 8 || n.Parent != r.Hash() {
		t.Errorf("generation %d parent %q", n.Generation, n.Parent)
	}
	before := r.Hash()
	n.Nodes["n1"].Labels = map[string]string{"a": "b"}
	n.Services["web"].Endpoints["x"] = Endpoint{Node: "n1"}
	n.Ports[PortKey{Port: 8080, Protocol: TCP}].Target = 1
	n.RemoveNode("n2")
	if r.Hash() != before {
		t.Error("a change to the next record reached its parent")
	}
}

func TestARecordSurvivesItsJSON(t *testing.T) {
	r := demoRecord(t)
	r.Generation = 3
	got, err := ParseRecord(mustJSON(t, r))
	must(t, err)
	if got.Hash() != r.Hash() {
		t.Errorf("hash differs after a round trip:\n%s", cmp.Diff(mustJSON(t, r), mustJSON(t, got)))
	}
}
