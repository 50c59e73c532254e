package server

import "testing"

// TestStatus_Instance: two answers of one start have the same instance, two
// agents never do, not even with the same files.
func TestStatus_Instance(t *testing.T) {
	a := newAgent(t, t.TempDir())
	first := a.statusOf(t, "").Instance
	if again := a.statusOf(t, "").Instance; first == "" || again != first {
		t.Errorf("one agent answers with the instances %q and %q", first, again)
	}
	if clone := newAgent(t, a.dir).statusOf(t, "").Instance; clone == first {
		t.Error("a clone has the instance of the original")
	}
}
