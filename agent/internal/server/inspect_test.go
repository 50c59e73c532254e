package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

type fakeInspector struct {
	probed  string
	servers []kernel.Server
	err     error
}

func (f *fakeInspector) Probe(_ context.Context, rec *mesh.Record, node string, peers []string) (*mesh.ProbeResponse, error) {
	f.probed = fmt.Sprint(rec != nil, " ", node, " ", peers)
	return &mesh.ProbeResponse{Peers: map[string]mesh.PeerProbe{"n2": {Answered: 1450}}}, f.err
}

func (f *fakeInspector) Servers(context.Context) ([]kernel.Server, error) { return f.servers, f.err }

func inspected(t *testing.T) (*agent, *fakeInspector) {
	t.Helper()
	a, f := newAgent(t, t.TempDir()), &fakeInspector{}
	a.Inspector = f
	return a, f
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestProbeIsOfTheNodeThatTheHostIs(t *testing.T) {
	a, f := inspected(t)
	var resp mesh.ProbeResponse
	if code, _ := a.call(t, "POST", mesh.PathProbe, mesh.ProbeRequest{}, &resp); code != http.StatusOK || f.probed != "false  []" {
		t.Errorf("without a record: %d, %s", code, f.probed)
	}
	a.has(t, "n1", cluster(t, "u", "n1", "n2"))
	code, _ := a.call(t, "POST", mesh.PathProbe, mesh.ProbeRequest{Peers: []string{"n2"}}, &resp)
	if code != http.StatusOK || f.probed != "true n1 [n2]" || resp.Peers["n2"].Answered != 1450 {
		t.Errorf("%d, probed %s, %+v", code, f.probed, resp)
	}
	if code, _ := a.call(t, "POST", mesh.PathProbe, `{"peer":"n2"}`, nil); code != http.StatusBadRequest {
		t.Errorf("an unknown field: %d", code)
	}
	f.err = errors.New("the links are deaf")
	for path, want := range map[string]string{
		"POST " + mesh.PathProbe:   "The agent could not try the overlay: the links are deaf.",
		"GET " + mesh.PathCounters: "The agent could not read the mesh's counters: the links are deaf.",
	} {
		var method string
		_, _ = fmt.Sscan(path, &method, &path)
		if code, refusal := a.call(t, method, path, "{}", nil); code != 500 || refusal.Text != want {
			t.Errorf("%s: %d %q", path, code, refusal.Text)
		}
	}
}

func TestCountersHaveTheRecordsNames(t *testing.T) {
	a, f := inspected(t)
	rec := cluster(t, "u", "n1", "n2")
	check(t, rec.PutService(&mesh.Service{Name: "web", Endpoints: map[string]mesh.Endpoint{"a": {Node: "n1"}, "b": {Node: "n2", Port: 81}}}))
	check(t, rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}))
	check(t, rec.PutPort(&mesh.PublishedPort{Service: "web", Published: 9090, Target: 90, Protocol: mesh.TCP, Mode: mesh.Host}))
	a.has(t, "n1", rec)
	n1, n2 := rec.Nodes["n1"], rec.Nodes["n2"]
	at := netip.AddrPortFrom
	f.servers = []kernel.Server{
		{Proto: mesh.TCP, Addr: at(n1.MeshAddress(), 8080), Traffic: mesh.Traffic{Connections: 5_000_000_000}, Destinations: []kernel.Destination{
			{Addr: at(n1.HostAddress(), 80), Weight: 1, Active: 2, Traffic: mesh.Traffic{Connections: 3}},
			{Addr: at(n2.HostAddress(), 81), Weight: 1},
			{Addr: at(n2.HostAddress(), 82), Weight: 0},
		}},
		{Proto: mesh.TCP, Addr: at(n1.HostModeAddress(), 9090), Destinations: []kernel.Destination{{Addr: at(n1.HostAddress(), 90)}}},
		{Proto: mesh.UDP, Addr: at(n1.MeshAddress(), 53)},                     // no longer in the record
		{Proto: mesh.TCP, Addr: netip.MustParseAddrPort("198.51.100.1:8080")}, // somebody's own
	}
	var c mesh.Counters
	if code, refusal := a.call(t, "GET", mesh.PathCounters, "", &c); code != http.StatusOK {
		t.Fatalf("%d %s", code, refusal.Text)
	}
	var got []string
	for _, p := range c.Ports {
		text := fmt.Sprint(p.Port, " ", p.Connections)
		for _, e := range p.Endpoints {
			text += fmt.Sprintf(" [%s %s w%d a%d c%d]", e.Endpoint, e.Address, e.Weight, e.Active, e.Connections)
		}
		got = append(got, text)
	}
	want := "[8080/tcp 5000000000 [a 10.255.0.2:80 w1 a2 c3] [b 10.255.1.2:81 w1 a0 c0] [ 10.255.1.2:82 w0 a0 c0] " +
		"9090/tcp 0 [a 10.255.0.2:90 w0 a0 c0] 53/udp 0]"
	if fmt.Sprint(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	a.has(t, "", withoutN1(rec))
	if a.call(t, "GET", mesh.PathCounters, "", &c); len(c.Ports) != 0 {
		t.Errorf("a host that is no node counts %+v", c)
	}
}

// withoutN1 is the record after n1 has left.
func withoutN1(rec *mesh.Record) *mesh.Record {
	next := rec.Next()
	next.RemoveNode("n1")
	return next
}

func TestReadLeavesABrokenRecordAlone(t *testing.T) {
	dir := t.TempDir()
	s := NewStore(dir)
	if stored, err := s.Read(); err != nil || stored.Record != nil {
		t.Errorf("nothing stored: %+v, %v", stored, err)
	}
	check(t, s.Save(Stored{Node: "n1", Record: cluster(t, "u", "n1")}))
	if stored, err := s.Read(); err != nil || stored.Node != "n1" || stored.Record == nil {
		t.Errorf("%+v, %v", stored, err)
	}
	path := filepath.Join(dir, "record.json")
	check(t, os.WriteFile(path, []byte("{"), 0o600))
	if _, err := s.Read(); err == nil {
		t.Error("no error")
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "{" {
		t.Errorf("%q, %v", data, err)
	}
}
