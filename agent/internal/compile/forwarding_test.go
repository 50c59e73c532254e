package compile

import (
	"strings"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// TestForwarding: the conditions differ in the end of one chain and in nothing else, and
// SameButForwarding sees that it is this end.
func TestForwarding(t *testing.T) {
	rec := newRecord(t, "n1", "n2")
	all := []state.Forwarding{{}, {OnlyMesh: true}, {OnlyMesh: true, Bridges: "br0 br1"}}
	ends := []string{"", "\n! -i rmesh0 ! -o rmesh0 -j DROP", "\n-i br0 -o br0 -j RETURN\n-i br1 -o br1 -j RETURN\n! -i rmesh0 ! -o rmesh0 -j DROP"}
	forward := state.Chain{Table: "filter", Name: state.ForwardChain}.Key()
	plain := Compile(rec, "n1", debian12, Conditions{})
	for i, f := range all {
		for key, o := range Compile(rec, "n1", debian12, Conditions{Forwarding: f}) {
			chain, ok := o.(state.Chain)
			if key != forward {
				if o != plain[key] {
					t.Errorf("%+v: %s is another", f, o)
				}
				continue
			}
			was := plain[key].(state.Chain)
			if !ok || chain.Rules != was.Rules+ends[i] {
				t.Errorf("%+v:\n%s", f, chain.Rules)
			}
			if !SameButForwarding(was, chain) || !SameButForwarding(chain, was) {
				t.Errorf("%+v: taken for a chain that somebody has changed", f)
			}
			for _, changed := range []string{"-j DROP\n" + chain.Rules, chain.Rules + "\n-j DROP", strings.Replace(chain.Rules, "rmesh0", "eth0", 1), ""} {
				other := chain
				if other.Rules = changed; SameButForwarding(was, other) {
					t.Errorf("taken for the same:\n%s", changed)
				}
			}
		}
	}
}
