package compile

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// TestListen_RulesDoNotGrowWithPorts: rules are by pairs of VIPs, whatever the number of
// ports, and a port that is open everywhere is as it was beside them.
func TestListen_RulesDoNotGrowWithPorts(t *testing.T) {
	of := func(n int) state.State {
		rec := large(t, n)
		for i := range n {
			for pair, list := range []mesh.PrefixList{"10.0.0.0/8", "192.0.2.0/24", "203.0.113.7/32"} {
				name := fmt.Sprintf("l%d-%d", i, pair)
				putService(t, rec, name, map[string]mesh.Endpoint{"a": {Node: "n3"}})
				must(t, rec.PutPort(&mesh.PublishedPort{Service: name, Published: uint16(100 + i), Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress, Listen: list}))
			}
		}
		return Compile(rec, "n3", debian12, Conditions{})
	}
	one, many := of(1), of(200)
	if !slices.Equal(chainsOf(one), chainsOf(many)) {
		t.Errorf("3 ports have %d rules, 600 ports have %d", len(chainsOf(one)), len(chainsOf(many)))
	}
	plain := Compile(large(t, 200), "n3", debian12, Conditions{})
	for key, o := range plain {
		if chain, ok := o.(state.Chain); ok {
			for rule := range strings.SplitSeq(chain.Rules, "\n") {
				if !strings.Contains(many[key].(state.Chain).Rules, rule) {
					t.Errorf("%s lacks %s", chain, rule)
				}
			}
		} else if many[key] != o {
			t.Errorf("%s has become %v", o, many[key])
		}
	}
}

// TestListen_InPlace: where a port is open is members of a set; nothing else of it changes.
func TestListen_InPlace(t *testing.T) {
	rec := byAddress(t)
	before := Compile(rec, "n1", debian12, Conditions{})
	p := *rec.PortOf("web", mesh.PortKey{Port: 443, Protocol: mesh.TCP})
	p.Listen = "127.0.0.0/8,192.0.2.0/28"
	must(t, rec.PutPort(&p))
	var got []string
	for _, op := range state.Plan(Compile(rec, "n1", debian12, Conditions{}), before) {
		got = append(got, op.String())
	}
	want := []string{"add 192.0.2.0/28 to tcp port 443 in ipset routingmesh-listen-0", "remove 192.0.2.2/32 to tcp port 443 in ipset routingmesh-listen-0"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q: what is added first", got, want)
	}
}

// TestListen_ToAllAddresses: the way by address goes only after the port is open at all.
func TestListen_ToAllAddresses(t *testing.T) {
	rec := newRecord(t, "n1")
	putService(t, rec, "web", map[string]mesh.Endpoint{"a": {Node: "n1"}})
	put := func(list mesh.PrefixList) state.State {
		must(t, rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 443, Target: 443, Protocol: mesh.TCP, Mode: mesh.Ingress, Listen: list}))
		return Compile(rec, "n1", debian12, Conditions{})
	}
	some, all := put("10.0.0.0/8"), put("")
	for _, way := range []struct {
		from, to       state.State
		opens, removes string
	}{
		{some, all, "add port 443 in ipset routingmesh-tcp", "change chain nat ROUTINGMESH (host)"},
		{some, all, "add port 443 in ipset routingmesh-tcp", "remove 10.0.0.0/8 to tcp port 443 in ipset routingmesh-listen-0"},
		{all, some, "add 10.0.0.0/8 to tcp port 443 in ipset routingmesh-listen-0", "remove port 443 in ipset routingmesh-tcp"},
		{all, some, "change chain nat ROUTINGMESH (host)", "add 10.0.0.0/8 to tcp port 443 in ipset routingmesh-listen-0"},
	} {
		var ops []string
		for _, op := range state.Plan(way.to, way.from) {
			ops = append(ops, op.String())
		}
		first, then := slices.Index(ops, way.opens), slices.Index(ops, way.removes)
		if first < 0 || then < 0 || first > then {
			t.Errorf("%q comes at %d, %q at %d:\n%s", way.opens, first, way.removes, then, strings.Join(ops, "\n"))
		}
	}
}

// TestListen_Owners: what is of a further pair of VIPs is its port's.
func TestListen_Owners(t *testing.T) {
	rec := byAddress(t)
	counts := map[string]int{}
	for _, o := range Compile(rec, "n2", debian12, Conditions{}) {
		counts[Owner(rec, "n2", o).Name]++
	}
	for name, want := range map[string]int{
		"443/tcp": 6, // IPVS, 2 destinations, 2 addresses, the endpoint's port
		// IPVS, a destination, the address, both halves of everybody, the endpoint's port
		"443/tcp/1": 6,
		"53/udp/1":  4, // IPVS, the address, who may connect and the self-test
	} {
		if counts[name] != want {
			t.Errorf("%s owns %d objects, want %d", name, counts[name], want)
		}
	}
}
