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
