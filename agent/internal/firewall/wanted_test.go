package firewall

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// memory is Originals without a file.
type memory map[string]string

func (m memory) Get(name string) (string, bool) { v, ok := m[name]; return v, ok }
func (m memory) Set(name, value string) error   { m[name] = value; return nil }
func (m memory) Delete(name string) error       { delete(m, name); return nil }

// record is a cluster of three nodes, 192.0.2.1–3.
func record() *mesh.Record {
	rec := &mesh.Record{Cluster: mesh.Cluster{Name: "demo", VXLANPort: 4789}, Nodes: map[string]*mesh.Node{}}
	for i, name := range []string{"n1", "n2", "n3"} {
		rec.Nodes[name] = &mesh.Node{
			Name: name, Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), Block: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 255, byte(i + 1), 0}), 24),
		}
	}
	return rec
}

func seen(links map[string]string, rules ...richRule) observed {
	o := observed{running: true, defaultZone: "public", links: links, sources: map[netip.Prefix]string{}, rules: map[richRule]bool{}}
	for _, r := range rules {
		o.rules[r] = true
	}
	return o
}

func ruleFor(zone string, last byte) richRule {
	return richRule{zone, acceptVXLAN(netip.AddrFrom4([4]byte{192, 0, 2, last}), 4789)}
}

// TestWant_Zones: a peer's packets are in the zone of their source, else of the
// link, else in the default zone.
func TestWant_Zones(t *testing.T) {
	o := seen(map[string]string{"eth1": "internal"})
	o.sources[netip.MustParsePrefix("192.0.2.2/32")], o.sources[netip.MustParsePrefix("192.0.2.0/24")] = "work", "home"
	for underlay, want := range map[string][]richRule{
		"eth0": {ruleFor("home", 3), ruleFor("work", 2)},
	} {
		if got := wantedRules(o, underlay); !reflect.DeepEqual(got, want) {
			t.Errorf("sources: %v, want %v", got, want)
		}
	}
	clear(o.sources)
	if got, want := wantedRules(o, "eth1"), []richRule{ruleFor("internal", 2), ruleFor("internal", 3)}; !reflect.DeepEqual(got, want) {
		t.Errorf("a link with a zone: %v, want %v", got, want)
	}
	if got, want := wantedRules(o, "eth0"), []richRule{ruleFor("public", 2), ruleFor("public", 3)}; !reflect.DeepEqual(got, want) {
		t.Errorf("a link without one: %v, want %v", got, want)
	}
	if w := want(record(), "", "eth0", o); w.link || len(w.rules) != 0 {
		t.Errorf("a host that is not a node: %v", w)
	}
}

func wantedRules(o observed, underlay string) []richRule {
	return want(record(), "n1", underlay, o).lacks(o)
}

// TestFault says what is missing, then what is left over, and nothing of a firewalld
// that does not run or drops everything anyway.
func TestFault(t *testing.T) {
	both := []richRule{ruleFor("public", 2), ruleFor("public", 3)}
	inTrusted := map[string]string{"rmesh0": "trusted"}
	panics := seen(nil)
	panics.panics = true
	for name, c := range map[string]struct {
		o    observed
		node string
		a    added
		want string
	}{
		"all is there":   {o: seen(inTrusted, both...), node: "n1"},
		"not running":    {node: "n1"},
		"panic":          {o: panics, node: "n1"},
		"nothing":        {o: seen(nil), node: "n1", want: "has no rules in its zone public that accept VXLAN from nodes n2, n3, so that the overlay does not get through"},
		"one rule":       {o: seen(inTrusted, both[0]), node: "n1", want: "has no rule in its zone public that accepts VXLAN from node n3, so that the overlay does not get through"},
		"the link":       {o: seen(nil, both...), node: "n1", want: "does not have rmesh0 in its zone trusted, so that it drops what comes out of the mesh"},
		"a rule is ours": {o: seen(nil, both...), a: added{Rules: both[:1]}, want: "still has a rule in its zone public that the mesh had added and does not need"},
		"not ours":       {o: seen(inTrusted, both...)},
		"the link's":     {o: seen(inTrusted), a: added{Link: true}, want: "still has rmesh0 in its zone trusted, where the mesh had put it"},
		"forgotten":      {o: seen(nil), a: added{Link: true, Rules: both}},
	} {
		if got := want(record(), c.node, "eth0", c.o).fault(c.o, c.a); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestWarnings_Report_Commands: what is missing is named with the commands, at run
// time and permanent; many peers are one opened port.
func TestWarnings_Report_Commands(t *testing.T) {
	o := seen(nil, ruleFor("public", 2))
	w := want(record(), "n1", "eth0", o)
	if got := w.warnings(o, "n1", false, 4789); got != nil {
		t.Errorf("what is repaired is not a warning: %v", got)
	}
	got := w.warnings(o, "n1", true, 4789)
	text := `firewalld has no rule for VXLAN from nodes n3 in its zone public, and for what comes out of the mesh on rmesh0, which is not in its zone trusted, and the cluster's firewall is "report", so the agent adds none. Run there: ` +
		"`firewall-cmd --zone=public --add-rich-rule='rule family=\"ipv4\" source address=\"192.0.2.3\" port port=\"4789\" protocol=\"udp\" accept'`, " +
		"`firewall-cmd --permanent --zone=public --add-rich-rule='rule family=\"ipv4\" source address=\"192.0.2.3\" port port=\"4789\" protocol=\"udp\" accept'`, " +
		"`firewall-cmd --zone=trusted --change-interface=rmesh0`, `firewall-cmd --permanent --zone=trusted --change-interface=rmesh0`."
	if len(got) != 1 || got[0].Text != text || got[0].Object != mesh.NodeRef("n1") || got[0].Code != mesh.WarnFirewall {
		t.Errorf("got %v\nwant %s", got, text)
	}
	rec := record()
	for i := range byte(5) {
		name := string('a' + rune(i))
		rec.Nodes[name] = &mesh.Node{Name: name, Address: netip.AddrFrom4([4]byte{192, 0, 2, 100 + i})}
	}
	many := strings.Join(want(rec, "n1", "eth0", o).commands(o, 4789), "\n")
	if !strings.Contains(many, "firewall-cmd --zone=public --add-port=4789/udp\n") || strings.Contains(many, "rich-rule") {
		t.Errorf("with many peers: %s", many)
	}
}

// TestPrune_Reload_Forgets: what firewalld has forgotten is not ours any more.
func TestPrune_Reload_Forgets(t *testing.T) {
	a := added{Rules: []richRule{ruleFor("public", 2), ruleFor("public", 3)}, Link: true, LinkWas: "work"}
	if got, want := a.prune(seen(nil, ruleFor("public", 3))), (added{Rules: []richRule{ruleFor("public", 3)}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
