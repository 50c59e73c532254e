package meshclient

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

func overlaySnapshot(t *testing.T, nodes int, sees func(node, peer string) *mesh.PeerProbe) *Snapshot {
	t.Helper()
	rec, err := mesh.NewRecord("uid", mesh.Cluster{
		Name: "demo", AddressPool: netip.MustParsePrefix("10.255.0.0/16"), NodePrefixLength: 24, VXLANPort: 4789, VNI: 7, PublishedPortRange: mesh.DefaultPortRange,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &Snapshot{Record: rec, Nodes: map[string]NodeView{}}
	for i := range nodes {
		n := &mesh.Node{Name: fmt.Sprintf("n%d", i+1), Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), UnderlayMTU: 1500}
		if err := rec.PutNode(n); err != nil {
			t.Fatal(err)
		}
	}
	for node := range rec.Nodes {
		st := &mesh.Status{Node: node, SelfTest: &mesh.SelfTest{Peers: nodes - 1}}
		for peer := range rec.Nodes {
			if p := sees(node, peer); p != nil && node != peer {
				if st.Overlay == nil {
					st.Overlay = map[string]mesh.PeerProbe{}
				}
				st.Overlay[peer] = *p
			}
		}
		s.Nodes[node] = NodeView{Status: st}
	}
	return s
}

func TestOverlayWarnings_AllWell_SaysNothing(t *testing.T) {
	s := overlaySnapshot(t, 5, func(string, string) *mesh.PeerProbe { return nil })
	if w := s.OverlayWarnings(); w != nil {
		t.Errorf("%+v", w)
	}
	if w := (&Snapshot{}).OverlayWarnings(); w != nil {
		t.Errorf("without a record: %+v", w)
	}
}

// What n3 sends is lost on the way: the direction comes of both ends' reports.
func TestOverlayWarnings_OneDirection_IsNamed(t *testing.T) {
	s := overlaySnapshot(t, 20, func(node, peer string) *mesh.PeerProbe {
		switch {
		case node == "n3":
			return &mesh.PeerProbe{Heard: 1450, Underlay: true, Wire: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
		case peer == "n3":
			return &mesh.PeerProbe{Underlay: true}
		}
		return nil
	})
	wantOverlay(t, s, "node/n3: Node n3 does not reach n1, n10 and 17 more over the overlay")
}

// A host that is off cannot be asked: all others agree, in one sentence.
func TestOverlayWarnings_HostOff_IsOneSentence(t *testing.T) {
	s := overlaySnapshot(t, 20, func(_, peer string) *mesh.PeerProbe {
		if peer == "n3" {
			return &mesh.PeerProbe{}
		}
		return nil
	})
	s.Nodes["n3"] = NodeView{Err: &sshdial.UnreachableError{}}
	wantOverlay(t, s, "node/n3: Node n3 is cut off from n1, n10 and 17 more")
}

// A node of an agent that tests nothing has no say.
func TestOverlayWarnings_OldAgent_IsLeftOut(t *testing.T) {
	s := overlaySnapshot(t, 3, func(string, string) *mesh.PeerProbe { return nil })
	s.Nodes["n1"].Status.SelfTest = nil
	s.Nodes["n2"].Status.Overlay = map[string]mesh.PeerProbe{"n1": {Underlay: true}}
	wantOverlay(t, s, "node/n1: Node n1 does not answer n2 over the overlay, though a ping to its own address is answered")
}

func wantOverlay(t *testing.T, s *Snapshot, want string) {
	t.Helper()
	got := s.OverlayWarnings()
	if len(got) != 1 || got[0].Code != mesh.WarnOverlay || !strings.HasPrefix(fmt.Sprintf("%s: %s", got[0].Object, got[0].Text), want) {
		t.Errorf("got %+v\nwant %s", got, want)
	}
}
