package selftest

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// saying is a path whose tests have failed as told.
func saying(t *testing.T, clean bool, o outcome, ports ...int) *path {
	t.Helper()
	p := newPath(Options{Broken: func() bool { return false }}, func(string) bool { return clean })
	p.schedule.keep(record(t, 3, 20), "n0")
	p.schedule.lastPass = time.Now()
	for range failAfter {
		for _, n := range ports {
			p.schedule.note(port(n), o, time.Now())
		}
	}
	return p
}

func TestPath_Warnings(t *testing.T) {
	there, here := netip.MustParseAddrPort("10.0.1.2:80"), netip.MustParseAddrPort("10.0.0.2:80")
	tests := []struct {
		name   string
		o      outcome
		ports  []int
		object string
		says   []string
	}{
		{"forward", outcome{at: nowhere}, []int{3}, "port/10003/tcp", []string{
			"A test packet to published port 10003/tcp does not get from the host into the mesh on node n0", "link rmesht0 from 10.0.0.4", "trace 10003"}},
		{"rejected", outcome{at: nowhere, rejected: "icmp-admin-prohibited"}, []int{3}, "port/10003/tcp", []string{"It is rejected with icmp-admin-prohibited."}},
		{"another nat", outcome{at: untranslated}, []int{3, 4}, "node/n0", []string{
			"the published ports 10003/tcp and 10004/tcp is not led into the mesh on node n0"}},
		{"arp", outcome{at: hostLink}, []int{3}, "port/10003/tcp", []string{"leaves the host of node n0 on rmesh0, and does not arrive in the mesh", "arp_"}},
		{"the endpoint's firewall", outcome{at: sent, to: there}, []int{3}, "port/10003/tcp", []string{
			"goes from node n0 to endpoint n1 (10.0.1.2:80) on node n1, and no answer comes back, though the overlay between the two works", "on the host of node n1"}},
		{"the endpoint's firewall, many ports", outcome{at: sent, to: there}, []int{1, 2, 3, 4, 5}, "node/n1", []string{"port 10001/tcp, and to others, goes from node n0"}},
		{"this node's input", outcome{at: sent, to: here}, []int{3}, "port/10003/tcp", []string{"is sent to endpoint n0 (10.0.0.2:80) on this node"}},
		{"answer", outcome{at: back}, []int{3}, "port/10003/tcp", []string{"the answer gets lost between the mesh and the host of node n0"}},
		{"answer out", outcome{at: out}, []int{3}, "port/10003/tcp", []string{"the answer does not leave node n0 for the client"}},
		{"unknown", outcome{at: unknown}, []int{3}, "port/10003/tcp", []string{"is not answered on node n0", "modprobe nf_conntrack_netlink"}},
	}
	for _, tt := range tests {
		got := saying(t, true, tt.o, tt.ports...).warnings()
		if len(got) != 1 || got[0].Code != mesh.WarnPath || got[0].Object.String() != tt.object || got[0].AllTraffic {
			t.Errorf("%s: %+v", tt.name, got)
			continue
		}
		for _, words := range tt.says {
			if !strings.Contains(got[0].Text, words) {
				t.Errorf("%s: %q lacks %q", tt.name, got[0].Text, words)
			}
		}
	}
}

// One cause, one sentence: what the overlay or the kernel's state explains is not
// said again.
func TestPath_Warnings_OtherCauseKnown(t *testing.T) {
	o := outcome{at: sent, to: netip.MustParseAddrPort("10.0.1.2:80")}
	if got := saying(t, false, o, 3).warnings(); len(got) != 0 {
		t.Errorf("the overlay to n1 is lost: %+v", got)
	}
	p := saying(t, true, o, 3)
	p.Broken = func() bool { return true }
	if got := p.warnings(); len(got) != 0 {
		t.Errorf("the node is broken: %+v", got)
	}
}

// TestPath_Warnings_WholeService: all ports of one service are told of the service,
// for a load balancer asks for that.
func TestPath_Warnings_WholeService(t *testing.T) {
	p := saying(t, true, outcome{at: nowhere}, 3, 4)
	rec := p.schedule.rec
	rec.Services["other"] = rec.Services["web"]
	for _, port := range []uint16{10003, 10004} {
		key := mesh.PortKey{Port: port, Protocol: mesh.TCP}
		moved := *rec.Ports[key]
		moved.Service = "other"
		rec.Ports[key] = &moved
	}
	if got := p.warnings(); len(got) != 1 || got[0].Object != mesh.ServiceRef("other") {
		t.Errorf("%+v", got)
	}
}

func TestPath_Warnings_NothingPasses(t *testing.T) {
	p := saying(t, true, outcome{at: nowhere}, 3, 4)
	p.schedule.lastPass = time.Now().Add(-quietHere)
	got := p.warnings()
	if len(got) != 1 || !got[0].AllTraffic || got[0].Object != mesh.NodeRef("n0") || !strings.HasPrefix(got[0].Text, "A test packet to any published tcp port does not") {
		t.Errorf("%+v", got)
	}
	var s mesh.SelfTest
	p.summary(&s)
	if s.Path != mesh.PathFails || s.Ports != 20 {
		t.Errorf("%+v", s)
	}
}

// An endpoint on a peer that is not lost, or on this node, keeps traffic going.
func TestOverlay_CutOff(t *testing.T) {
	rec := record(t, 3, 1)
	service := *rec.Services["web"]
	service.Endpoints = map[string]mesh.Endpoint{"a": {Node: "n1"}}
	rec.Services["web"] = &service
	o := newOverlay(Options{})
	o.table.keep(rec, "n0")
	if o.cutOff(rec, "n0") {
		t.Error("cut off although nobody is lost")
	}
	o.table.byName["n1"].lost = true
	if !o.cutOff(rec, "n0") {
		t.Error("not cut off although the only endpoint's node is lost")
	}
	service.Endpoints["b"] = mesh.Endpoint{Node: "n0"}
	if o.cutOff(rec, "n0") {
		t.Error("cut off with an endpoint on this node")
	}
}
