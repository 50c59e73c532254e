//go:build kernel

package kernel_test

import (
	"context"
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// The administrator's chain is asked before anything is accepted, for published ports
// and nothing else; the mesh neither reads nor changes what is in it.
func TestUserChain(t *testing.T) {
	a, b, c := newMesh(t, true)
	const port, served = "192.168.77.1:8080", "b sees 10.255.1.1"
	greeted := func(when, fromC, fromB, itself string) {
		t.Helper()
		for _, from := range []struct {
			m    *machine
			want string
		}{{c, fromC}, {b, fromB}, {a, itself}} {
			if got := from.m.greeting("tcp", port); got != from.want {
				t.Errorf("%s, from %s: %q, want %q", when, from.m.name, got, from.want)
			}
		}
	}
	want := published(t, 1)
	a.reach(want, 2)
	greeted("empty", served, served, served)

	a.run("iptables -A ROUTINGMESH-USER -s 192.168.77.100/32 -p tcp --dport 8080 -j REJECT --reject-with tcp-reset")
	if plan := a.plan(want); len(plan) > 0 {
		t.Errorf("its content is drift: %v", names(plan))
	}
	greeted("c may not", "refused", served, served)
	a.run("iptables -R ROUTINGMESH-USER 1 -s 192.168.77.100/32 -j ACCEPT; iptables -A ROUTINGMESH-USER -p tcp -j REJECT --reject-with tcp-reset")
	greeted("only c may", served, "refused", served)

	// A repair of the chain that asks it leaves it alone.
	a.run("iptables -F ROUTINGMESH-FWD")
	a.reach(want, 2)
	greeted("after a repair", served, "refused", served)

	// Somebody deletes ours, and leaves it alone, empty.
	a.run("iptables -F ROUTINGMESH-USER; iptables -D FORWARD -j ROUTINGMESH-FWD; iptables -F ROUTINGMESH-FWD; iptables -X ROUTINGMESH-FWD")
	a.reach(want, 1)
	a.run("iptables -A ROUTINGMESH-USER -s 192.168.77.100/32 -j ACCEPT; iptables -A ROUTINGMESH-USER -p tcp -j REJECT --reject-with tcp-reset")
	greeted("after another repair", served, "refused", served)

	// With rules it stays, empty it goes, when the mesh does.
	const saved = "iptables-save -t filter | grep -- ROUTINGMESH || true"
	a.reach(state.State{}, 2)
	if left := strings.TrimSpace(a.run(saved)); !strings.Contains(left, "-A ROUTINGMESH-USER -s 192.168.77.100/32 -j ACCEPT") || strings.Contains(left, "FWD") {
		t.Errorf("left with rules: %s", left)
	}
	if plan := a.plan(state.State{}); len(plan) > 0 {
		t.Errorf("it is taken for ours: %v", names(plan))
	}
	a.reach(want, 2)
	greeted("after a new join", served, "refused", served)
	a.run("iptables -F ROUTINGMESH-USER")
	a.reach(state.State{}, 2)
	if left := strings.TrimSpace(a.run(saved)); left != "" {
		t.Errorf("left empty: %s", left)
	}
}

// An open connection ends with a rule that is put in later: the chain is asked for
// every packet.
func TestUserChain_OpenConnections(t *testing.T) {
	a, _, c := newMesh(t, true)
	a.reach(published(t, 1), 2)
	if got := c.ask("tcp", "192.168.77.1:8080"); got == "" {
		t.Fatal("no answer")
	}
	chains, err := a.Chains(context.Background(), state.Host)
	a.must(err)
	for _, chain := range chains {
		if chain.Name != state.ForwardChain {
			continue
		}
		for _, r := range chain.Rules {
			if strings.Contains(r.Text, "-j ACCEPT") {
				t.Fatal("an accept stands before the administrator's chain")
			}
			if strings.Contains(r.Text, state.UserChain) {
				if r.Packets < 3 { // SYN, ACK, request
					t.Errorf("it was asked for %d packets", r.Packets)
				}
				return
			}
		}
	}
	t.Error("nothing asks the administrator's chain")
}
