package iptables

import (
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// What the administrator has in the chain is never written, and never drift. The
// chain comes with ours, and goes with it unless it is in use.
func TestUserChain(t *testing.T) {
	fwd := state.Chain{Table: "filter", Name: state.ForwardChain, Hooks: "FORWARD", Rules: "-o rmesh0 -j ROUTINGMESH-USER"}
	const (
		mine    = "-A FORWARD -j ROUTINGMESH-FWD\n-A ROUTINGMESH-FWD -o rmesh0 -j ROUTINGMESH-USER\n"
		without = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n"
		empty   = without + ":ROUTINGMESH-FWD - [0:0]\n:ROUTINGMESH-USER - [0:0]\n" + mine
		filled  = empty + "-A ROUTINGMESH-USER -s 203.0.113.0/24 -j DROP\n"
		shared  = empty + "-A INPUT -j ROUTINGMESH-USER\n"
		orphan  = without + ":ROUTINGMESH-USER - [0:0]\n"
	)
	for _, tt := range []struct {
		name, now     string
		made, removed bool // by putting and removing the chain of ours
		left          bool // the administrator's chain alone is seen as left from before
	}{
		{name: "none", now: without, made: true},
		{name: "empty", now: empty, removed: true},
		{name: "with rules", now: filled},
		{name: "asked by others", now: shared},
		{name: "alone", now: orphan, left: true},
		{name: "alone with rules", now: orphan + "-A ROUTINGMESH-USER -j DROP\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now, err := Parse(tt.now)
			if err != nil {
				t.Fatal(err)
			}
			put := render([]state.Op{{Action: state.Add, New: fwd}}, now)
			if got := strings.Contains(put, ":ROUTINGMESH-USER"); got != tt.made {
				t.Errorf("made %v by %q", got, put)
			}
			remove := render([]state.Op{{Action: state.Remove, Old: fwd}}, now)
			if got := strings.Contains(remove, "-X ROUTINGMESH-USER"); got != tt.removed {
				t.Errorf("removed %v by %q", got, remove)
			}
			for _, script := range []string{put, remove} {
				if strings.Contains(script, "-F ROUTINGMESH-USER") || strings.Contains(script, "-A ROUTINGMESH-USER") {
					t.Errorf("its content is written: %q", script)
				}
			}
			seen := state.State{}
			now.Observe(seen, state.Host)
			if _, got := seen[state.Chain{Table: "filter", Name: state.UserChain}.Key()]; got != tt.left {
				t.Errorf("seen as ours: %v", got)
			}
		})
	}
}

// A chain that was left alone is not removed in the run that asks it again, nor after it.
func TestUserChain_AskedAgain(t *testing.T) {
	fwd := state.Chain{Table: "filter", Name: state.ForwardChain, Hooks: "FORWARD", Rules: "-o rmesh0 -j ROUTINGMESH-USER"}
	gone := state.Op{Action: state.Remove, Old: state.Chain{Table: "filter", Name: state.UserChain}}
	const alone = "*filter\n:FORWARD ACCEPT [0:0]\n:ROUTINGMESH-USER - [0:0]\n"
	for name, tt := range map[string]struct {
		now     string
		ops     []state.Op
		removed bool
	}{
		"by itself":    {alone, []state.Op{gone}, true},
		"asked again":  {alone, []state.Op{{Action: state.Add, New: fwd}, gone}, false},
		"asked by now": {alone + ":ROUTINGMESH-FWD - [0:0]\n", []state.Op{gone}, false},
	} {
		now, err := Parse(tt.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(render(tt.ops, now), "-X ROUTINGMESH-USER"); got != tt.removed {
			t.Errorf("%s: removed %v", name, got)
		}
	}
}
