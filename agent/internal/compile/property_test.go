package compile

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// large has n ports of as many services, each with an endpoint on each of ten
// nodes.
func large(tb testing.TB, n int) *mesh.Record {
	tb.Helper()
	var nodes []string
	endpoints := map[string]mesh.Endpoint{}
	for i := range 10 {
		nodes = append(nodes, fmt.Sprintf("n%d", i))
		endpoints[nodes[i]] = mesh.Endpoint{Node: nodes[i]}
	}
	rec := newRecord(tb, nodes...)
	for i := range n { // each Put compares with all ports that are there: under the race detector that takes minutes
		p := &mesh.PublishedPort{Service: fmt.Sprintf("s%d", i), Published: uint16(10000 + i), Target: uint16(20000 + i), Protocol: mesh.TCP, Mode: mesh.Ingress}
		rec.Services[p.Service], rec.Ports[p.Key()] = &mesh.Service{Name: p.Service, Endpoints: endpoints}, p
	}
	must(tb, rec.Validate())
	return rec
}

func chainsOf(s state.State) []string {
	var lines []string
	for _, o := range s {
		if c, ok := o.(state.Chain); ok {
			for rule := range strings.SplitSeq(c.Rules, "\n") {
				lines = append(lines, c.String()+" "+c.Hooks+" "+rule)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func TestRulesDoNotGrowWithPorts(t *testing.T) {
	one, many := Compile(large(t, 1), "n3", debian12, Conditions{}), Compile(large(t, 5000), "n3", debian12, Conditions{})
	if !slices.Equal(chainsOf(one), chainsOf(many)) {
		t.Errorf("1 port has %d rules, 5,000 ports have %d", len(chainsOf(one)), len(chainsOf(many)))
	}
}

func TestOnePortMoreIsASmallChange(t *testing.T) {
	rec := large(t, 200)
	before := Compile(rec, "n3", debian12, Conditions{})
	putPort(t, rec, "s7", 9000, 19000, mesh.TCP, mesh.Ingress)
	var got []string
	for _, op := range state.Plan(Compile(rec, "n3", debian12, Conditions{}), before) {
		got = append(got, op.String())
	}
	want := []string{"add IPVS 10.255.3.1:9000/tcp rr"}
	for i := range 10 {
		want = append(want, fmt.Sprintf("add IPVS 10.255.3.1:9000/tcp destination 10.255.%d.2:19000 weight 1", i))
	}
	want = append(want, "add port 9000 in ipset routingmesh-ep-tcp", "add port 9000 in ipset routingmesh-tcp")
	want[len(want)-2] = "add port 19000 in ipset routingmesh-ep-tcp"
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("plan:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestANodeMoreIsANeighbourAnEntryARouteAndAPeer(t *testing.T) {
	rec := large(t, 50)
	before := Compile(rec, "n3", debian12, Conditions{})
	must(t, rec.PutNode(&mesh.Node{Name: "new", Address: rec.Nodes["n9"].Address.Next(), UnderlayMTU: 1500}))
	var kinds []state.Kind
	for _, op := range state.Plan(Compile(rec, "n3", debian12, Conditions{}), before) {
		if op.Action != state.Add {
			t.Errorf("unexpected %s", op)
		}
		kinds = append(kinds, op.New.Key().Kind)
	}
	if want := []state.Kind{state.KindNeigh, state.KindFDB, state.KindRoute, state.KindSetMember}; !slices.Equal(kinds, want) {
		t.Errorf("kinds %v, want %v", kinds, want)
	}
}

func TestEveryPortObjectIsOwnedByItsPort(t *testing.T) {
	rec := threeNodes(t)
	counts := map[mesh.Ref]int{}
	for _, o := range Compile(rec, "n2", debian12, Conditions{}) {
		counts[Owner(rec, "n2", o)]++
	}
	want := map[mesh.Ref]int{
		mesh.MustParseRef("port/8080/tcp"): 5, // service, 2 destinations, open, endpoint's port
		mesh.MustParseRef("port/9100/tcp"): 4,
		mesh.MustParseRef("port/53/udp"):   5,
		mesh.MustParseRef("port/8090/tcp"): 2,
		mesh.NodeRef("n1"):                 4, // neighbour, FDB entry, route, peer
		mesh.NodeRef("n3"):                 4,
	}
	for object, n := range want {
		if counts[object] != n {
			t.Errorf("%s owns %d objects, want %d", object, counts[object], n)
		}
	}
	if counts[mesh.NodeRef("n2")] == 0 || len(counts) != len(want)+1 {
		t.Errorf("owners: %v", counts)
	}
}

func TestOwnerOfWhatTheRecordDoesNotAskFor(t *testing.T) {
	rec := threeNodes(t)
	foreign := Compile(large(t, 1), "n5", debian12, Conditions{})
	for _, o := range foreign {
		if got := Owner(rec, "n2", o); got.IsZero() {
			t.Errorf("%s has no owner", o)
		}
	}
	if got := Owner(rec, "", state.NetNS{}); got != mesh.ClusterRef {
		t.Errorf("on a host that is no node: %s", got)
	}
}

func BenchmarkCompile5000Ports10Endpoints(b *testing.B) {
	rec := large(b, 5000)
	for b.Loop() {
		if len(Compile(rec, "n3", debian12, Conditions{})) < 60000 {
			b.Fatal("too few objects")
		}
	}
}

func BenchmarkPlanOnePortMore(b *testing.B) {
	rec := large(b, 5000)
	before := Compile(rec, "n3", debian12, Conditions{})
	putPort(b, rec, "s7", 9000, 19000, mesh.TCP, mesh.Ingress)
	after := Compile(rec, "n3", debian12, Conditions{})
	for b.Loop() {
		state.Plan(after, before)
	}
}
