package presence

import (
	"net/netip"
	"testing"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestOffset(t *testing.T) {
	tests := []struct {
		block, addr string
		want        uint16
		ok          bool
	}{
		{"10.0.3.0/24", "10.0.3.6", 6, true},
		{"10.0.3.9/24", "10.0.3.6", 6, true}, // host bits are no part of it
		{"10.0.0.0/16", "10.0.255.255", 65535, true},
		{"10.0.0.0/8", "10.1.0.0", 0, false}, // more than two bytes
		{"10.0.3.0/24", "10.0.4.6", 0, false},
		{"10.0.3.0/24", "fd00::1", 0, false},
		{"10.0.3.0/24", "::ffff:10.0.3.6", 0, false},
	}
	for _, tt := range tests {
		if got, ok := offset(prefix(tt.block), addr(tt.addr)); ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s in %s: %d, %t, want %d, %t", tt.addr, tt.block, got, ok, tt.want, tt.ok)
		}
	}
	if _, ok := offset(prefix("10.0.3.0/24"), netip.Addr{}); ok {
		t.Error("no address has an offset")
	}
}

func TestRoll_Active(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Roll)
		want   bool
	}{
		"as it is":         {func(*Roll) {}, true},
		"no self":          {func(r *Roll) { r.Self = "" }, false},
		"self has no node": {func(r *Roll) { r.Self = "n9" }, false},
		"self has no N":    {func(r *Roll) { r.Nodes["n1"] = Member{Block: prefix("10.0.1.0/24")} }, false},
		"slots of others":  {func(r *Roll) { r.Nodes["n1"] = without(r.Nodes["n1"]) }, true},
		"no slots": {func(r *Roll) {
			for name, m := range r.Nodes {
				r.Nodes[name] = without(m)
			}
		}, false},
	} {
		r := rollOf(3, "n1")
		tt.change(&r)
		if got := r.active(); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if (Roll{}).active() {
		t.Error("nothing is active")
	}
}

func without(m Member) Member {
	m.Slots = nil
	return m
}

func TestRoll_Equal(t *testing.T) {
	for name, change := range map[string]func(*Roll){
		"uid":     func(r *Roll) { r.UID = "other" },
		"self":    func(r *Roll) { r.Self = "n2" },
		"a node":  func(r *Roll) { delete(r.Nodes, "n2") },
		"N":       func(r *Roll) { m := r.Nodes["n2"]; m.Address = addr("10.0.2.9"); r.Nodes["n2"] = m },
		"block":   func(r *Roll) { m := r.Nodes["n2"]; m.Block = prefix("10.0.2.0/25"); r.Nodes["n2"] = m },
		"a slot":  func(r *Roll) { r.Nodes["n2"].Slots[0] = addr("10.0.2.99") },
		"no slot": func(r *Roll) { r.Nodes["n2"] = without(r.Nodes["n2"]) },
	} {
		r := rollOf(3, "n1")
		kept := r.clone()
		if !r.equal(kept) {
			t.Fatal("a clone differs")
		}
		if change(&r); r.equal(kept) {
			t.Errorf("%s: no difference", name)
		}
	}
}

func TestRoll_Equal_AllocatesNothing(t *testing.T) {
	a, b := rollOf(50, "n1"), rollOf(50, "n1")
	if n := testing.AllocsPerRun(10, func() { a.equal(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
