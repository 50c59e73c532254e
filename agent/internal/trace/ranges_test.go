package trace

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// ranged is facts with a range of ports to other targets, on which a process listens.
func ranged(t *testing.T, p mesh.PublishedPort) *Facts {
	t.Helper()
	rec := record(t)
	must(t, rec.PutService(&mesh.Service{Name: "media", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1"}, "b": {Node: "n2"}}}))
	p.Service, p.Published, p.Last, p.Target = "media", 10000, 10999, 20000
	if p.Protocol == "" {
		p.Protocol = mesh.TCP
	}
	if p.Mode == "" {
		p.Mode = mesh.Ingress
	}
	must(t, rec.PutPort(&p))
	f := factsOf(rec)
	f.Listening = func(key mesh.PortKey, _ netip.Addr) ([]string, error) {
		if key.Port == 20500 {
			return []string{"sfu (pid 7)"}, nil
		}
		return nil, nil
	}
	return f
}

func texts(t *Trace) string {
	var lines []string
	for _, s := range t.Steps {
		lines = append(lines, s.Text+" "+s.Broken+" "+strings.Join(s.Details, " "))
	}
	return strings.Join(lines, "\n")
}

// A trace of a port of a range shows the ways of that port.
func TestTrace_PortOfARange(t *testing.T) {
	t.Parallel()
	key := mesh.PortKey{Port: 10500, Protocol: mesh.TCP}
	got := Of(ranged(t, mesh.PublishedPort{}), key)
	for _, want := range []string{
		"ipset routingmesh-tcp has port 10500", "DNAT to 244.0.39.16, the port becomes 20500", "mangle INPUT: mark 0x52002710",
		"IPVS by mark 0x52002710, scheduler rr", "nat POSTROUTING: SNAT to 10.255.0.1",
		"10.255.0.2:20500, weight 1: endpoint a on node n1", "listening: sfu (pid 7)", "10.255.1.2:20500, weight 1: endpoint b on node n2",
	} {
		if !strings.Contains(texts(got), want) {
			t.Errorf("no %q in\n%s", want, texts(got))
		}
	}
	if !got.Through() || got.Service != "media" {
		t.Errorf("%s is not through: %+v", got.Service, got.Broken())
	}
	for name, p := range map[string]mesh.PublishedPort{"host mode": {Mode: mesh.Host}, "preserved": {ClientAddress: mesh.Preserve}, "udp": {Protocol: mesh.UDP}} {
		if got := Of(ranged(t, p), mesh.PortKey{Port: 10500, Protocol: max(p.Protocol, mesh.TCP)}); !got.Through() {
			t.Errorf("%s is not through:\n%s", name, texts(got))
		}
	}
	if got := Of(ranged(t, mesh.PublishedPort{}), mesh.PortKey{Port: 11000, Protocol: mesh.TCP}); !strings.Contains(got.Explained, "is not published") {
		t.Errorf("a port beside the range: %q", got.Explained)
	}
	if got := Of(ranged(t, mesh.PublishedPort{}), mesh.PortKey{Port: 10500, Protocol: mesh.UDP}); !strings.Contains(got.Explained, "10500/tcp is, by service media") {
		t.Errorf("the other protocol: %q", got.Explained)
	}
}

// What a range lacks is said at the step that lacks it.
func TestTrace_BrokenRange(t *testing.T) {
	t.Parallel()
	key := mesh.PortKey{Port: 10500, Protocol: mesh.TCP}
	for want, spoil := range map[string]func(f *Facts){
		"No member 10500 in routingmesh-tcp": func(f *Facts) {
			f.drop(state.SetMember{Set: "routingmesh-tcp", Port: 10000, Last: 10999})
		},
		"No rule sends what is for the ports 10000-10999 to their VIP": func(f *Facts) { without(f.HostChains, "ROUTINGMESH", "244.0.39.16") },
		"It does not have the address 244.0.39.16": func(f *Facts) {
			f.drop(state.Route{NS: state.Mesh, Table: state.LocalTable, Dst: mesh.RangeVIPs})
		},
		"No rule marks what is for 244.0.39.16": func(f *Facts) { without(f.MeshChains, "INPUT", "244.0.39.16") },
		"There is no IPVS service by mark 0x52002710": func(f *Facts) {
			f.Servers = slices.DeleteFunc(f.Servers, func(s kernel.Server) bool { return s.Addr.Port() == 10000 })
		},
		"No rule gives what was for 244.0.39.16": func(f *Facts) { without(f.MeshChains, "POSTROUTING", "244.0.0.0/15") },
	} {
		f := ranged(t, mesh.PublishedPort{})
		spoil(f)
		got := Of(f, key)
		if b := got.Broken(); b == nil || !strings.Contains(b.Broken, want) {
			t.Errorf("want %q:\n%s", want, texts(got))
		}
	}
}

// Who may connect to a range is read from its rules.
func TestTrace_LimitedRange(t *testing.T) {
	t.Parallel()
	key := mesh.PortKey{Port: 10500, Protocol: mesh.TCP}
	f := ranged(t, mesh.PublishedPort{AllowedCIDRs: "10.0.0.0/8,203.0.113.7/32"})
	f.From = netip.MustParseAddr("203.0.113.7")
	if got := Of(f, key); !got.Through() || !strings.Contains(texts(got), "allowed_cidrs: from 10.0.0.0/8, 203.0.113.7/32 only") {
		t.Errorf("a client that may:\n%s", texts(got))
	}
	f.From = netip.MustParseAddr("203.0.113.8")
	if got := Of(f, key); got.Through() || !strings.Contains(texts(got), "203.0.113.8 may not connect") {
		t.Errorf("a client that may not:\n%s", texts(got))
	}
	without(f.HostChains, state.ForwardChain, "-d 244.0.39.16/32 -o rmesh0 -p tcp -j REJECT")
	if got := Of(f, key); got.Through() || !strings.Contains(texts(got), "everybody may connect") {
		t.Errorf("without its rule:\n%s", texts(got))
	}
}
