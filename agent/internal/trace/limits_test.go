package trace

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// limited is facts with a port that two networks may connect to.
func limited(t *testing.T) *Facts {
	t.Helper()
	f := facts(t)
	list, err := mesh.ParsePrefixList([]string{"10.0.0.0/8", "203.0.113.7/32"})
	must(t, err)
	f.Record.Ports[mesh.PortKey{Port: 8080, Protocol: mesh.TCP}].AllowedCIDRs = list
	f.State = compile.Compile(f.Record, "n1", state.KernelVersion{Major: 6, Minor: 1}, compile.Conditions{})
	return f
}

// A trace says who may connect, and whether the client that it is asked about may.
func TestLimits(t *testing.T) {
	const only = "allowed_cidrs: from 10.0.0.0/8, 203.0.113.7/32 only"
	for _, tt := range []struct {
		name, from   string
		spoil        func(*Facts)
		text, detail string
		broken       string
	}{
		{name: "nobody asked about", text: only, detail: "trace 8080/tcp --from ADDRESS"},
		{name: "in a network", from: "10.1.2.3", text: only, detail: "10.1.2.3 may connect"},
		{name: "elsewhere", from: "203.0.113.8", text: only, broken: "203.0.113.8 may not connect: it is in none of the port's allowed_cidrs"},
		{name: "this node", from: "192.0.2.1", text: only, detail: "192.0.2.1 is this node"},
		{name: "another node", from: "192.0.2.2", text: only, broken: "192.0.2.2 may not connect"},
		{name: "loopback", from: "127.0.0.1", text: only, detail: "this node"},
		{name: "the self-test's address", from: "10.255.0.4", text: only, detail: "10.255.0.4 may connect"},
		{name: "no member", spoil: func(f *Facts) { f.drop(state.SetMember{Set: "routingmesh-limit-tcp", Port: 8080}) },
			text: "allowed_cidrs", broken: "is not in routingmesh-limit-tcp: everybody may connect"},
		{name: "no rule", spoil: func(f *Facts) { without(f.HostChains, "ROUTINGMESH-FWD", "limit-tcp") },
			text: "allowed_cidrs", broken: "No rule refuses what is in routingmesh-limit-tcp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := limited(t)
			if tt.from != "" {
				f.From = netip.MustParseAddr(tt.from)
			}
			if tt.spoil != nil {
				tt.spoil(f)
			}
			trace := Of(f, mesh.PortKey{Port: 8080, Protocol: mesh.TCP})
			s := trace.Steps[4]
			if !strings.Contains(s.Text, tt.text) || !strings.Contains(strings.Join(s.Details, "\n"), tt.detail) {
				t.Errorf("%+v", s)
			}
			if tt.broken == "" && !trace.Through() || tt.broken != "" && (!strings.Contains(s.Broken, tt.broken) || trace.Through()) {
				t.Errorf("broken %q, through %v", s.Broken, trace.Through())
			}
		})
	}
	// A set with many neighbours of the port is read as a range.
	many := limited(t)
	many.drop(state.SetMember{Set: "routingmesh-limit-tcp", Port: 8080}, state.SetMember{Set: "routingmesh-tcp", Port: 8080})
	many.State.Put(state.SetMember{Set: "routingmesh-limit-tcp", Port: 8070, Last: 8090}, state.SetMember{Set: "routingmesh-tcp", Port: 8070, Last: 8090})
	if trace := Of(many, mesh.PortKey{Port: 8080, Protocol: mesh.TCP}); !trace.Through() || !strings.Contains(texts(trace), only) {
		t.Errorf("among neighbours:\n%s", texts(trace))
	}
	// A port that everybody may connect to says nothing of it.
	f := limited(t)
	f.From = netip.MustParseAddr("203.0.113.8")
	if trace := Of(f, mesh.PortKey{Port: 9090, Protocol: mesh.TCP}); !trace.Through() {
		t.Errorf("%+v", trace.Broken())
	}
}

// The administrator's rules are shown where they are asked.
func TestUserRules(t *testing.T) {
	f := facts(t)
	rules := make([]kernel.Rule, 7)
	for i := range rules {
		rules[i] = kernel.Rule{Text: "-s 203.0.113.0/24 -j DROP", Packets: 4}
	}
	f.HostChains = append(f.HostChains, kernel.Chain{Table: "filter", Name: state.UserChain, Rules: rules})
	details := strings.Join(Of(f, mesh.PortKey{Port: 8080, Protocol: mesh.TCP}).Steps[3].Details, "\n")
	if !strings.Contains(details, "ROUTINGMESH-USER rule 5: -s 203.0.113.0/24 -j DROP (4 packets)") || !strings.Contains(details, "and 2 more rules") {
		t.Error(details)
	}
}

// byAddress is facts with two ports of one number, the further one for one network.
func byAddress(t *testing.T) *Facts {
	t.Helper()
	f := facts(t)
	for _, p := range []mesh.PublishedPort{
		{Service: "web", Published: 443, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress, Listen: "127.0.0.0/8,203.0.113.0/24"},
		{Service: "later", Published: 443, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress, Listen: "10.0.0.0/8", AllowedCIDRs: "10.1.0.0/16"},
	} {
		must(t, f.Record.PutPort(&p))
	}
	must(t, f.Record.PutService(&mesh.Service{Name: "later", Endpoints: map[string]mesh.Endpoint{"z": {Node: "n1"}}}))
	f.State = compile.Compile(f.Record, "n1", state.KernelVersion{Major: 6, Minor: 1}, compile.Conditions{})
	f.HostChains, f.MeshChains, f.Servers = nil, nil, nil
	for _, o := range f.State {
		switch o := o.(type) {
		case state.Chain:
			f.addChain(o)
		case state.VirtualServer:
			f.addServer(o)
		}
	}
	f.Addresses = []netip.Addr{netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("192.0.2.1")}
	return f
}

// A trace of a port that is open at some addresses says which, and where it is not.
func TestListenAddresses(t *testing.T) {
	first := mesh.PortKey{Port: 443, Protocol: mesh.TCP}
	second := mesh.PortKey{Port: 443, Protocol: mesh.TCP, VIP: 1}
	for _, tt := range []struct {
		name, at, from string
		key            mesh.PortKey
		spoil          func(*Facts)
		step           int
		text, broken   string
	}{
		{name: "at one of its addresses", key: first, at: "203.0.113.9", step: 1, text: "routingmesh-listen-0 has port 443 at 127.0.0.0/8, 203.0.113.0/24\naddresses of this host among them: 203.0.113.9"},
		{name: "the further VIP", key: second, step: 3, text: "DNAT to 10.255.0.8"},
		{name: "an address that the host does not have", key: second, step: 1, text: "this host has no such address"},
		{name: "the source of the further VIP", key: second, step: 9, text: "SNAT to 10.255.0.1"},
		{name: "who may connect", key: second, step: 5, text: "from 10.1.0.0/16 only"},
		{name: "who may not", key: second, from: "10.2.0.1", step: 5, broken: "10.2.0.1 may not connect"},
		{name: "everybody may connect to the first", key: first, from: "10.2.0.1", step: 5, text: "rmesh0 is up"},
		{name: "no rule", key: second, spoil: func(f *Facts) { without(f.HostChains, "ROUTINGMESH", "listen-1") }, step: 3, broken: "No rule sends what is for the ports of routingmesh-listen-1"},
		{name: "no member", key: first, spoil: func(f *Facts) {
			f.drop(state.SetMember{Set: "routingmesh-listen-0", Port: 443, Proto: "tcp", Addr: netip.MustParseAddr("203.0.113.0"), Bits: 24})
		}, at: "203.0.113.9", step: 1, broken: "No member 443 in routingmesh-listen-0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := byAddress(t)
			if tt.at != "" {
				f.At = netip.MustParseAddr(tt.at)
			}
			if tt.from != "" {
				f.From = netip.MustParseAddr(tt.from)
			}
			if tt.spoil != nil {
				tt.spoil(f)
			}
			trace := Of(f, tt.key)
			if len(trace.Steps) < tt.step {
				t.Fatalf("%+v", trace)
			}
			s := trace.Steps[tt.step-1]
			if text := s.Text + "\n" + strings.Join(s.Details, "\n"); !strings.Contains(text, tt.text) || !strings.Contains(s.Broken, tt.broken) || (s.Broken != "") != (tt.broken != "") {
				t.Errorf("%+v", s)
			}
			if broken := trace.Broken(); tt.broken == "" && broken != nil && broken.Space != destination {
				t.Errorf("broken: %+v", broken)
			}
		})
	}
	f := byAddress(t)
	f.At = netip.MustParseAddr("192.0.2.1")
	if trace := Of(f, first); trace.Explained != "Port 443/tcp is not open at 192.0.2.1: the listen_addresses of the published port are 127.0.0.0/8, 203.0.113.0/24." {
		t.Errorf("%q", trace.Explained)
	}
}
