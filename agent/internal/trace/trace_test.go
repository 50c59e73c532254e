package trace

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/term"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

var update = flag.Bool("update", false, "write the golden files anew")

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func record(t *testing.T) *mesh.Record {
	t.Helper()
	rec, err := mesh.NewRecord("uid", mesh.Cluster{
		Name: "demo", AddressPool: mesh.DefaultAddressPool, NodePrefixLength: mesh.DefaultNodePrefixLength,
		VXLANPort: mesh.DefaultVXLANPort, VNI: 5_000_001, PublishedPortRange: mesh.DefaultPortRange,
	})
	must(t, err)
	for i, name := range []string{"n1", "n2", "n3"} {
		must(t, rec.PutNode(&mesh.Node{Name: name, Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), UnderlayMTU: 1500}))
	}
	must(t, rec.PutService(&mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1"}, "b": {Node: "n2", Port: 81}}}))
	must(t, rec.PutService(&mesh.Service{Name: "dns", Endpoints: map[string]mesh.Endpoint{"x": {Node: "n3"}}}))
	must(t, rec.PutService(&mesh.Service{Name: "later"}))
	for _, p := range []mesh.PublishedPort{
		{Service: "web", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress},
		{Service: "web", Published: 9090, Target: 90, Protocol: mesh.TCP, Mode: mesh.Host},
		{Service: "dns", Published: 53, Target: 53, Protocol: mesh.UDP, Mode: mesh.Ingress},
		{Service: "dns", Published: 54, Target: 54, Protocol: mesh.UDP, Mode: mesh.Host},
		{Service: "later", Published: 7070, Target: 70, Protocol: mesh.TCP, Mode: mesh.Ingress},
	} {
		must(t, rec.PutPort(&p))
	}
	return rec
}

// facts are of n1 with everything as the record asks, nginx on port 80 and 90,
// and some traffic.
func facts(t *testing.T) *Facts {
	t.Helper()
	return factsOf(record(t))
}

// preservedFacts are facts with a port of each protocol that preserves the client's address.
func preservedFacts(t *testing.T) *Facts {
	t.Helper()
	rec := record(t)
	must(t, rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 8081, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress, ClientAddress: mesh.Preserve}))
	must(t, rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 8081, Target: 80, Protocol: mesh.UDP, Mode: mesh.Ingress, ClientAddress: mesh.Preserve}))
	return factsOf(rec)
}

func factsOf(rec *mesh.Record) *Facts {
	f := &Facts{
		Record: rec, Node: "n1", State: compile.Compile(rec, "n1", state.KernelVersion{Major: 6, Minor: 1}, compile.Conditions{}),
		Links: map[string]kernel.LinkCounters{
			state.HostLink:    {RxPackets: 118, TxPackets: 120, RxBytes: 9000, TxBytes: 9100},
			state.OverlayLink: {RxPackets: 60, TxPackets: 61, Errors: 1},
		},
		Listening: func(key mesh.PortKey, at netip.Addr) ([]string, error) {
			if key.Port == 80 || key.Port == 90 {
				return []string{"nginx (pid 812, nginx: master process /usr/sbin/nginx) on 0.0.0.0:80"}, nil
			}
			return nil, nil
		},
	}
	for _, o := range f.State {
		switch o := o.(type) {
		case state.Chain:
			f.addChain(o)
		case state.VirtualServer:
			f.addServer(o)
		}
	}
	slices.SortFunc(f.Servers, func(a, b kernel.Server) int { return a.Addr.Compare(b.Addr) })
	return f
}

// addChain puts a chain, its jumps, and the built-in chains around it.
func (f *Facts) addChain(c state.Chain) {
	chains := &f.HostChains
	if c.NS == state.Mesh {
		chains = &f.MeshChains
	}
	chain := kernel.Chain{Table: c.Table, Name: c.Name}
	for i, rule := range strings.Split(c.Rules, "\n") {
		chain.Rules = append(chain.Rules, kernel.Rule{Text: rule, Packets: uint64(10 + i), Bytes: 600})
	}
	*chains = append(*chains, chain)
	for hook := range strings.SplitSeq(c.Hooks, ",") {
		if hook != "" {
			jump := kernel.Rule{Text: strings.TrimSpace(c.JumpMatch + " -j " + c.Name), Packets: 33, Bytes: 1980}
			*chains = append(*chains, kernel.Chain{Table: c.Table, Name: hook, Policy: "DROP", Rules: []kernel.Rule{jump}})
		}
	}
}

func (f *Facts) addServer(v state.VirtualServer) {
	s := kernel.Server{
		Proto: mesh.Protocol(v.Proto), Addr: v.Addr, Scheduler: v.Scheduler,
		Traffic: mesh.Traffic{Connections: 8, PacketsIn: 40, PacketsOut: 38, BytesIn: 2900, BytesOut: 5_000_000_000},
	}
	for _, o := range f.State {
		if r, ok := o.(state.RealServer); ok && r.Server == v.Addr && r.Proto == v.Proto {
			s.Destinations = append(s.Destinations, kernel.Destination{
				Addr: r.Addr, Weight: r.Weight, Active: 1, Inactive: 2, Traffic: mesh.Traffic{Connections: 4, PacketsIn: 20, PacketsOut: 19},
			})
		}
	}
	slices.SortFunc(s.Destinations, func(a, b kernel.Destination) int { return a.Addr.Compare(b.Addr) })
	f.Servers = append(f.Servers, s)
}

// without takes away the rules of the host's chains, or the mesh's, that have a text.
func without(chains []kernel.Chain, name, text string) {
	for i := range chains {
		if chains[i].Name == name {
			chains[i].Rules = slices.DeleteFunc(slices.Clone(chains[i].Rules), func(r kernel.Rule) bool { return strings.Contains(r.Text, text) })
		}
	}
}

func (f *Facts) drop(objects ...state.Object) {
	for _, o := range objects {
		delete(f.State, o.Key())
	}
}

func TestTraceText(t *testing.T) {
	tests := []struct {
		name  string
		port  string
		spoil func(f *Facts)
	}{
		{"all is well", "8080/tcp", nil},
		{"host mode", "9090/tcp", nil},
		{"udp", "53/udp", nil},
		{"no endpoint", "7070/tcp", nil},
		{"host mode without an endpoint here", "54/udp", nil},
		{"not published", "53/tcp", nil},
		{"not published, and somebody listens", "80/tcp", nil},
		{"no record", "8080/tcp", func(f *Facts) { *f = Facts{} }},
		{"no member", "8080/tcp", func(f *Facts) { f.drop(state.SetMember{Set: "routingmesh-tcp", Port: 8080}) }},
		{"a rule before ours", "8080/tcp", func(f *Facts) {
			for i := range f.HostChains {
				if f.HostChains[i].Name == "PREROUTING" {
					f.HostChains[i].Rules = slices.Insert(f.HostChains[i].Rules, 0, kernel.Rule{Text: "-p tcp -m tcp --dport 8080 -m comment --comment \"somebody else's, with a long comment that tells nothing\" -j REDIRECT --to-ports 80"})
				}
			}
		}},
		{"nobody listens, and a node is lost", "8080/tcp", func(f *Facts) {
			f.Listening = func(mesh.PortKey, netip.Addr) ([]string, error) { return nil, nil }
			f.drop(state.FDB{MAC: "02:52:0a:ff:01:01"})
		}},
		{"a host that lost its record", "8080/tcp", func(f *Facts) { f.Record, f.Node = nil, "" }},
		{"a preserved client address", "8081/tcp", func(f *Facts) { *f = *preservedFacts(t) }},
		{"a preserved client address, udp", "8081/udp", func(f *Facts) { *f = *preservedFacts(t) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := facts(t)
			if tt.spoil != nil {
				tt.spoil(f)
			}
			key, err := mesh.ParsePortKey(tt.port)
			must(t, err)
			var got strings.Builder
			must(t, Of(f, key).Write(&got))
			for line := range strings.Lines(got.String()) {
				if n := utf8.RuneCountInString(line); n > term.Columns+1 {
					t.Errorf("%d columns: %s", n, line)
				}
			}
			// A file each, because the guides show some of them.
			path := filepath.Join("testdata", strings.NewReplacer(" ", "-", ",", "").Replace(tt.name)+".golden")
			if *update {
				must(t, os.WriteFile(path, []byte(got.String()), 0o644))
			}
			want, err := os.ReadFile(path)
			must(t, err)
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Each thing that can be missing is named at its step.
func TestWhereTheWayIsBroken(t *testing.T) {
	S := netip.MustParseAddr("10.255.0.1")
	chain := func(name, text string) func(*Facts) {
		return func(f *Facts) { without(f.HostChains, name, text) }
	}
	drop := func(o state.Object) func(*Facts) { return func(f *Facts) { f.drop(o) } }
	put := func(o state.Object) func(*Facts) { return func(f *Facts) { f.State.Put(o) } }
	tests := []struct {
		name  string
		spoil func(*Facts)
		step  int
		want  string
	}{
		{"member", drop(state.SetMember{Set: "routingmesh-tcp", Port: 8080}), 1, "No member 8080 in routingmesh-tcp: nothing gets in."},
		{"jump of PREROUTING", chain("PREROUTING", "ROUTINGMESH"), 2, "what comes from other hosts does not get in"},
		{"jump of OUTPUT", chain("OUTPUT", "ROUTINGMESH"), 2, "what comes from this host does not get in"},
		{"DNAT", chain("ROUTINGMESH", "routingmesh-tcp"), 3, "No rule sends what is for the ports of routingmesh-tcp into the mesh."},
		{"forwarding", put(state.Sysctl{NS: state.Host, Name: "net.ipv4.ip_forward", Value: "0"}), 4, "net.ipv4.ip_forward is not 1"},
		{"accept", chain("ROUTINGMESH-FWD", "-o rmesh0"), 4, "ROUTINGMESH-FWD does not accept"},
		{"jump of FORWARD", chain("FORWARD", "ROUTINGMESH-FWD"), 4, "ROUTINGMESH-FWD does not accept"},
		{"rmesh0", drop(state.Veth{}), 5, "There is no link rmesh0"},
		{"rmesh0 down", put(state.Veth{MTU: 1450, Fault: "down"}), 5, "rmesh0 is not as it should be: down."},
		{"route to S", func(f *Facts) {
			f.drop(state.Route{NS: state.Host, Table: state.MainTable, Dst: netip.PrefixFrom(S, 32)},
				state.Route{NS: state.Host, Table: state.MainTable, Dst: mesh.DefaultAddressPool})
		}, 5, "There is no route to 10.255.0.1 over rmesh0"},
		{"namespace", drop(state.NetNS{}), 6, "There is no network namespace routingmesh."},
		{"S", drop(state.Addr{NS: state.Mesh, Link: "lo", Prefix: netip.PrefixFrom(S, 32)}), 6, "It does not have the address 10.255.0.1"},
		{"IPVS and conntrack", put(state.Sysctl{NS: state.Mesh, Name: "net.ipv4.vs.conntrack", Value: "0"}), 6, "net.ipv4.vs.conntrack is not 1"},
		{"IPVS service", func(f *Facts) { f.Servers = nil }, 7, "There is no IPVS service 10.255.0.1:8080/tcp: the client is refused."},
		{"SNAT", func(f *Facts) { without(f.MeshChains, "POSTROUTING", "10.255.0.1 ") }, 8, "No rule gives what was for 10.255.0.1 a source address"},
		{"process", func(f *Facts) { f.Listening = func(mesh.PortKey, netip.Addr) ([]string, error) { return nil, nil } }, 10, "No process of this host listens on port 80/tcp at 10.255.0.2 or 0.0.0.0"},
		{"accept of the endpoint", chain("ROUTINGMESH-IN", "ep-tcp"), 10, "ROUTINGMESH-IN does not accept port 80 of routingmesh-ep-tcp"},
		{"jump of INPUT", chain("INPUT", "ROUTINGMESH-IN"), 10, "No rule of filter INPUT jumps to ROUTINGMESH-IN"},
		{"route to the node", drop(state.Route{NS: state.Mesh, Table: state.MainTable, Dst: netip.MustParsePrefix("10.255.1.0/24")}), 11, "There is no route to 10.255.1.2 over vx0"},
		{"neighbour", drop(state.Neigh{Addr: netip.MustParseAddr("10.255.1.1")}), 11, "There is no neighbour 10.255.1.1 on vx0"},
		{"FDB entry", drop(state.FDB{MAC: "02:52:0a:ff:01:01"}), 11, "There is no FDB entry of 02:52:0a:ff:01:01"},
		{"FDB entry elsewhere", put(state.FDB{MAC: "02:52:0a:ff:01:01", Dst: netip.MustParseAddr("192.0.2.9")}), 11, "leads to 192.0.2.9, but node n2 has 192.0.2.2"},
		{"vx0", drop(state.VXLAN{}), 10, "There is no link vx0: no other node is reached."},
		{"weight", func(f *Facts) { f.server(8080).Destinations[1].Weight = 0 }, 11, "Its weight is 0"},
		{"a stranger", func(f *Facts) { f.server(8080).Destinations[1].Addr = netip.MustParseAddrPort("10.255.1.2:82") }, 11, "The record has no such endpoint"},
		{"a port that has gone", func(f *Facts) { delete(f.Record.Ports, mesh.PortKey{Port: 8080, Protocol: mesh.TCP}) }, 1, "The record has no port 8080/tcp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := facts(t)
			tt.spoil(f)
			trace := Of(f, mesh.PortKey{Port: 8080, Protocol: mesh.TCP})
			broken := trace.Broken()
			if broken == nil || broken.Number != tt.step || !strings.Contains(broken.Broken, tt.want) || trace.Through() {
				t.Errorf("broken: %+v; want step %d, %s", broken, tt.step, tt.want)
			}
		})
	}
}

func (f *Facts) server(port uint16) *kernel.Server {
	for i := range f.Servers {
		if f.Servers[i].Addr.Port() == port {
			return &f.Servers[i]
		}
	}
	return nil
}

// A destination of weight 0 is right where the record or the running agent says
// why.
func TestWhyADestinationIsQuiet(t *testing.T) {
	key := mesh.PortKey{Port: 8080, Protocol: mesh.TCP}
	elsewhere := netip.MustParseAddrPort("10.255.1.2:81")
	noted := func(e mesh.EndpointCounters) *mesh.Counters {
		e.Address = elsewhere
		return &mesh.Counters{Ports: []mesh.PortCounters{{Port: key, Endpoints: []mesh.EndpointCounters{e}}}}
	}
	zero := 0
	checked := func(f *Facts) { f.Record.Services["web"].HealthCheck = &mesh.HealthCheck{} }
	tests := []struct {
		spoil func(*Facts)
		want  string // at the end of its step, "" for broken
	}{
		{func(*Facts) {}, ""},
		{func(f *Facts) { f.Counters = noted(mesh.EndpointCounters{Draining: true}) }, ": drained"},
		{func(f *Facts) {
			f.Counters = noted(mesh.EndpointCounters{Draining: true})
			delete(f.Record.Services["web"].Endpoints, "b")
		}, "endpoint (unknown) on node n2: drained"},
		{func(f *Facts) {
			f.Counters = noted(mesh.EndpointCounters{Health: mesh.Unhealthy, Reason: "connection refused"})
		}, ": unhealthy (connection refused)"},
		{func(f *Facts) { f.Counters = noted(mesh.EndpointCounters{Health: mesh.Healthy}); checked(f) }, ""},
		{checked, ": perhaps unhealthy (without a running agent its checks are not known)"},
		{func(f *Facts) {
			f.Record.Services["web"].Endpoints["b"] = mesh.Endpoint{Node: "n2", Port: 81, Weight: &zero}
		}, ": weight 0 is asked for"},
		{func(f *Facts) { f.Record.Ports[key].Locality = mesh.PreferLocal }, ": one on this node is preferred"},
	}
	for _, tt := range tests {
		f := facts(t)
		f.server(8080).Destinations[1].Weight = 0
		tt.spoil(f)
		trace := Of(f, key)
		step := trace.Steps[10]
		if (tt.want == "") == trace.Through() || tt.want != "" && !strings.HasSuffix(step.Text, tt.want) {
			t.Errorf("want %q, step %+v, broken: %+v", tt.want, step, trace.Broken())
		}
	}
}

func TestHowAClientGetsItsDestination(t *testing.T) {
	f := facts(t)
	v := state.VirtualServer{Proto: "tcp", Addr: f.server(8080).Addr, Scheduler: "wlc", AffinitySeconds: 600, AffinityBits: 24}
	f.State.Put(v)
	f.server(8080).Scheduler = "wlc"
	for i := range f.server(8080).Destinations {
		f.server(8080).Destinations[i].Weight = 0
	}
	step := Of(f, mesh.PortKey{Port: 8080, Protocol: mesh.TCP}).Steps[6]
	if !strings.HasSuffix(step.Text, ", scheduler wlc, a client (/24) stays for 600 s") || !slices.Contains(step.Details, "no destination has a weight: new clients are refused") {
		t.Errorf("%+v", step)
	}
}

func TestWhatIsNotBroken(t *testing.T) {
	for name, spoil := range map[string]func(*Facts){
		"as the record asks": func(*Facts) {},
		"an open firewall": func(f *Facts) {
			for i, c := range f.HostChains {
				if c.Name == "FORWARD" || c.Name == "INPUT" {
					f.HostChains[i].Policy, f.HostChains[i].Rules = "ACCEPT", nil
				}
			}
		},
		"a container's port": func(f *Facts) {
			f.Listening = func(mesh.PortKey, netip.Addr) ([]string, error) { return nil, nil }
			f.HostChains = append(f.HostChains, kernel.Chain{Table: "nat", Name: "DOCKER", Rules: []kernel.Rule{{Text: "-p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.2:80"}}})
		},
		"processes that cannot be seen": func(f *Facts) {
			f.Listening = func(mesh.PortKey, netip.Addr) ([]string, error) { return nil, errors.New("no /proc") }
		},
	} {
		f := facts(t)
		spoil(f)
		if trace := Of(f, mesh.PortKey{Port: 8080, Protocol: mesh.TCP}); !trace.Through() {
			t.Errorf("%s: %+v", name, trace.Broken())
		}
	}
}

// TestTrace_PreservedBroken: what leads to the endpoint here, and what it answers back, is
// part of the way.
func TestTrace_PreservedBroken(t *testing.T) {
	self := record(t).Nodes["n1"]
	everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	nobody := func(mesh.PortKey, netip.Addr) ([]string, error) { return nil, nil }
	for want, spoil := range map[string]func(f *Facts){
		"No member 8081 in routingmesh-keep-tcp":                        func(f *Facts) { f.drop(state.SetMember{Set: "routingmesh-keep-tcp", Port: 8081}) },
		"there is no local route to " + self.EntryBlock().String():      func(f *Facts) { f.drop(state.Route{Table: state.LocalTable, Dst: self.EntryBlock()}) },
		"the policy rule from " + self.EntryBlock().String():            func(f *Facts) { f.drop(state.Rule{From: self.EntryBlock(), Priority: state.RulePriority}) },
		"or the table 10255 that it looks up":                           func(f *Facts) { f.drop(state.Route{Table: state.Table, Dst: everything}) },
		"at 0.0.0.0, which it must where the client's address":          func(f *Facts) { f.Listening = nobody },
		"No rule gives what was for " + self.PreserveAddress().String(): func(f *Facts) { without(f.MeshChains, "POSTROUTING", self.PreserveAddress().String()) },
	} {
		f := preservedFacts(t)
		spoil(f)
		if broken := Of(f, mesh.PortKey{Port: 8081, Protocol: mesh.TCP}).Broken(); broken == nil || !strings.Contains(broken.Broken, want) {
			t.Errorf("broken: %+v, want %s", broken, want)
		}
	}
}
