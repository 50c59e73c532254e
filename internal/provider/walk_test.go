package provider

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// recorded is a cluster as a Read finds it: n1 and n2 in a pool for two, web on
// 8080/tcp, and 5000/udp.
func recorded(t *testing.T) *mesh.Record {
	t.Helper()
	r, err := mesh.NewRecord("uid", mesh.Cluster{
		Name: "demo", AddressPool: netip.MustParsePrefix("10.9.0.0/28"), NodePrefixLength: 29, VXLANPort: 4789, VNI: 1, PublishedPortRange: mesh.DefaultPortRange})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		r.PutNode(&mesh.Node{Name: "n1", Address: netip.MustParseAddr("192.0.2.11")}),
		r.PutNode(&mesh.Node{Name: "n2", Address: netip.MustParseAddr("192.0.2.12")}),
		r.PutService(&mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1"}}}),
		r.PutPort(&mesh.PublishedPort{Service: "web", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}),
		r.PutPort(&mesh.PublishedPort{Service: "web", Published: 5000, Target: 80, Protocol: mesh.UDP, Mode: mesh.Ingress}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func observing(t *testing.T) *walk {
	t.Helper()
	w := newWalk()
	w.observe(recorded(t))
	return w
}

func node(name, address string) mesh.Node {
	n := mesh.Node{Name: name}
	if address != "" {
		n.Address = netip.MustParseAddr(address)
	}
	return n
}

func portOf(service string, port uint16) mesh.PublishedPort {
	return mesh.PublishedPort{Service: service, Published: port, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}
}

// TestRecordConflictsAreWarnings: what the record has may be destroyed further
// on in the same plan.
func TestRecordConflictsAreWarnings(t *testing.T) {
	for name, tc := range map[string]struct {
		plan func(*walk) (string, error)
		want string // in the warning, "" for none
	}{
		"port of another service": {func(w *walk) (string, error) { return w.planPort("demo", "", portOf("api", 8080)) }, `Service "web" of the cluster publishes port 8080/tcp`},
		"port that leaves": {func(w *walk) (string, error) {
			w.leave("demo", portOfService("web", web8080))
			return w.planPort("demo", "", portOf("api", 8080))
		}, ""},
		"its own port":    {func(w *walk) (string, error) { return w.planPort("demo", "demo/web/8080/tcp", portOf("web", 8080)) }, ""},
		"another port":    {func(w *walk) (string, error) { return w.planPort("demo", "", portOf("api", 8081)) }, ""},
		"address of n2":   {func(w *walk) (string, error) { return w.planNode("demo", "demo/n1", node("n1", "192.0.2.12")) }, "node n2 of the cluster has the underlay"},
		"its own address": {func(w *walk) (string, error) { return w.planNode("demo", "demo/n1", node("n1", "192.0.2.11")) }, ""},
		"a third node":    {func(w *walk) (string, error) { return w.planNode("demo", "", node("n3", "192.0.2.13")) }, "room for 2 nodes"},
		"a third in place of the second": {func(w *walk) (string, error) {
			w.leave("demo", mesh.NodeRef("n2"))
			return w.planNode("demo", "", node("n3", "192.0.2.12"))
		}, "from = routingmesh_node.NAME"},
		"a replacement of the second": {func(w *walk) (string, error) {
			w.leave("demo", mesh.NodeRef("n2"))
			return w.planNode("demo", "demo/n2", node("n3", "192.0.2.12"))
		}, ""},
		"port with another key":    {func(w *walk) (string, error) { return w.planPort("demo", "", portOf("web", 8080)) }, "from = routingmesh_published_port.NAME"},
		"node with another key":    {func(w *walk) (string, error) { return w.planNode("demo", "", node("n2", "192.0.2.12")) }, `has the node demo/n2 already`},
		"service with another key": {func(w *walk) (string, error) { return warned(w.planService("demo", "", mesh.Service{Name: "web"})) }, "from = routingmesh_service.NAME"},
		"its own service": {func(w *walk) (string, error) {
			return warned(w.planService("demo", "demo/web", mesh.Service{Name: "web"}))
		}, ""},
		"vxlan port": {func(w *walk) (string, error) {
			c := recorded(t).Cluster
			c.VXLANPort = 5000
			return joined(w.planCluster("demo", c, true, false))
		}, `5000/udp is published by service "web"`},
		"health address": {func(w *walk) (string, error) {
			c := recorded(t).Cluster
			c.HealthAddress = ":8080"
			return joined(w.planCluster("demo", c, true, false))
		}, `8080/tcp is published by service "web", so this will fail. Remove that port in the same plan, or choose another health_address`},
		"metrics address of a port that leaves": {func(w *walk) (string, error) {
			c := recorded(t).Cluster
			c.MetricsAddress = "127.0.0.1:8080"
			w.leave("demo", portOfService("web", web8080))
			return joined(w.planCluster("demo", c, true, false))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			warning, err := tc.plan(observing(t))
			if err != nil || tc.want == "" && warning != "" || !strings.Contains(warning, tc.want) {
				t.Errorf("warning %q, error %v, want %q", warning, err, tc.want)
			}
		})
	}
}

func warned(warnings []planWarning, err error) (string, error) {
	var texts []string
	for _, w := range warnings {
		texts = append(texts, w.attribute+": "+w.detail)
	}
	return strings.Join(texts, "\n"), err
}

func joined(warnings []*mesh.Error, err error) (string, error) {
	var texts []string
	for _, w := range warnings {
		texts = append(texts, w.Detail)
	}
	return strings.Join(texts, "\n"), err
}

// TestUnknownNodes: an endpoint's node is unknown only where all are in sight.
func TestUnknownNodes(t *testing.T) {
	web := mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n9"}}}
	settings := recorded(t).Cluster
	for name, tc := range map[string]struct {
		prepare func(*walk)
		unknown bool
	}{
		"nothing is known":         {func(*walk) {}, false},
		"the record is known":      {func(w *walk) { w.observe(recorded(t)) }, true},
		"the cluster is created":   {func(w *walk) { _, _ = w.planCluster("", settings, true, true) }, true},
		"the cluster is changed":   {func(w *walk) { _, _ = w.planCluster("demo", settings, true, false) }, false},
		"the node is planned":      {func(w *walk) { w.observe(recorded(t)); _, _ = w.planNode("demo", "", node("n9", "")) }, false},
		"a node has no name yet":   {func(w *walk) { w.observe(recorded(t)); w.unknown("demo", mesh.KindNode) }, false},
		"a node of some cluster":   {func(w *walk) { w.observe(recorded(t)); w.unknown("", mesh.KindNode) }, false},
		"another cluster is vague": {func(w *walk) { w.observe(recorded(t)); w.unknown("prod", mesh.KindNode) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWalk()
			tc.prepare(w)
			_, err := w.planService("demo", "", web)
			var broken *mesh.Error
			if errors.As(err, &broken) != tc.unknown || tc.unknown && broken.Attribute != "endpoints" {
				t.Errorf("got %v, want an error: %v", err, tc.unknown)
			}
		})
	}
}

// TestReplacementIsOneInstance: planned twice, it holds what it was planned to
// have the second time.
func TestReplacementIsOneInstance(t *testing.T) {
	w := newWalk()
	for _, port := range []uint16{8080, 8081} { // the second plan of the same instance has another port
		if _, err := w.planPort("demo", "demo/web/8080/tcp", portOf("web", port)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.planPort("demo", "", portOf("api", 8080)); err != nil {
		t.Errorf("8080 was let go of: %v", err)
	}
	if _, err := w.planPort("demo", "", portOf("api", 8081)); err == nil {
		t.Error("8081 is held, and was given twice")
	}
	w.forget("demo", "demo/web/8080/tcp")
	if _, err := w.planPort("demo", "", portOf("api", 8081)); err != nil {
		t.Errorf("8081 was forgotten: %v", err)
	}
}

func TestPortOfTheProvidersSSH(t *testing.T) {
	w := newWalk()
	w.sshPort = 2222
	if _, err := w.planPort("demo", "", portOf("web", 2222)); err == nil || !strings.Contains(err.Error(), "ssh.port") {
		t.Errorf("got %v", err)
	}
}

func TestUnknownAddressesDoNotCollide(t *testing.T) {
	w := newWalk()
	for _, name := range []string{"n1", "n2", "n3"} {
		if _, err := w.planNode("demo", "", node(name, "")); err != nil {
			t.Error(err)
		}
	}
}

func TestClusterTooSmallForItsNodes(t *testing.T) {
	w := newWalk()
	for i, name := range []string{"n1", "n2", "n3"} { // planned before their cluster, by its literal id
		if _, err := w.planNode("demo", "", node(name, "192.0.2."+string(rune('1'+i)))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.planCluster("", recorded(t).Cluster, true, true); err == nil || !strings.Contains(err.Error(), "room for 2 nodes") {
		t.Errorf("got %v", err)
	}
}

// inBackend is the service in the network backend, with aliases.
func inBackend(name string, aliases ...string) mesh.Service {
	return mesh.Service{Name: name, Networks: map[string]mesh.Membership{"backend": mesh.NewMembership(name, aliases)}}
}

// roomy is the cluster as a Read finds it, with four blocks: one of them is for VIPs.
func roomy(t *testing.T) *mesh.Record {
	t.Helper()
	r := recorded(t)
	r.Cluster.AddressPool = netip.MustParsePrefix("10.9.0.0/27")
	return r
}

// withNetwork is the cluster as a Read finds it, with the network backend and db in it.
func withNetwork(t *testing.T) *mesh.Record {
	t.Helper()
	r := roomy(t)
	db := inBackend("db", "database")
	for _, err := range []error{r.PutNetwork(&mesh.Network{Name: "backend"}), r.PutService(&db)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// TestUnknownNetworks: a network is unknown only where all are in sight, and one that leaves
// or was removed is.
func TestUnknownNetworks(t *testing.T) {
	settings := roomy(t).Cluster
	removed := withNetwork(t)
	if err := removed.RemoveNetwork("backend"); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		prepare func(*walk)
		unknown bool
	}{
		"nothing is known":             {func(*walk) {}, false},
		"the record lacks it":          {func(w *walk) { w.observe(roomy(t)) }, true},
		"the record has it":            {func(w *walk) { w.observe(withNetwork(t)) }, false},
		"it leaves":                    {func(w *walk) { w.observe(withNetwork(t)); w.leave("demo", mesh.NetworkRef("backend")) }, true},
		"it was removed":               {func(w *walk) { w.observe(removed) }, true},
		"the cluster is created":       {func(w *walk) { _, _ = w.planCluster("", settings, true, true) }, true},
		"the network is planned":       {func(w *walk) { w.observe(roomy(t)); _, _ = w.planNetwork("demo", "", mesh.Network{Name: "backend"}) }, false},
		"a network has no name yet":    {func(w *walk) { w.observe(roomy(t)); w.unknown("demo", mesh.KindNetwork) }, false},
		"a network of some cluster":    {func(w *walk) { w.observe(roomy(t)); w.unknown("", mesh.KindNetwork) }, false},
		"a node that is not a network": {func(w *walk) { w.observe(roomy(t)); w.unknown("demo", mesh.KindNode) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWalk()
			tc.prepare(w)
			_, err := w.planService("demo", "", inBackend("api"))
			var broken *mesh.Error
			if errors.As(err, &broken) != tc.unknown || tc.unknown && broken.Attribute != "networks" {
				t.Errorf("got %v, want an error: %v", err, tc.unknown)
			}
		})
	}
}

// TestNetworkConflictsAreWarnings: what the record has may be destroyed, or leave the name,
// further on in the same plan.
func TestNetworkConflictsAreWarnings(t *testing.T) {
	for name, tc := range map[string]struct {
		plan func(*walk) (string, error)
		want string // in the warning, "" for none
	}{
		"alias of another service": {func(w *walk) (string, error) { return warned(w.planService("demo", "", inBackend("api", "database"))) }, `networks: In network "backend" the name "database" is service "db"'s already`},
		"name of another's alias":  {func(w *walk) (string, error) { return warned(w.planService("demo", "", inBackend("database"))) }, `the name "database" is service "db"'s already`},
		"service that leaves": {func(w *walk) (string, error) {
			w.leave("demo", mesh.ServiceRef("db"))
			return warned(w.planService("demo", "", inBackend("api", "database")))
		}, ""},
		"service that leaves the name": {func(w *walk) (string, error) {
			if _, err := w.planService("demo", "demo/db", inBackend("db")); err != nil {
				return "", err
			}
			return warned(w.planService("demo", "", inBackend("api", "database")))
		}, ""},
		"its own alias": {func(w *walk) (string, error) {
			return warned(w.planService("demo", "demo/db", inBackend("db", "database")))
		}, ""},
		"network with another key": {func(w *walk) (string, error) { return w.planNetwork("demo", "", mesh.Network{Name: "backend"}) }, "from = routingmesh_network.NAME"},
		"its own network": {func(w *walk) (string, error) {
			return w.planNetwork("demo", "demo/backend", mesh.Network{Name: "backend", Hosts: []string{"n1"}})
		}, ""},
		"a node beside VIPs": {func(w *walk) (string, error) { return w.planNode("demo", "", node("n3", "192.0.2.13")) }, ""},
		"a node too many beside VIPs": {func(w *walk) (string, error) {
			if _, err := w.planNode("demo", "", node("n3", "192.0.2.13")); err != nil {
				return "", err
			}
			return w.planNode("demo", "", node("n4", "192.0.2.14"))
		}, "room for 3 nodes"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWalk()
			w.observe(withNetwork(t))
			warning, err := tc.plan(w)
			if err != nil || tc.want == "" && warning != "" || !strings.Contains(warning, tc.want) {
				t.Errorf("warning %q, error %v, want %q", warning, err, tc.want)
			}
		})
	}
}
