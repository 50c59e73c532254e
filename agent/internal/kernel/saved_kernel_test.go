//go:build kernel

package kernel_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// A rule set that was saved while the mesh was up, with rules of the user's own, is
// loaded whole on a host that has nothing but the empty sets, as at boot
// (routingmesh-sets.service), and not without them. The agent then has nothing to
// do about its chains.
func TestSavedRules_AtBoot_AreLoadedWhole(t *testing.T) {
	m := newMachine(t, "a")
	newWire(t).plug(m, node(1).underlay())
	m.reach(full(t), 1)
	m.run("iptables -A INPUT -p tcp --dport 23 -j DROP")
	saved := m.run("iptables-save")

	boot := newMachine(t, "b")
	newWire(t).plug(boot, node(1).underlay())
	restore := fmt.Sprintf("iptables-restore <<'END' 2>&1 && echo loaded || true\n%sEND\n", saved)
	if out := boot.run(restore); strings.Contains(out, "loaded") {
		t.Errorf("without the sets: %s", out)
	}
	for range 2 { // once more: while the agent runs it changes nothing
		boot.must(boot.MakeSets(context.Background(), 0))
	}
	if out := boot.run(restore); !strings.Contains(out, "loaded") {
		t.Fatalf("with the sets: %s", out)
	}
	if ops := text(boot.plan(full(t))); strings.Contains(ops, "chain") && !strings.Contains(ops, "(mesh)") || strings.Contains(ops, "ipset (") {
		t.Errorf("the agent has to do:\n%s", ops)
	}
	if rules := boot.run("iptables -S INPUT"); !strings.Contains(rules, "--dport 23 -j DROP") {
		t.Errorf("the user's rule is missing:\n%s", rules)
	}
}
