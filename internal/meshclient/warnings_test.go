package meshclient_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient"
)

func warns(code mesh.WarningCode, o mesh.Ref, text string) mesh.Warning {
	return mesh.Warning{Code: code, Object: o, Text: text}
}

// warned is a snapshot of nodes that answered and say this; nil is an unreachable node.
func warned(said map[string][]mesh.Warning) *meshclient.Snapshot {
	snap := &meshclient.Snapshot{Nodes: map[string]meshclient.NodeView{}}
	for name, warnings := range said {
		snap.Nodes[name] = meshclient.NodeView{}
		if warnings != nil {
			snap.Nodes[name] = meshclient.NodeView{Status: &mesh.Status{Warnings: warnings}}
		}
	}
	return snap
}

func texts(all []meshclient.Warning) []string {
	var got []string
	for _, w := range all {
		got = append(got, w.String())
	}
	return got
}

// TestTrafficWarnings_Grouped: nodes that say the same are one sentence, in an
// order that does not depend on who answered first.
func TestTrafficWarnings_Grouped(t *testing.T) {
	const drop = "The table inet filter drops what is forwarded. Run nft insert rule"
	everybody := map[string][]mesh.Warning{}
	for i := range 99 {
		name := fmt.Sprintf("n%02d", i+1)
		everybody[name] = []mesh.Warning{warns(mesh.WarnFirewall, mesh.NodeRef(name), drop)}
	}
	for name, tc := range map[string]struct {
		said map[string][]mesh.Warning
		want []string
	}{
		"nothing": {map[string][]mesh.Warning{"n1": {}, "n2": nil}, nil},
		"one":     {map[string][]mesh.Warning{"n2": {warns(mesh.WarnFirewall, mesh.NodeRef("n2"), drop)}}, []string{"node n2: " + drop + "."}},
		"two alike, one not, sorted by code": {
			map[string][]mesh.Warning{
				"n3": {warns(mesh.WarnFirewall, mesh.NodeRef("n3"), drop), warns(mesh.WarnPath, mesh.MustParseRef("port/8080/tcp"), "Port 8080/tcp does not answer.")},
				"n1": {warns(mesh.WarnFirewall, mesh.NodeRef("n1"), drop), warns(mesh.WarnFirewall, mesh.ClusterRef, drop)}, "n2": nil,
			},
			[]string{"nodes n1 and n3: " + drop + ".", "node n3: Port 8080/tcp does not answer."},
		},
		"the same words of another code": {
			map[string][]mesh.Warning{"n1": {warns(mesh.WarnPath, mesh.NodeRef("n1"), "Lost.")}, "n2": {warns(mesh.WarnHost, mesh.NodeRef("n2"), "Lost.")}},
			[]string{"node n2: Lost.", "node n1: Lost."},
		},
		"named by itself": {map[string][]mesh.Warning{"n1": {warns(mesh.WarnOverlay, mesh.NodeRef("n1"), "Node n1 does not reach n2.")}}, []string{"Node n1 does not reach n2."}},
		"the node at fault, whoever reports it": {
			map[string][]mesh.Warning{
				"n1": {warns(mesh.WarnOverlay, mesh.NodeRef("n3"), "Node n3 does not answer.")}, "n2": {warns(mesh.WarnOverlay, mesh.NodeRef("n3"), "Node n3 does not answer.")},
				"n3": {warns(mesh.WarnOverlay, mesh.ClusterRef, "Nothing passes.")},
			},
			[]string{"all nodes: Nothing passes.", "Node n3 does not answer."},
		},
		"everybody": {everybody, []string{"nodes n01, n02 and 97 others: " + drop + "."}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := texts(warned(tc.said).TrafficWarnings()); !slices.Equal(got, tc.want) {
				t.Errorf("got\n%q\nwant\n%q", got, tc.want)
			}
		})
	}
}

// TestCommit_TellsWhatIsNew: a commit tells what the nodes warn of since, the next
// one does not tell it again, and what a node told before is not new.
func TestCommit_TellsWhatIsNew(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	ctx := deadline(t)
	known, fresh := warns(mesh.WarnHost, mesh.NodeRef("n2"), "Known."), warns(mesh.WarnPath, mesh.NodeRef("n2"), "New.")
	f.Node("n2").SetWarnings(known)
	f.Node("n2").WarnAtCommit(known, fresh)
	c.DropSnapshot()
	if got := texts(must(t)(c.PutPort(ctx, "demo", port(8000), true)).Traffic); !slices.Equal(got, []string{"node n2: New."}) {
		t.Errorf("the first commit tells %q", got)
	}
	if got := texts(must(t)(c.PutPort(ctx, "demo", port(8001), true)).Traffic); len(got) > 0 {
		t.Errorf("the second commit tells again %q", got)
	}
	if got := texts(snapshotOf(t, c).TrafficWarnings()); !slices.Equal(got, []string{"node n2: Known.", "node n2: New."}) {
		t.Errorf("the next plan has %q", got)
	}
}

// TestWarnings_AreNoDrift: no resource has them in its drift.
func TestWarnings_AreNoDrift(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	f.Node("n1").SetWarnings(warns(mesh.WarnPath, mesh.NodeRef("n1"), "Lost."))
	c.DropSnapshot()
	snap := snapshotOf(t, c)
	for _, o := range []mesh.Ref{mesh.ClusterRef, mesh.NodeRef("n1"), mesh.ServiceRef("web")} {
		if got := snap.Drift(o); len(got) > 0 {
			t.Errorf("%s: %q", o, got)
		}
	}
}

// TestJoin_NamesItsOwnWarnings: what a node warns of when it joins is told to its
// join, not to what is committed with it.
func TestJoin_NamesItsOwnWarnings(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	ctx := deadline(t)
	extra := f.Add("n4")
	text := warns(mesh.WarnFirewall, mesh.NodeRef("n4"), "A rule drops it.")
	extra.SetWarnings(text) // what a host says before it is a node is new to the node
	if got := texts(must(t)(c.PutNode(ctx, "demo", extra.MeshNode(), true)).Traffic); !slices.Equal(got, []string{"node n4: A rule drops it."}) {
		t.Errorf("the join tells %q", got)
	}
}

// TestTrafficWarnings_Overlay: what all nodes' reports say together takes the place
// of what each says of the overlay, and a node that cannot be asked is not told of
// a second time.
func TestTrafficWarnings_Overlay(t *testing.T) {
	alone := warns(mesh.WarnOverlay, mesh.NodeRef("n3"), "Node n3 does not answer n1 over the overlay.")
	firewall := warns(mesh.WarnFirewall, mesh.NodeRef("n1"), "A chain drops.")
	for name, tc := range map[string]struct {
		n1   *mesh.Status
		n3   *mesh.Status
		want []string
	}{
		"an older agent":           {&mesh.Status{Warnings: []mesh.Warning{firewall, alone}}, &mesh.Status{}, []string{"node n1: A chain drops.", "Node n3 does not answer n1 over the overlay."}},
		"nothing fails by now":     {&mesh.Status{Warnings: []mesh.Warning{firewall, alone}, SelfTest: &mesh.SelfTest{}}, &mesh.Status{}, []string{"node n1: A chain drops."}},
		"a node that is not there": {&mesh.Status{Warnings: []mesh.Warning{firewall, alone}}, nil, []string{"node n1: A chain drops."}},
	} {
		t.Run(name, func(t *testing.T) {
			snap := &meshclient.Snapshot{Record: &mesh.Record{}, Nodes: map[string]meshclient.NodeView{"n1": {Status: tc.n1}, "n3": {Status: tc.n3}}}
			if got := texts(snap.TrafficWarnings()); !slices.Equal(got, tc.want) {
				t.Errorf("got\n%q\nwant\n%q", got, tc.want)
			}
		})
	}
}
