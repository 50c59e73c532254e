package mesh

import (
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
)

var update = flag.Bool("update", false, "write the golden files anew")

// fate is what becomes of the overlay packets that one node sends another.
type fate struct {
	limit    int    // what is larger is lost; 0: no limit
	stopped  string // "host": all traffic; "way": UDP; "firewall": at the receiver's; "mesh": not sent
	outer    string // the outer source address, where it is not the sender's own
	letsSome bool   // with outer: the receiver's firewall takes it all the same
}

// network says what nodes see of each other's probes.
type network struct {
	rec   *Record
	fates func(from, to string) fate
}

func (n network) passes(from, to string) int {
	f := n.fates(from, to)
	switch {
	case f.stopped != "" || f.outer != "" && !f.letsSome:
		return 0
	case f.limit > 0:
		return min(f.limit, n.rec.MTU())
	default:
		return n.rec.MTU()
	}
}

func (n network) report(self string) *ProbeResponse {
	resp := &ProbeResponse{Peers: map[string]PeerProbe{}}
	for _, peer := range n.rec.NodeNames() {
		if peer == self {
			continue
		}
		out, in := n.fates(self, peer), n.fates(peer, self)
		p := PeerProbe{
			Answered: min(n.passes(self, peer), n.passes(peer, self)), Heard: n.passes(peer, self),
			Underlay: out.stopped != "host" && in.stopped != "host",
		}
		if in.stopped == "" || in.stopped == "firewall" {
			p.Wire = []netip.Addr{n.rec.Nodes[peer].Address}
			if in.outer != "" {
				p.Wire = []netip.Addr{netip.MustParseAddr(in.outer)}
			}
		}
		if out.stopped == "mesh" {
			p.Error = "there is no network namespace routingmesh"
		}
		resp.Peers[peer] = p
	}
	return resp
}

func reachRecord(t *testing.T, nodes int) *Record {
	t.Helper()
	r, err := NewRecord("u", demoCluster())
	must(t, err)
	for i := range nodes {
		must(t, r.PutNode(&Node{Name: fmt.Sprintf("n%d", i+1), Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), UnderlayMTU: 1500}))
	}
	return r
}

func from(node string, f fate) func(string, string) fate {
	return func(from, _ string) fate {
		if from == node {
			return f
		}
		return fate{}
	}
}

func to(node string, f fate) func(string, string) fate {
	return func(_, to string) fate {
		if to == node {
			return f
		}
		return fate{}
	}
}

func around(node string, f fate) func(string, string) fate {
	return func(from, to string) fate {
		if from == node || to == node {
			return f
		}
		return fate{}
	}
}

func pair(a, b string, f fate) func(string, string) fate {
	return func(from, to string) fate {
		if from == a && to == b || from == b && to == a {
			return f
		}
		return fate{}
	}
}

func one(a, b string, f fate) func(string, string) fate {
	return func(from, to string) fate {
		if from == a && to == b {
			return f
		}
		return fate{}
	}
}

func TestReach(t *testing.T) {
	tests := []struct {
		name  string
		nodes int
		fates func(from, to string) fate
		asked []string // all when empty
	}{
		{name: "all is well", nodes: 3, fates: from("", fate{})},
		{name: "a host is down", nodes: 20, fates: around("n3", fate{stopped: "host"})},
		{name: "a host is down and cannot be asked", nodes: 3, fates: around("n3", fate{stopped: "host"}), asked: []string{"n1", "n2"}},
		{name: "two hosts of three cannot reach each other", nodes: 3, fates: pair("n1", "n2", fate{stopped: "host"})},
		{name: "nothing comes in", nodes: 20, fates: to("n3", fate{stopped: "way"})},
		{name: "nothing goes out", nodes: 20, fates: from("n3", fate{stopped: "way"})},
		{name: "UDP filtered around a node", nodes: 20, fates: around("n3", fate{stopped: "way"})},
		{name: "UDP filtered from one node to another", nodes: 5, fates: one("n2", "n4", fate{stopped: "way"})},
		{name: "UDP filtered everywhere", nodes: 4, fates: func(string, string) fate { return fate{stopped: "way"} }},
		{name: "a node's own firewall", nodes: 20, fates: to("n3", fate{stopped: "firewall"})},
		{name: "NAT of a node", nodes: 6, fates: from("n3", fate{outer: "203.0.113.7"})},
		{name: "NAT that harms nothing", nodes: 6, fates: from("n3", fate{outer: "203.0.113.7", letsSome: true})},
		{name: "large packets lost around a node", nodes: 20, fates: around("n3", fate{limit: 1372})},
		{name: "large packets lost one way", nodes: 3, fates: one("n1", "n2", fate{limit: 1400})},
		{name: "large packets lost on two ways", nodes: 5, fates: func(a, b string) fate {
			if a == "n4" || b == "n4" {
				return fate{limit: 1300}
			}
			return one("n1", "n2", fate{limit: 1400})(a, b)
		}},
		{name: "large packets lost everywhere", nodes: 20, fates: func(string, string) fate { return fate{limit: 1400} }},
		{name: "hardly anything passes", nodes: 2, fates: pair("n1", "n2", fate{limit: 400})},
		{name: "a mesh that is not up", nodes: 20, fates: from("n3", fate{stopped: "mesh"})},
		{name: "two bad nodes for two causes", nodes: 20, fates: func(a, b string) fate {
			if b == "n7" && a != "n3" {
				return fate{stopped: "firewall"}
			}
			return around("n3", fate{stopped: "host"})(a, b)
		}},
		{name: "two halves", nodes: 6, fates: func(a, b string) fate {
			if (a <= "n3") != (b <= "n3") {
				return fate{stopped: "host"}
			}
			return fate{}
		}},
		{name: "one is asked, one is silent", nodes: 5, fates: to("n3", fate{stopped: "way"}), asked: []string{"n1"}},
		{name: "one is asked, all are silent", nodes: 5, fates: from("n1", fate{stopped: "way"}), asked: []string{"n1"}},
		{name: "one is asked and does not let in", nodes: 5, fates: to("n1", fate{stopped: "firewall"}), asked: []string{"n1"}},
		{name: "one is asked, NAT", nodes: 5, fates: from("n3", fate{outer: "203.0.113.7"}), asked: []string{"n1"}},
		{name: "one is asked, large packets lost", nodes: 5, fates: around("n3", fate{limit: 1372}), asked: []string{"n1"}},
		{name: "one is asked, a host is down", nodes: 5, fates: around("n3", fate{stopped: "host"}), asked: []string{"n1"}},
		{name: "one is asked, its mesh is not up", nodes: 5, fates: around("n1", fate{stopped: "mesh"}), asked: []string{"n1"}},
	}
	var got strings.Builder
	for _, tt := range tests {
		fmt.Fprintf(&got, "== %s\n", tt.name)
		n := network{rec: reachRecord(t, tt.nodes), fates: tt.fates}
		reports := map[string]*ProbeResponse{}
		for _, name := range n.rec.NodeNames() {
			if len(tt.asked) == 0 || slices.Contains(tt.asked, name) {
				reports[name] = n.report(name)
			}
		}
		for _, p := range Reach(n.rec, reports) {
			fmt.Fprintf(&got, "%s: %s\n", p.Object, p.Text)
		}
	}
	golden(t, "reach.golden", got.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		must(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

// Nodes that nobody was asked about, or that are no nodes (any more), and reports
// of nothing say nothing.
func TestReachOfReportsThatSayNothing(t *testing.T) {
	rec := reachRecord(t, 3)
	for name, reports := range map[string]map[string]*ProbeResponse{
		"none":      nil,
		"nil":       {"n1": nil},
		"no peers":  {"n1": {}, "gone": {Peers: map[string]PeerProbe{"n1": {}}}},
		"strangers": {"n1": {Peers: map[string]PeerProbe{"gone": {}}}},
	} {
		if problems := Reach(rec, reports); len(problems) != 0 {
			t.Errorf("%s: %+v", name, problems)
		}
	}
}

func TestReachIsTheSameEachTime(t *testing.T) {
	n := network{rec: reachRecord(t, 9), fates: func(a, b string) fate {
		return fate{stopped: []string{"", "way", "host", "firewall", ""}[(len(a+b)+int(a[1])*int(b[1]))%5], limit: 1000 + int(a[1])*int(b[1])%400}
	}}
	reports := map[string]*ProbeResponse{}
	for _, name := range n.rec.NodeNames() {
		reports[name] = n.report(name)
	}
	want := Reach(n.rec, reports)
	if len(want) == 0 {
		t.Fatal("nothing fails in this network")
	}
	for range 50 {
		if diff := cmp.Diff(want, Reach(n.rec, maps.Clone(reports))); diff != "" {
			t.Fatal(diff)
		}
	}
}
