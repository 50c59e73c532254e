package mesh

import (
	"net/netip"
	"strings"
	"testing"
)

// Overlay packets that come in fragments pass, so every echo is answered; the cluster
// is told all the same, with the mtu that fits.
func TestReach_Pieces_AdvisesFittingMTU(t *testing.T) {
	rec := reachRecord(t, 2)
	for _, name := range []string{"n1", "n2"} {
		rec.Nodes[name] = &Node{Name: name, Address: netip.MustParseAddr("10.77.0." + name[1:]), UnderlayMTU: 65_536}
	}
	full := rec.MTU()
	report := func(peer string, whole int) *ProbeResponse {
		return &ProbeResponse{Peers: map[string]PeerProbe{peer: {Answered: full, Heard: full, Whole: whole, Underlay: true}}}
	}
	for name, tt := range map[string]struct {
		reports map[string]*ProbeResponse
		want    string
	}{
		"both say so":       {map[string]*ProbeResponse{"n1": report("n2", 1450), "n2": report("n1", 1447)}, "between node n1 and n2 arrive in pieces: the links between them carry overlay packets of 1447 bytes whole, the overlay's have up to 65485."},
		"one direction":     {map[string]*ProbeResponse{"n1": report("n2", 0), "n2": report("n1", 1450)}, "arrive in pieces"},
		"one asked":         {map[string]*ProbeResponse{"n1": report("n2", 1450)}, "Set mtu = 1450 on the cluster"},
		"all came whole":    {map[string]*ProbeResponse{"n1": report("n2", 0), "n2": report("n1", 0)}, ""},
		"smaller than ours": {map[string]*ProbeResponse{"n1": report("n2", full)}, ""},
	} {
		problems := Reach(rec, tt.reports)
		if tt.want == "" && len(problems) > 0 || tt.want != "" && (len(problems) != 1 || !strings.Contains(problems[0].Text, tt.want)) {
			t.Errorf("%s: %+v", name, problems)
		}
	}
}
