package meshclient_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/agentapi"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

func TestJoinTriesTheOverlay(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three, "n1")
	n4 := f.Add("n4")
	deaf := func(_ *mesh.Record, peers []string) (*mesh.ProbeResponse, error) {
		report := &mesh.ProbeResponse{Peers: map[string]mesh.PeerProbe{}}
		for _, peer := range peers {
			report.Peers[peer] = mesh.PeerProbe{Underlay: true}
		}
		return report, nil
	}
	n4.SetProbe(deaf)
	for _, n := range f.All()[:3] {
		n.SetProbe(func(r *mesh.Record, peers []string) (*mesh.ProbeResponse, error) {
			report := &mesh.ProbeResponse{Peers: map[string]mesh.PeerProbe{}}
			for _, peer := range peers {
				if report.Peers[peer] = meshtest.WellProbe(r, r.Nodes[peer]); peer == "n4" {
					report.Peers[peer] = mesh.PeerProbe{Underlay: true}
				}
			}
			return report, nil
		})
	}
	res, err := c.PutNode(deadline(t), "demo", n4.MeshNode(), true)
	if err != nil || len(res.Warnings) != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	wantText(t, errors.New(res.Warnings[0].Text), "n4", fmt.Sprint(mesh.DefaultVXLANPort))
	// What is no join does not try, and a node that cannot is a warning.
	f.ResetRequests()
	if _, err := c.PutNode(deadline(t), "demo", n4.MeshNode(), false); err != nil || f.TotalRequests(mesh.PathProbe) != 0 {
		t.Errorf("%d probes, %v", f.TotalRequests(mesh.PathProbe), err)
	}
	n5 := f.Add("n5")
	for _, n := range f.All() {
		n.SetProbe(nil)
	}
	n5.SetProbe(func(*mesh.Record, []string) (*mesh.ProbeResponse, error) {
		return nil, errors.New("raw sockets are not allowed")
	})
	res, err = c.PutNode(deadline(t), "demo", n5.MeshNode(), true)
	if err != nil || len(res.Warnings) != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	wantText(t, errors.New(res.Warnings[0].Text), "node n5 could not try the overlay", "raw sockets are not allowed.", "routingmesh-agent check")
}

// Joins of one batch share one probe, and nodes that did not take the commit
// are not tried.
func TestJoinsShareOneProbe(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	f.Node("n3").SetDown(true)
	c := fresh(t, f)
	snapshotOf(t, c)
	arrived, release := f.Node("n2").Hold(mesh.PathPrepare)
	errs := make(chan error)
	go func() { errs <- outcome(c.PutPort(deadline(t), "demo", port(8000), true)) }()
	<-arrived
	for _, name := range []string{"n4", "n5"} {
		n := f.Add(name).MeshNode()
		go func() { errs <- outcome(c.PutNode(deadline(t), "demo", n, true)) }()
		eventually(t, name+" is installed", func() bool { return f.Node(name).Count(mesh.PathStatus) > 0 })
	}
	release()
	for range 3 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	n1 := f.Node("n1")
	if got := peersAsked(t, n1); len(got) == 0 || len(got) > n1.Count(mesh.PathCommit) || slices.Contains(got[len(got)-1], "n3") || len(got[len(got)-1]) != 3 {
		t.Errorf("n1 was asked to try %q", got)
	}
	if f.Node("n3").Count(mesh.PathProbe) != 0 {
		t.Error("a node that is down was asked")
	}
}

// In a large cluster the others try those that join only.
func TestJoinToLargeCluster(t *testing.T) {
	t.Parallel()
	names := []string{"n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8"}
	f, c := cluster(t, names, "n1")
	n9 := f.Add("n9")
	must(t)(c.PutNode(deadline(t), "demo", n9.MeshNode(), true))
	if got := peersAsked(t, n9); len(got) != 1 || !slices.Equal(got[0], names) {
		t.Errorf("n9 was asked to try %q", got)
	}
	for _, name := range names {
		if got := peersAsked(t, f.Node(name)); len(got) != 1 || !slices.Equal(got[0], []string{"n9"}) {
			t.Errorf("%s was asked to try %q", name, got)
		}
	}
}

func peersAsked(t testing.TB, n *meshtest.Node) [][]string {
	t.Helper()
	var all [][]string
	for _, r := range n.Requests() {
		var req mesh.ProbeRequest
		if r.Path != mesh.PathProbe {
			continue
		}
		if err := json.Unmarshal(r.Body, &req); err != nil {
			t.Fatal(err)
		}
		all = append(all, req.Peers)
	}
	return all
}

func TestCounters(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three, "n1")
	counted := mesh.Counters{Ports: []mesh.PortCounters{{Port: mesh.PortKey{Port: 8000, Protocol: mesh.TCP}, Traffic: mesh.Traffic{Connections: 5}}}}
	f.Node("n1").SetCounters(counted)
	f.Node("n2").SetDown(true)
	f.Node("n3").FaultAt(mesh.PathCounters, 1, meshtest.Stop)
	counters, errs := fresh(t, f, "n1").Counters(deadline(t))
	if len(counters) != 1 || counters["n1"].Ports[0].Connections != 5 {
		t.Errorf("%+v", counters)
	}
	_, unreachable := errors.AsType[*sshdial.UnreachableError](errs["n2"])
	_, down := errors.AsType[*agentapi.AgentDownError](errs["n3"])
	if len(errs) != 2 || !unreachable || !down {
		t.Errorf("%v", errs)
	}
}
