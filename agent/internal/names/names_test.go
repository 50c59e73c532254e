package names

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/agenttest"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

var update = flag.Bool("update", false, "write the golden files")

// world is a cluster of the name with networks front and back. web is in both, with the alias
// "www" in front and "shared" in back; db is in back, with the alias "database"; api in front
// has the alias "shared" and a process on n2; cache in back has no VIP. The processes of n1
// are members of front, and alone and lonely are in other networks.
func world(t *testing.T, cluster string) *mesh.Record {
	t.Helper()
	rec, err := mesh.NewRecord("4f6e", mesh.Cluster{
		Name: cluster, AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: mesh.DefaultVNI("demo"), PublishedPortRange: mesh.DefaultPortRange,
	})
	agenttest.Must(t, err)
	rec.Generation = 7
	for i, name := range []string{"n1", "n2"} {
		agenttest.Must(t, rec.PutNode(&mesh.Node{Name: name, Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}))
	}
	for _, n := range []*mesh.Network{{Name: "front", Hosts: []string{"n1"}}, {Name: "back"}, {Name: "other"}} {
		agenttest.Must(t, rec.PutNetwork(n))
	}
	in := func(aliases ...string) mesh.Membership { return mesh.Membership{Aliases: aliases} }
	containers := func(node string, slots int) mesh.Endpoint {
		return mesh.Endpoint{Node: node, Container: &mesh.Container{Labels: map[string]string{"app": "x"}}, Slots: make([]uint16, slots)}
	}
	no := 0
	idle := containers("n2", 1)
	idle.Weight = &no
	for _, s := range []*mesh.Service{
		{Name: "web", Networks: map[string]mesh.Membership{"front": in("www"), "back": in("shared")}, Endpoints: map[string]mesh.Endpoint{"a": containers("n1", 2), "b": containers("n2", 1)}},
		{Name: "db", Networks: map[string]mesh.Membership{"back": in("database")}, Endpoints: map[string]mesh.Endpoint{"a": containers("n1", 1)}},
		{
			Name: "api", Networks: map[string]mesh.Membership{"front": in("shared", "db")}, Endpoints: map[string]mesh.Endpoint{"p": {Node: "n2"}},
			VIPPorts: map[mesh.PortKey]uint16{{Port: 80, Protocol: mesh.TCP}: 8080},
		},
		{
			Name: "cache", EndpointMode: mesh.EndpointDNSRR, Networks: map[string]mesh.Membership{"back": {}},
			Endpoints: map[string]mesh.Endpoint{"a": containers("n1", 2), "b": containers("n2", 2), "c": idle},
		},
		{Name: "alone", Networks: map[string]mesh.Membership{"other": in("secret")}, Endpoints: map[string]mesh.Endpoint{"a": containers("n1", 1)}},
		{Name: "plain", Endpoints: map[string]mesh.Endpoint{"a": containers("n1", 1)}},
	} {
		// Two endpoints on one node are told by their labels.
		for key, e := range s.Endpoints {
			if e.Container != nil {
				e.Container.Labels = map[string]string{"app": s.Name + key}
			}
		}
		agenttest.Must(t, rec.PutService(s))
	}
	agenttest.Must(t, rec.Validate())
	return rec
}

// slot is the address of a slot of the endpoint.
func slot(rec *mesh.Record, service, endpoint string, n int) netip.Addr {
	e := rec.Services[service].Endpoints[endpoint]
	return rec.Nodes[e.Node].SlotAddress(e.Slots[n])
}

func show(a Answer) string {
	text := []string{[...]string{"found", "no data", "NXDOMAIN", "not yet", "forward", "refused"}[a.Outcome]}
	if a.TTL != 0 {
		text = append(text, fmt.Sprintf("%ds", a.TTL))
	}
	for _, address := range a.Addresses {
		text = append(text, address.String())
	}
	if a.Target != "" {
		text = append(text, a.Target)
	}
	if a.Zone != "" {
		text = append(text, "zone", a.Zone)
	}
	return strings.Join(text, " ")
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		agenttest.Must(t, os.MkdirAll("testdata", 0o755))
		agenttest.Must(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	agenttest.Must(t, err)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; go test -update writes it):\n%s", path, diff)
	}
}

var questions = []string{
	"web", "WEB.", "www", "tasks.web", "tasks.www", "Tasks.Shared", "shared", "db", "database", "tasks.db", "api", "tasks.api", "cache", "tasks.cache", "alone", "secret", "tasks.secret", "plain",
	"unknown", "tasks", "internal", "tasks.unknown", "web.DEMO.internal", "tasks.web.demo.internal.", "www.demo.internal", "alone.demo.internal", "x.demo.internal", "x.web.demo.internal",
	"tasks.demo.internal", "demo.internal", "web.other.internal", "example.com", "web.example.com", "", "tasks.com",
	"AAAA web", "AAAA unknown", "AAAA tasks.web", "AAAA demo.internal", "MX web.demo.internal", "ANY web", "SOA demo.internal", "NS demo.internal", "SOA web",
	"PTR 1.255.255.10.in-addr.arpa", "PTR 2.255.255.10.in-addr.arpa", "PTR 128.0.255.10.in-addr.arpa", "A 2.255.255.10.in-addr.arpa", "PTR 4.3.2.1.in-addr.arpa", "PTR 255.10.in-addr.arpa", "PTR 02.255.255.10.in-addr.arpa",
}

// TestTable_Golden: what each member of n1 is told.
func TestTable_Golden(t *testing.T) {
	rec := world(t, "demo")
	table := New(rec, "n1").Under(compile.Conditions{})
	askers := map[string]netip.Addr{
		"a container of web": slot(rec, "web", "a", 0), "a container of db": slot(rec, "db", "a", 0), "a container of alone": slot(rec, "alone", "a", 0),
		"the host": rec.Nodes["n1"].HostAddress(),
	}
	types := map[string]dnsmessage.Type{"AAAA": dnsmessage.TypeAAAA, "MX": dnsmessage.TypeMX, "ANY": dnsmessage.TypeALL, "SOA": dnsmessage.TypeSOA, "NS": dnsmessage.TypeNS, "PTR": dnsmessage.TypePTR, "A": dnsmessage.TypeA}
	var b bytes.Buffer
	for _, who := range slices.Sorted(maps.Keys(askers)) {
		fmt.Fprintf(&b, "== %s\n", who)
		for _, q := range questions {
			kind, name, typed := strings.Cut(q, " ")
			if !typed {
				kind, name = "A", q
			}
			fmt.Fprintf(&b, "%-4s %-32q %s\n", kind, name, show(table.Ask(Question{name, types[kind], askers[who]})))
		}
	}
	golden(t, "answers.golden", b.Bytes())
}

func ask(t *Table, asker netip.Addr, name string) string {
	return show(t.Ask(Question{name, dnsmessage.TypeA, asker}))
}

// TestTable_Askers: an address that is no member's on this node is told nothing.
func TestTable_Askers(t *testing.T) {
	rec := world(t, "demo")
	d := New(rec, "n1")
	table := d.Under(compile.Conditions{})
	for _, who := range []netip.Addr{{}, netip.MustParseAddr("192.0.2.9"), slot(rec, "plain", "a", 0), slot(rec, "web", "b", 0), rec.Nodes["n2"].HostAddress()} {
		if got := ask(table, who, "example.com"); got != "refused" {
			t.Errorf("%s: %s", who, got)
		}
	}
	gone := netip.MustParseAddr("10.255.0.200")
	table = d.Under(compile.Conditions{Leaving: map[netip.Addr]mesh.NetworkSet{gone: "back"}})
	if got := ask(table, gone, "db"); !strings.HasPrefix(got, "found 30s") {
		t.Errorf("a container that is on its way out: %s", got)
	}
	if got := ask(table, gone, "www"); !strings.HasPrefix(got, "NXDOMAIN") {
		t.Errorf("a name of another network: %s", got)
	}
}

// TestTable_Nothing: without networks, and on a host that is no node, there is no table.
func TestTable_Nothing(t *testing.T) {
	rec := world(t, "demo")
	if New(rec, "n9") != nil || New(nil, "").Under(compile.Conditions{}) != nil {
		t.Error("a table for nobody")
	}
	rec.Networks = nil
	if New(rec, "n1") != nil {
		t.Error("a table without networks")
	}
}

// TestTable_Conditions: a name without a VIP leads to those that get connections, and that of
// the containers to all that run.
func TestTable_Conditions(t *testing.T) {
	rec := world(t, "demo")
	d, asker := New(rec, "n1"), slot(rec, "db", "a", 0)
	a0, a1, b0, b1, idle := slot(rec, "cache", "a", 0), slot(rec, "cache", "a", 1), slot(rec, "cache", "b", 0), slot(rec, "cache", "b", 1), slot(rec, "cache", "c", 0)
	fails := func(all ...netip.Addr) map[compile.Check]bool {
		checks := map[compile.Check]bool{{Service: "web", Addr: netip.AddrPortFrom(a0, 1)}: true, {Service: "cache", Addr: netip.AddrPortFrom(b1, 1)}: false}
		for _, a := range all {
			checks[compile.Check{Service: "cache", Addr: netip.AddrPortFrom(a, 80)}] = true
		}
		return checks
	}
	const empty, unheard = true, false
	for name, tt := range map[string]struct {
		now            compile.Conditions
		ready, running []netip.Addr
	}{
		"all well":    {compile.Conditions{}, []netip.Addr{a0, a1, b0, b1}, []netip.Addr{a0, a1, b0, b1, idle}},
		"two fail":    {compile.Conditions{Unhealthy: fails(a0, b0)}, []netip.Addr{a1, b1}, []netip.Addr{a0, a1, b0, b1, idle}},
		"all fail":    {compile.Conditions{Unhealthy: fails(a0, a1, b0, b1)}, []netip.Addr{a0, a1, b0, b1}, []netip.Addr{a0, a1, b0, b1, idle}},
		"one is away": {compile.Conditions{Absent: map[netip.Addr]bool{a0: empty}}, []netip.Addr{a1, b0, b1}, []netip.Addr{a1, b0, b1, idle}},
		"n2 is not heard": {
			compile.Conditions{Absent: map[netip.Addr]bool{b0: unheard, b1: unheard, idle: unheard}},
			[]netip.Addr{a0, a1},
			[]netip.Addr{a0, a1},
		},
		"nor does anything else run": {
			compile.Conditions{Absent: map[netip.Addr]bool{a0: empty, a1: empty, b0: unheard, b1: unheard, idle: unheard}},
			[]netip.Addr{b0, b1},
			[]netip.Addr{b0, b1, idle},
		},
		"none runs": {compile.Conditions{Absent: map[netip.Addr]bool{a0: empty, a1: empty, b0: empty, b1: empty, idle: empty}}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			table := d.Under(tt.now)
			for question, want := range map[string][]netip.Addr{"cache": tt.ready, "tasks.cache": tt.running} {
				got := table.Ask(Question{question, dnsmessage.TypeA, asker})
				outcome := Found
				if want == nil {
					outcome = NoData
				}
				if !slices.Equal(got.Addresses, want) || got.Outcome != outcome || got.TTL != otherTTL {
					t.Errorf("%s: %s, want %v", question, show(got), want)
				}
			}
		})
	}
	rec.Nodes["n2"].Availability = mesh.AvailabilityDrain
	if got := ask(New(rec, "n1").Under(compile.Conditions{}), asker, "cache"); strings.Contains(got, b0.String()) {
		t.Errorf("a node that drains gets new connections: %s", got)
	}
}

// TestTable_ClusterNames: a cluster may be called like a service, or as if it were a part of
// a name.
func TestTable_ClusterNames(t *testing.T) {
	for cluster, want := range map[string]map[string]string{
		"web":   {"web": "found 30s 10.255.255.2 zone .", "web.web.internal": "found 30s 10.255.255.2 zone web.internal.", "web.internal": "no data 1s zone web.internal."},
		"tasks": {"web.tasks.internal": "found 30s 10.255.255.2 zone tasks.internal.", "tasks.internal": "no data 1s zone tasks.internal.", "tasks.web": "found 1s 10.255.0.128 10.255.0.129 10.255.1.128 zone ."},
	} {
		rec := world(t, cluster)
		table := New(rec, "n1").Under(compile.Conditions{})
		for name, text := range want {
			if got := ask(table, slot(rec, "web", "a", 0), name); got != text {
				t.Errorf("in cluster %s, %s is %q, want %q", cluster, name, got, text)
			}
		}
	}
	rec := world(t, "tasks")
	agenttest.Must(t, rec.PutService(&mesh.Service{Name: "internal", Networks: map[string]mesh.Membership{"front": {}}, Endpoints: map[string]mesh.Endpoint{}}))
	if got := ask(New(rec, "n1").Under(compile.Conditions{}), slot(rec, "web", "a", 0), "tasks.internal"); got != "no data 1s zone ." {
		t.Errorf("the containers of the service internal: %q", got)
	}
}

func TestTable_Ask_AllocatesNothing(t *testing.T) {
	rec := world(t, "demo")
	table, asker := New(rec, "n1").Under(compile.Conditions{}), slot(rec, "web", "a", 0)
	for _, name := range []string{"web.", "tasks.web.", "example.com.", "unknown."} {
		if n := testing.AllocsPerRun(10, func() { table.Ask(Question{name, dnsmessage.TypeA, asker}) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func FuzzAsk(f *testing.F) {
	for _, q := range questions {
		f.Add(q, uint16(1))
	}
	rec := world(&testing.T{}, "demo")
	table := New(rec, "n1").Under(compile.Conditions{})
	askers := slices.Collect(maps.Keys(table.askers))
	f.Fuzz(func(t *testing.T, name string, kind uint16) {
		for _, asker := range askers {
			a := table.Ask(Question{name, dnsmessage.Type(kind), asker})
			if a.Outcome == Found && len(a.Addresses) == 0 && a.Target == "" && a.Zone != table.Zone() {
				t.Errorf("found nothing: %s", show(a))
			}
			if (a.Outcome == NoData || a.Outcome == NXDomain) && a.Zone == "" {
				t.Errorf("a negative answer without a zone: %s", show(a))
			}
			if single := strings.TrimSuffix(name, "."); a.Outcome == Forward && single != "" && !strings.Contains(single, ".") {
				t.Errorf("a single label goes to other resolvers: %q", name)
			}
		}
	})
}

func TestHosts(t *testing.T) {
	rec := world(t, "demo")
	address := netip.MustParseAddr
	for node, want := range map[string][]Host{
		// An alias that is the name of a service in a network of the host's is that service's.
		"n1": {{address("10.255.255.4"), "api.demo.internal", []string{"api", "db", "shared"}}, {address("10.255.255.2"), "web.demo.internal", []string{"web", "www"}}},
		"n2": {{address("10.255.255.4"), "api.demo.internal", []string{"api", "db", "shared"}}, {address("10.255.255.2"), "web.demo.internal", []string{"web", "www"}}},
		"n9": nil,
	} {
		if diff := cmp.Diff(want, Hosts(rec, node), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s: %s", node, diff)
		}
	}
	agenttest.Must(t, rec.PutNetwork(&mesh.Network{Name: "front"}))
	if got := Hosts(rec, "n1"); got != nil {
		t.Errorf("a host that is no member: %v", got)
	}
	agenttest.Must(t, rec.PutNetwork(&mesh.Network{Name: "back", Hosts: []string{mesh.EveryHost}}))
	for _, h := range Hosts(rec, "n1") {
		if h.Name == "cache.demo.internal" {
			t.Error("a service without a VIP is listed")
		}
	}
}
