//go:build kernel

package kernel_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/probe"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/selftest"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// testsItself starts the self-test of a node. The returned function ends it, and
// with it its link.
func (m *machine) testsItself(rec *mesh.Record) (*selftest.Tester, func()) {
	m.t.Helper()
	tester := selftest.New(selftest.Options{
		Kernel: m, Prober: probe.New(m), Log: slog.New(slog.DiscardHandler),
		Record:     func() (*mesh.Record, string) { return rec, m.name },
		Conditions: func() compile.Conditions { return compile.Conditions{} },
		Broken:     func() bool { return false },
	})
	ctx, stop := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { tester.Run(ctx) })
	end := sync.OnceFunc(func() { stop(); run.Wait() })
	m.t.Cleanup(end)
	return tester, end
}

// The mesh of newMesh as a record: node b has the endpoints.
func selfTestRecord() *mesh.Record {
	rec := probedRecord(2)
	rec.Services = map[string]*mesh.Service{"web": {Name: "web", Endpoints: map[string]mesh.Endpoint{"b": {Node: "b"}}}}
	rec.Ports = map[mesh.PortKey]*mesh.PublishedPort{}
	for _, p := range []mesh.PublishedPort{
		{Service: "web", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress},
		{Service: "web", Published: 9090, Target: 90, Protocol: mesh.TCP, Mode: mesh.Host},
	} {
		rec.Ports[p.Key()] = &p
	}
	return rec
}

// Two nodes on a wire whose firewalls drop what nothing accepts test themselves.
// What is broken is said by its place, and said no more when it is whole.
func TestSelfTest(t *testing.T) {
	a, b, _ := newMesh(t, true)
	rec := selfTestRecord()
	testA, endA := a.testsItself(rec)
	testB, _ := b.testsItself(rec)
	fine := func(tester *selftest.Tester) bool {
		s := tester.Summary()
		return s != nil && s.Answering == 1 && s.Path == mesh.PathPasses && len(tester.Warnings()) == 0
	}
	until(t, time.Minute, "all is well on a", func() bool { return fine(testA) })
	until(t, time.Minute, "all is well on b, with host mode", func() bool { return fine(testB) })
	// A socket that is bound to a link goes deaf with it, and one of its name takes its place.
	a.mesh("ip link del vx0")
	a.reach(published(t, 1), 3)
	// Two faults at a time that do not meet, for each takes as long as it takes to be sure.
	tests := []struct {
		name string
		on   *machine
		// broken is done on the machine, and the tester is to say this and no more.
		broken, repaired string
		tester           *selftest.Tester
		want             []string
	}{
		{"forward", b, "iptables -I FORWARD -o rmesh0 -j DROP", "iptables -D FORWARD 1", testB,
			[]string{"path: A test packet to any published tcp port does not get from the host into the mesh on node b"}},
		{"endpoint_input", b, "iptables -I INPUT -i rmesh0 -s 10.255.1.1 -p tcp --dport 80 -j DROP", "iptables -D INPUT 1", testA,
			[]string{"path: A test packet to published port 8080/tcp goes from node a to endpoint b (10.255.2.2:80) on node b, and no answer comes back"}},
		{"arp_and_overlay", a, "ip neigh replace 10.255.1.1 lladdr 02:00:00:00:00:77 dev rmesh0 nud permanent; iptables -t raw -I PREROUTING -p udp --dport 4789 -j DROP",
			"ip neigh del 10.255.1.1 dev rmesh0; iptables -t raw -D PREROUTING 1", testA,
			[]string{"overlay: Node a does not let in the overlay packets of b", "path: A test packet to any published tcp port leaves the host of node a on rmesh0, and does not arrive in the mesh"}},
	}
	says := func(tester *selftest.Tester) (texts []string) {
		for _, w := range tester.Warnings() {
			texts = append(texts, string(w.Code)+": "+w.Text)
		}
		return texts
	}
	for _, round := range [][]int{{0, 1}, {2}} {
		for _, i := range round {
			tests[i].on.run(tests[i].broken)
		}
		for _, i := range round {
			var got []string
			so := func() bool {
				got = says(tests[i].tester)
				return slices.EqualFunc(got, tests[i].want, strings.HasPrefix)
			}
			until(t, 2*time.Minute, tests[i].name+" is said", so)
			t.Logf("%s: %q", tests[i].name, got)
		}
		for _, i := range round {
			tests[i].on.run(tests[i].repaired)
		}
		for _, i := range round {
			until(t, 2*time.Minute, "all is well after "+tests[i].name, func() bool { return fine(tests[i].tester) })
		}
	}
	if state := a.mesh("ipvsadm -Lnc"); strings.Contains(strings.ReplaceAll(state, "SYN_RECV", ""), "ESTABLISHED") {
		t.Errorf("a test leaves a connection:\n%s", state)
	}
	endA()
	if links := a.run("ip -br link"); strings.Contains(links, "rmesht0") {
		t.Errorf("the link outlives the test:\n%s", links)
	}
}
