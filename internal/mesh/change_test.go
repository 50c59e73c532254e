package mesh

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// asChange is the change from base to next as it arrives at an agent.
func asChange(t testing.TB, base, next *Record) *Change {
	t.Helper()
	c := Diff(base, next)
	c.Base, c.Hash = base.Hash(), next.Hash()
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var received Change
	if err := json.Unmarshal(data, &received); err != nil {
		t.Fatal(err)
	}
	return &received
}

func TestChangeMakesTheNextRecord(t *testing.T) {
	seven := 7
	for name, edit := range map[string]func(*Record) error{
		"nothing but the generation": func(*Record) error { return nil },
		"a port": func(r *Record) error {
			return r.PutPort(&PublishedPort{Service: "web", Published: 9, Target: 9, Protocol: UDP, Mode: Host})
		},
		"another target": func(r *Record) error {
			return r.PutPort(&PublishedPort{Service: "web", Published: 8080, Target: 81, Protocol: TCP, Mode: Ingress})
		},
		"no port": func(r *Record) error { r.RemovePort(PortKey{Port: 8080, Protocol: TCP}); return nil },
		"a node": func(r *Record) error {
			return r.PutNode(&Node{Name: "n4", Address: r.Nodes["n3"].Address.Next(), UnderlayMTU: 9000})
		},
		"another node": func(r *Record) error {
			r.RemoveNode("n1")
			return r.PutNode(&Node{Name: "n0", Address: r.Nodes["n3"].Address.Next()})
		},
		"labels": func(r *Record) error {
			n := *r.Nodes["n2"]
			n.Labels = map[string]string{"rack": "b"}
			return r.PutNode(&n)
		},
		"a weight": func(r *Record) error {
			return r.PutService(&Service{Name: "web", Endpoints: map[string]Endpoint{"n2": {Node: "n2", Weight: &seven}, "n3": {Node: "n3"}}})
		},
		"no service":   func(r *Record) error { r.RemovePort(PortKey{Port: 8080, Protocol: TCP}); return r.RemoveService("web") },
		"the settings": func(r *Record) error { c := r.Cluster; c.VNI = 99; return r.PutCluster(c) },
	} {
		t.Run(name, func(t *testing.T) {
			base := demoRecord(t).Next()
			before := base.Hash()
			next := base.Next()
			must(t, edit(next))
			c := asChange(t, base, next)
			if c.Unchanged(base) != (name == "nothing but the generation") {
				t.Errorf("the change is %+v", c)
			}
			got, err := base.Apply(c)
			must(t, err)
			if diff := cmp.Diff(next, got.Record, cmp.Comparer(func(a, b Record) bool { return a.Hash() == b.Hash() })); diff != "" {
				t.Error(diff)
			}
			if base.Hash() != before {
				t.Error("the record that was changed is another one now")
			}
		})
	}
}

// Putting the same object again, as an apply of a mere repair does, is no change.
func TestEqualObjectsAreNoChange(t *testing.T) {
	base := demoRecord(t).Next()
	next := base.Next()
	must(t, next.PutService(base.Services["web"].clone()))
	must(t, next.PutNode(base.Clone().Nodes["n1"]))
	must(t, next.PutPort(base.Clone().Ports[PortKey{Port: 8080, Protocol: TCP}]))
	if c := Diff(base, next); !c.Unchanged(base) {
		t.Errorf("the change is %+v", c)
	}
}

func TestChangeIsChecked(t *testing.T) {
	base := demoRecord(t).Next()
	next := base.Next()
	must(t, next.PutPort(&PublishedPort{Service: "web", Published: 81, Target: 80, Protocol: TCP, Mode: Ingress}))
	for want, spoil := range map[string]func(*Change){
		"makes another record": func(c *Change) { c.Hash = base.Hash() },
		"malformed":            func(c *Change) { c.Ports[PortKey{Port: 82, Protocol: TCP}] = c.Ports[PortKey{Port: 81, Protocol: TCP}] },
		`no service "web"`:     func(c *Change) { c.Services = map[string]*Service{"web": nil} },
	} {
		c := asChange(t, base, next)
		spoil(c)
		if _, err := base.Apply(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestProposed(t *testing.T) {
	base := demoRecord(t).Next()
	next := base.Next()
	whole := &PrepareRequest{Record: next}
	change := &PrepareRequest{Change: asChange(t, base, next)}
	for name, tt := range map[string]struct {
		req *PrepareRequest
		own *Record
		ok  bool
	}{
		"whole":                      {whole, nil, true},
		"a change":                   {change, base, true},
		"a change on another record": {change, next, false},
		"a change on no record":      {change, nil, false},
		"nothing":                    {&PrepareRequest{}, base, false},
	} {
		own := ""
		if tt.own != nil {
			own = tt.own.Hash()
		}
		got, ok, err := tt.req.Proposed(tt.own, own)
		if err != nil || ok != tt.ok || ok && (got.Hash != next.Hash() || got.Record.Hash() != got.Hash) {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
}

// What an agent makes of a change from outside is a record that keeps the rules, or an error.
func FuzzApply(f *testing.F) {
	r, err := NewRecord("uid", demoCluster())
	if err != nil {
		f.Fatal(err)
	}
	base := r.Next()
	next := base.Next()
	next.NextBlock = 3
	data, err := json.Marshal(asChange(f, base, next))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"nodes":{"n1":{"name":"n1"}},"services":{"":null},"ports":{"80/tcp":{}},"cluster":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Change
		if json.Unmarshal(data, &c) != nil {
			return
		}
		made, err := base.Apply(&c)
		if err == nil && (made.Record.Validate() != nil || made.Record.Hash() != c.Hash) {
			t.Errorf("%s makes %s", data, made.JSON)
		}
	})
}

// manyPorts has as many ports as asked for, ten to a service with an endpoint on each of three nodes.
func manyPorts(tb testing.TB, ports int) *Record {
	tb.Helper()
	r, err := NewRecord("uid", demoCluster())
	if err != nil {
		tb.Fatal(err)
	}
	address := netip.MustParseAddr("192.0.2.0")
	for i := range 3 {
		address = address.Next()
		r.Nodes[fmt.Sprintf("n%d", i)] = &Node{Name: fmt.Sprintf("n%d", i), Address: address, Block: r.Cluster.block(i)}
	}
	for i := range ports {
		service := fmt.Sprintf("s%d", i/10)
		if i%10 == 0 {
			r.Services[service] = &Service{Name: service, Endpoints: map[string]Endpoint{"a": {Node: "n0"}, "b": {Node: "n1"}, "c": {Node: "n2"}}, DrainSeconds: 30}
		}
		p := &PublishedPort{Service: service, Published: uint16(10000 + i), Target: 80, Protocol: TCP, Mode: Ingress}
		r.Ports[p.Key()] = p
	}
	return r.Next()
}
