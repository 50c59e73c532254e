package firewall

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/nft"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

var update = flag.Bool("update", false, "write the golden files")

// serving is the record with a port and an endpoint on n1.
func serving() *mesh.Record {
	rec := record()
	rec.Services = map[string]*mesh.Service{"web": {Name: "web", Endpoints: map[string]mesh.Endpoint{"n1": {Node: "n1"}}}}
	rec.Ports = map[mesh.PortKey]*mesh.PublishedPort{}
	p := &mesh.PublishedPort{Service: "web", Published: 8080, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}
	rec.Ports[p.Key()] = p
	return rec
}

// TestJudge_RecordedRules: recordings of real rule sets (testdata/*.nft, *.sh, and
// firewalld 1.3 before and after it was told), and what is said of each.
func TestJudge_RecordedRules(t *testing.T) {
	recordings, err := filepath.Glob("testdata/*.json")
	if err != nil || len(recordings) < 6 {
		t.Fatalf("recordings: %v, %v", recordings, err)
	}
	for _, path := range recordings {
		t.Run(filepath.Base(path), func(t *testing.T) {
			rules := replay(t, path)
			q := questions(serving(), "n1", "eth0")
			byNumber(q, func(link string) uint32 { return map[string]uint32{"lo": 1, "eth0": 2, "rmesh0": 5}[link] })
			findings := judge(rules, q)
			var b strings.Builder
			for _, w := range warningsOf(findings, "n1") {
				fmt.Fprintf(&b, "warning (all traffic: %t): %s\n", w.AllTraffic, w.Text)
			}
			for _, n := range notesOf(findings) {
				fmt.Fprintf(&b, "note: %s\n", n)
			}
			if err := rules.Err(); err != nil {
				t.Error(err)
			}
			golden(t, strings.TrimSuffix(path, ".json")+".txt", b.String())
		})
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func replay(t *testing.T, path string) *nft.Ruleset {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var recording nft.Recording
	if err := json.Unmarshal(content, &recording); err != nil {
		t.Fatal(err)
	}
	rules, err := nft.Replay(recording)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// TestTranslated_ContainerPorts: a port that only a DNAT rule holds is found, with the
// place of the rule; the mesh's own rules, other ports, and one client's DNAT are not.
func TestTranslated_ContainerPorts(t *testing.T) {
	var ports []mesh.PortKey
	for _, n := range []uint16{80, 8088, 8090, 8091, 8099, 9000, 5353, 5355} {
		ports = append(ports, mesh.PortKey{Port: n, Protocol: mesh.TCP}, mesh.PortKey{Port: n, Protocol: mesh.UDP})
	}
	rules := replay(t, "testdata/docker.json")
	got := translated(rules, ports, nft.Packet{In: "eth0", Dst: netip.MustParseAddr("192.0.2.1"), ToLocal: true, State: nft.New})
	want := map[mesh.PortKey]string{
		{Port: 8088, Protocol: mesh.TCP}: "rule 2 of chain DOCKER in table ip nat",
		{Port: 8090, Protocol: mesh.TCP}: "rule 1 of chain CNI-DN-abc in table ip nat",
		{Port: 5353, Protocol: mesh.UDP}: "rule 1 of chain pre in table ip hand",
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b mesh.PortKey) bool { return a == b })); diff != "" || rules.Err() != nil {
		t.Errorf("%v (-want +got):\n%s", rules.Err(), diff)
	}
}
