package mesh

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// placeRecord has nodes n1 … of two zones, every third one with disk = ssd.
func placeRecord(t testing.TB, nodes int) *Record {
	t.Helper()
	r, err := NewRecord("uid", Cluster{
		Name: "demo", AddressPool: DefaultAddressPool, NodePrefixLength: DefaultNodePrefixLength, VXLANPort: DefaultVXLANPort, VNI: DefaultVNI("demo"), PublishedPortRange: DefaultPortRange,
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range nodes {
		addNode(t, r, i+1)
	}
	return r
}

func addNode(t testing.TB, r *Record, i int) {
	t.Helper()
	n := &Node{Name: fmt.Sprintf("n%d", i), Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Labels: map[string]string{"zone": string(rune('a' + i%2))}}
	if i%3 == 0 {
		n.Labels["disk"] = "ssd"
	}
	if err := r.PutNode(n); err != nil {
		t.Fatal(err)
	}
}

func taskService(replicas int) *Service {
	return &Service{Name: "web", Task: &Task{Image: "nginx:1.27"}, Replicas: replicas}
}

func putTask(t testing.TB, r *Record, s *Service) *Service {
	t.Helper()
	if err := r.PutService(s); err != nil {
		t.Fatal(err)
	}
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	return r.Services[s.Name]
}

// where is the node of each endpoint, by key.
func where(s *Service) map[string]string {
	nodes := map[string]string{}
	for key, e := range s.Endpoints {
		nodes[key] = e.Node
	}
	return nodes
}

func TestPlace_Spread(t *testing.T) {
	t.Parallel()
	r := placeRecord(t, 3)
	if got := where(putTask(t, r, taskService(3))); !maps.Equal(got, map[string]string{"1": "n1", "2": "n2", "3": "n3"}) {
		t.Errorf("%v", got)
	}
	other := taskService(2)
	other.Name = "api"
	putTask(t, r, other)
	third := taskService(1) // the node with the fewest tasks of all
	third.Name = "db"
	if got := where(putTask(t, r, third)); got["1"] != "n3" {
		t.Errorf("%v", got)
	}
	zones := taskService(2)
	zones.Name, zones.Placement = "zones", &Placement{Spread: []string{"node.labels.zone"}, Constraints: []string{"node.name != n2"}}
	if got := where(putTask(t, r, zones)); got["1"] == got["2"] || r.Nodes[got["1"]].Labels["zone"] != r.Nodes[got["2"]].Labels["zone"] {
		t.Errorf("n1 and n3 are of one zone: %v", got)
	}
}

// From one task to five and back to two nobody moves, and each keeps its address.
func TestPlace_ScaleMovesNobody(t *testing.T) {
	t.Parallel()
	r := placeRecord(t, 3)
	var before map[string]Endpoint
	for _, replicas := range []int{1, 5, 2, 0, 3} {
		now := putTask(t, r, taskService(replicas)).Endpoints
		if len(now) != replicas {
			t.Fatalf("%d tasks, want %d", len(now), replicas)
		}
		for key, e := range now {
			if old, ok := before[key]; ok && !reflect.DeepEqual(old, e) {
				t.Errorf("task %s was %+v and is %+v", key, old, e)
			}
		}
		before = maps.Clone(now)
	}
}

func TestPlace_NodesComeAndGo(t *testing.T) {
	t.Parallel()
	r := placeRecord(t, 3)
	putTask(t, r, taskService(3))
	global := &Service{Name: "log", Task: &Task{Image: "vector"}, Global: true}
	if got := where(putTask(t, r, global)); !maps.Equal(got, map[string]string{"n1": "n1", "n2": "n2", "n3": "n3"}) {
		t.Fatalf("%v", got)
	}
	drained := *r.Nodes["n2"]
	drained.Availability = AvailabilityDrain
	if err := r.PutNode(&drained); err != nil {
		t.Fatal(err)
	}
	if got := where(r.Services["web"]); got["1"] != "n1" || got["3"] != "n3" || got["2"] == "n2" {
		t.Errorf("n2 drains: %v", got)
	}
	if got := where(r.Services["log"]); len(got) != 2 || got["n2"] != "" {
		t.Errorf("n2 drains: %v", got)
	}
	r.RemoveNode("n3")
	addNode(t, r, 4)
	if got := where(r.Services["web"]); got["1"] != "n1" || len(got) != 3 || slices.Contains(slices.Collect(maps.Values(got)), "n3") {
		t.Errorf("n3 has left: %v", got)
	}
	if got := where(r.Services["log"]); !maps.Equal(got, map[string]string{"n1": "n1", "n4": "n4"}) {
		t.Errorf("n4 has joined: %v", got)
	}
	if err := r.Validate(); err != nil {
		t.Error(err)
	}
	r.RemoveNode("n1")
	r.RemoveNode("n4")
	if err := r.Validate(); err != nil || len(r.Services["web"].Endpoints) != 0 {
		t.Errorf("nowhere to run: %v, %v", r.Services["web"].Endpoints, err)
	}
	if err := r.Unplaced(r.Services["web"]); err == nil || !strings.Contains(err.Error(), `3 of the service's 3 tasks`) {
		t.Errorf("%v", err)
	}
}

// An error names each node, and what excludes it.
func TestPlace_NoNodeFits(t *testing.T) {
	t.Parallel()
	r := placeRecord(t, 3)
	drained := *r.Nodes["n1"]
	drained.Availability = AvailabilityDrain
	if err := r.PutNode(&drained); err != nil {
		t.Fatal(err)
	}
	s := taskService(2)
	s.Placement = &Placement{Constraints: []string{"node.labels.disk==ssd"}, MaxPerNode: 1}
	err := r.PutService(s)
	for _, part := range []string{"1 of the service's 2 tasks", `node n1: its availability is "drain"`, "node n2: a constraint is node.labels.disk==ssd (it has no label disk)", "node n3: it has as many", "depends_on"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error lacks %q: %v", part, err)
		}
	}
	if r.Services["web"] != nil {
		t.Error("it is in the record")
	}
	if err := placeRecord(t, 0).PutService(taskService(1)); err == nil || !strings.Contains(err.Error(), "depends_on = [routingmesh_node") {
		t.Errorf("%v", err)
	}
	if err := r.PlanService(s); err != nil || len(r.Services["web"].Endpoints) != 1 {
		t.Errorf("a plan: %v", err)
	}
}

// TestPlace_Properties tries placements at random: the same twice, what may stay stays, every
// constraint holds, and nodes that all fit differ by one task at most.
func TestPlace_Properties(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		nodes := 1 + random.IntN(7)
		r := placeRecord(t, nodes)
		s := taskService(random.IntN(9))
		constrained := random.IntN(2) == 0
		if constrained {
			s.Placement = &Placement{Constraints: []string{"node.labels.zone!=b"}, MaxPerNode: random.IntN(3)}
		}
		first, missing := r.Place(s, nil)
		again, _ := r.Place(s, nil)
		if !reflect.DeepEqual(first, again) || len(first)+len(missing) != s.Replicas {
			t.Fatalf("round %d: %v, then %v; %v are missing", round, first, again, missing)
		}
		count := map[string]int{}
		for _, e := range first {
			count[e.Node]++
			if constrained && (r.Nodes[e.Node].Labels["zone"] == "b" || s.Placement.MaxPerNode > 0 && count[e.Node] > s.Placement.MaxPerNode) {
				t.Fatalf("round %d: %s may not run it", round, e.Node)
			}
		}
		if least, most := extremes(r, count); !constrained && most-least > 1 {
			t.Fatalf("round %d: from %d to %d tasks on a node", round, least, most)
		}
		s.Endpoints = first
		gone := "n" + strconv.Itoa(1+random.IntN(nodes))
		delete(r.Nodes, gone)
		next, _ := r.Place(s, first)
		for key, e := range first {
			if e.Node != gone && !reflect.DeepEqual(next[key], e) {
				t.Fatalf("round %d: %s has moved from %s to %s, and only %s has left", round, key, e.Node, next[key].Node, gone)
			}
		}
	}
}

func extremes(r *Record, count map[string]int) (least, most int) {
	least = 1 << 20
	for name := range r.Nodes {
		least, most = min(least, count[name]), max(most, count[name])
	}
	return least, most
}

func TestConstraint(t *testing.T) {
	t.Parallel()
	n := &Node{Name: "n1", Address: netip.MustParseAddr("192.0.2.1"), Labels: map[string]string{"disk": "SSD"}}
	for text, want := range map[string]bool{
		"node.labels.disk==ssd": true, "node.labels.disk != ssd": false, "node.labels.zone!=a": true, "node.labels.zone == a": false,
		"node.name==n1": true, "node.hostname!=n1": false, "node.ip==192.0.2.0/24": true, "node.ip!=192.0.2.1": false,
	} {
		c, err := parseConstraint(text)
		if err != nil || c.fits(n) != want {
			t.Errorf("%s: %v, %v", text, c, err)
		}
	}
	for _, text := range []string{"", "node.labels.disk", "node.labels.disk=ssd", "node.labels.==ssd", "node.labels.disk==", "node.role==manager", "==x", "node.name===n1", "node.ip==n1", "node.name==a==b", "node.labels.a b==c"} {
		if c, err := parseConstraint(text); err == nil {
			t.Errorf("%q is %v", text, c)
		}
	}
}

// FuzzConstraint: what is parsed is parsed again to the same.
func FuzzConstraint(f *testing.F) {
	for _, seed := range []string{"node.labels.disk==ssd", "node.labels.zone != a", "node.name==n1", "node.ip!=192.0.2.0/24", "node.labels.a==b!=c", "=!==", "node.labels.x== y "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		normal, err := NormalConstraint(text)
		if err != nil {
			return
		}
		again, err := NormalConstraint(normal)
		if err != nil || again != normal {
			t.Errorf("%q is %q, and that is %q (%v)", text, normal, again, err)
		}
	})
}
