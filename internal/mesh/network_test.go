package mesh

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// networkRecord has the networks front and back; web is in both, db in back with the alias
// "database", and the processes of n1 are members of front.
func networkRecord(t *testing.T) *Record {
	t.Helper()
	r := demoRecord(t)
	must(t, r.PutNetwork(&Network{Name: "front", Hosts: []string{"n1"}}))
	must(t, r.PutNetwork(&Network{Name: "back"}))
	must(t, r.PutService(inNetworks("web", "n1", "front", "back")))
	db := inNetworks("db", "n2", "back")
	db.Networks["back"] = Membership{Aliases: []string{"database"}}
	must(t, r.PutService(db))
	return r
}

// inNetworks is a service with one container.
func inNetworks(name, node string, networks ...string) *Service {
	s := &Service{Name: name, Networks: map[string]Membership{}, Endpoints: map[string]Endpoint{
		"c": {Node: node, Container: &Container{Name: name}, Slots: make([]uint16, 1)},
	}}
	for _, n := range networks {
		s.Networks[n] = Membership{}
	}
	return s
}

func TestNetworks_Identities(t *testing.T) {
	r := networkRecord(t)
	must(t, r.Validate())
	want := map[NetworkSet]uint16{"front": 1, "back": 2, "back,front": 3}
	if diff := cmp.Diff(want, r.Addressing.Identities); diff != "" {
		t.Error(diff)
	}
	for set, want := range map[NetworkSet][]uint16{"front": {1, 3}, "back": {2, 3}, "back,front": {1, 2, 3}, "": nil} {
		if got := r.Peers(set); !slices.Equal(got, want) {
			t.Errorf("the peers of %q are %v, want %v", set, got, want)
		}
	}
	if got := r.HostNetworks("n1"); got != "front" {
		t.Errorf("the processes of n1 are in %q", got)
	}
	if r.HasMemberOf("n3", "back") || !r.HasMemberOf("n2", "back,front") || !r.HasMemberOf("n1", "front") {
		t.Error("members are on other nodes than they should be")
	}
}

// TestNetworks_IdentityIsUsedAgainLast: a packet of the one that is gone must not pass as
// another network's.
func TestNetworks_IdentityIsUsedAgainLast(t *testing.T) {
	r := networkRecord(t)
	must(t, r.RemoveService("db"))
	must(t, r.PutService(inNetworks("web", "n1", "front")))
	if r.Addressing.Identities["back,front"] != 3 {
		t.Error("a set that may still have packets on their way has lost its number")
	}
	must(t, r.RemoveNetwork("back"))
	must(t, r.PutNetwork(&Network{Name: "other"}))
	if got := r.Addressing.Identities["other"]; got != 4 {
		t.Errorf("the next set has the number %d, want 4", got)
	}
	must(t, r.Validate())
}

// TestNetworks_ProcessMakesItsHostAMember: its answers must have the network's number.
func TestNetworks_ProcessMakesItsHostAMember(t *testing.T) {
	r := networkRecord(t)
	must(t, r.PutService(&Service{Name: "api", Networks: map[string]Membership{"back": {}},
		VIPPorts: map[PortKey]uint16{{Port: 80, Protocol: TCP}: 8080}, Endpoints: map[string]Endpoint{"n3": {Node: "n3"}}}))
	if got := r.HostNetworks("n3"); got != "back" {
		t.Errorf("n3 is in %q", got)
	}
	must(t, r.Validate())
}

func TestNetworks_VIPs(t *testing.T) {
	r := networkRecord(t)
	if got, want := r.Resolver().String(), "10.255.255.1"; got != want {
		t.Errorf("the resolver is at %s, want %s", got, want)
	}
	web, db := r.Services["web"].VIP, r.Services["db"].VIP
	if web.String() != "10.255.255.2" || db.String() != "10.255.255.3" {
		t.Errorf("the VIPs are %s and %s", web, db)
	}
	rr := inNetworks("web", "n1", "front")
	rr.EndpointMode = EndpointDNSRR
	must(t, r.PutService(rr))
	if r.Services["web"].VIP.IsValid() {
		t.Error("a service without a VIP has one")
	}
	must(t, r.PutService(inNetworks("web", "n1", "front")))
	if got := r.Services["web"].VIP.String(); got != "10.255.255.4" {
		t.Errorf("the new VIP is %s: one that was freed is to be used last", got)
	}
	mark := VIPMark(db)
	if proto, at, ok := ServerOfMark(mark); !ok || proto != "" || at != netip.AddrPortFrom(db, 0) {
		t.Errorf("%#x is the mark of %s", mark, at)
	}
	if r.VIPOf(db).Name != "db" || r.VIPOf(netip.Addr{}) != nil {
		t.Error("VIPOf")
	}
}

// TestNetworks_MarksOfRangesAreNoVIPs: a VIP is its own mark.
func TestNetworks_MarksOfRangesAreNoVIPs(t *testing.T) {
	for pool, ok := range map[string]bool{"82.0.0.0/16": false, "80.0.0.0/6": false, "82.8.0.0/16": true, "10.0.0.0/7": true} {
		c := demoCluster()
		c.AddressPool, c.NodePrefixLength = netip.MustParsePrefix(pool), 24
		r, err := NewRecord("u", c)
		must(t, err)
		if err := r.PutNetwork(&Network{Name: "back"}); (err == nil) != ok {
			t.Errorf("networks in the pool %s: %v", pool, err)
		}
	}
	for _, mark := range []uint32{0, 1, MaxIdentity, NoNetworks, 0x00ffffff, 0x7f000001, 0xffffffff, 0x52060001} {
		if _, at, ok := ServerOfMark(mark); ok && at.Port() == 0 && mark < 1<<24 {
			t.Errorf("%#x is taken for the mark of %s", mark, at)
		}
	}
}

// TestNetworks_VIPBlocksAndNodes: a pool's blocks are nodes' or VIPs', and each says when
// there are no more.
func TestNetworks_VIPBlocksAndNodes(t *testing.T) {
	c := demoCluster()
	c.AddressPool, c.NodePrefixLength = netip.MustParsePrefix("10.0.0.0/26"), 29 // 8 blocks of 6 VIPs
	r, err := NewRecord("u", c)
	must(t, err)
	must(t, r.PutNetwork(&Network{Name: "back"}))
	node := func(i int) error {
		return r.PutNode(&Node{Name: fmt.Sprintf("n%d", i), Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})})
	}
	for i := range 6 {
		must(t, node(i))
	}
	service := func(i int) error {
		return r.PutService(&Service{Name: fmt.Sprintf("s%d", i), Networks: map[string]Membership{"back": {}}})
	}
	for i := range 11 { // 5 beside the resolver, then another block
		must(t, service(i))
	}
	must(t, r.Validate())
	wantRule(t, service(11), "networks", "all 8 of /29 are taken")
	wantRule(t, node(6), "cluster_id", "all are taken")
}

func TestNetworks_Rules(t *testing.T) {
	process := func(change func(s *Service)) *Service {
		s := &Service{Name: "api", Networks: map[string]Membership{"back": {}}, Endpoints: map[string]Endpoint{"n3": {Node: "n3"}}}
		change(s)
		return s
	}
	alias := inNetworks("api", "n3", "back")
	alias.Networks["back"] = Membership{Aliases: []string{"database"}}
	for _, c := range []struct {
		put             any
		attribute, text string
	}{
		{&Network{Name: "Front"}, "name", "is no name"},
		{&Network{Name: "x", Hosts: []string{"n9"}}, "hosts", `names node "n9"`},
		{&Network{Name: "x", Hosts: []string{"n1", "*"}}, "hosts", "stands for every node"},
		{inNetworks("api", "n3", "missing"), "networks", `names network "missing"`},
		{inNetworks("database", "n3", "back"), "networks", `"database" is service "db"'s already`},
		{alias, "networks", `"database" is service "db"'s already`},
		{process(func(*Service) {}), "vip_ports", "must not lead to everything"},
		{process(func(s *Service) { s.EndpointMode = EndpointDNSRR }), "endpoint_mode", "only declared ports"},
		{process(func(s *Service) { s.EndpointMode = "both" }), "endpoint_mode", `not "both"`},
		{process(func(s *Service) { s.Networks = nil; s.VIPPorts = map[PortKey]uint16{{Port: 1, Protocol: TCP}: 1} }), "vip_ports", "services in networks"},
		{process(func(s *Service) { s.VIPPorts = map[PortKey]uint16{{Port: 1, Protocol: TCP}: 0} }), "vip_ports", "1/tcp = 0"},
	} {
		r := networkRecord(t)
		before := r.Hash()
		var err error
		switch put := c.put.(type) {
		case *Network:
			err = r.PutNetwork(put)
		case *Service:
			err = r.PutService(put)
		}
		wantRule(t, err, c.attribute, c.text)
		if r.Hash() != before {
			t.Error("what was refused has changed the record")
		}
	}
}

// TestNetworks_RemovedWhileServicesAreIn: Terraform destroys a network, or replaces it, before
// it updates the services that named it. They lose nothing meanwhile.
func TestNetworks_RemovedWhileServicesAreIn(t *testing.T) {
	r := networkRecord(t)
	addressing, vip := r.Addressing, r.Services["db"].VIP
	must(t, r.RemoveNetwork("back"))
	must(t, r.RemoveNetwork("missing"))
	must(t, r.Validate())
	if r.HasNetwork("back") || r.Has(NetworkRef("back")) || r.Networks["back"] == nil || !r.Addressing.equal(addressing) {
		t.Fatal("a network that services are in is gone, or still there")
	}
	wantRule(t, r.PutService(inNetworks("api", "n3", "back")), "networks", `names network "back", which the cluster demo does not have (it has [front])`)
	web := inNetworks("web", "n2", "back", "front") // moved, and still in both
	must(t, r.PutService(web))
	must(t, r.PutService(inNetworks("web", "n2", "front")))
	if r.Networks["back"] == nil {
		t.Fatal("the network is gone, and db is still in it")
	}
	back := r.Clone()
	must(t, back.PutNetwork(&Network{Name: "back"}))
	if !back.HasNetwork("back") || back.Addressing.Identities["back"] != addressing.Identities["back"] || back.Services["db"].VIP != vip {
		t.Error("a network that is replaced under its name is another one")
	}
	left := r.Clone()
	must(t, left.PutService(inNetworks("db", "n2", "front")))
	must(t, r.RemoveService("db"))
	for _, r := range []*Record{r, left} {
		must(t, r.Validate())
		if r.Networks["back"] != nil || r.Addressing.Identities["back"] != 0 {
			t.Error("the last service has left, and the network is still there")
		}
	}
	r.Networks["back"] = &Network{Name: "back", Removed: true}
	if err := r.Validate(); err == nil || !strings.Contains(err.Error(), "no service is in it any more") {
		t.Errorf("a removed network without members: %v", err)
	}
}

// TestNetworks_HealthCheckKnowsItsPort: by itself, or by a tcp port of the VIP; published
// ports are no help, for they come after the service.
func TestNetworks_HealthCheckKnowsItsPort(t *testing.T) {
	tcp, udp := PortKey{Port: 80, Protocol: TCP}, PortKey{Port: 53, Protocol: UDP}
	for name, c := range map[string]struct {
		change func(s *Service)
		text   string
	}{
		"every port of the VIP":        {func(*Service) {}, "The service's VIP leads to every port"},
		"names lead to the containers": {func(s *Service) { s.EndpointMode = EndpointDNSRR }, "reach its containers on every port"},
		"udp alone":                    {func(s *Service) { s.VIPPorts = map[PortKey]uint16{udp: 53} }, "vip_ports are udp"},
		"a tcp port":                   {func(s *Service) { s.VIPPorts = map[PortKey]uint16{udp: 53, tcp: 8080} }, ""},
		"a port of its own":            {func(s *Service) { s.HealthCheck.Port = 8080 }, ""},
		"udp and a port of its own":    {func(s *Service) { s.HealthCheck.Port, s.VIPPorts = 8080, map[PortKey]uint16{udp: 53} }, ""},
		"no check":                     {func(s *Service) { s.HealthCheck = nil }, ""},
		"in no network":                {func(s *Service) { s.Networks = nil }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, s := networkRecord(t), inNetworks("web", "n1", "front")
			s.HealthCheck = &HealthCheck{Type: CheckTCP, IntervalMillis: 5000, TimeoutMillis: 2000, Rise: 2, Fall: 3, OnUnhealthy: KeepConnections}
			c.change(s)
			must(t, r.PutPort(&PublishedPort{Service: "web", Published: 80, Target: 8080, Protocol: TCP, Mode: Ingress}))
			err := r.PutService(s)
			if c.text == "" {
				must(t, err)
				must(t, r.Validate())
				return
			}
			wantRule(t, err, "health_check", c.text)
		})
	}
}

// TestNetworks_Change: a change has all of it, and a cluster without networks has nothing.
func TestNetworks_Change(t *testing.T) {
	base := demoRecord(t)
	next := base.Next()
	must(t, next.PutNetwork(&Network{Name: "back"}))
	must(t, next.PutService(inNetworks("db", "n2", "back")))
	there := changed(t, base, next)
	gone := there.Next()
	must(t, gone.RemoveService("db"))
	must(t, gone.RemoveNetwork("back"))
	last := changed(t, there, gone)
	if last.Addressing != nil || last.Networks != nil {
		t.Error("a cluster without networks remembers some")
	}
	if !maps.Equal(base.Addressing.clone().Identities, map[NetworkSet]uint16{}) {
		t.Error("the base was changed")
	}
}

// changed makes next of base by way of a change.
func changed(t *testing.T, base, next *Record) *Record {
	t.Helper()
	c := Diff(base, next)
	c.Base, c.Hash = base.Hash(), next.Hash()
	made, err := base.Apply(c)
	must(t, err)
	parsed, err := ParseRecord(made.JSON)
	must(t, err)
	if parsed.Hash() != next.Hash() {
		t.Error("a record that was read is another one")
	}
	return parsed
}
