package meshclient_test

import (
	"errors"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/meshtest"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// A run that has no pins, as an apply has none, holds the hosts to the record,
// and remembers no other key of them. What is configured, and "insecure", count more.
func TestRecordHoldsTheHosts(t *testing.T) {
	t.Parallel()
	f, _ := cluster(t, three)
	n3 := f.Node("n3")
	old := n3.HostKey
	_, other := meshtest.NewKey(t)
	n3.SetHostKeys(other)
	n3.Cut()
	for name, tc := range map[string]struct {
		change  func(*sshdial.Config)
		refused bool
	}{
		"first sight": {func(*sshdial.Config) {}, true},
		"insecure":    {func(s *sshdial.Config) { s.HostKeyPolicy = sshdial.HostKeyInsecure }, false},
	} {
		cfg := f.ClientConfig()
		tc.change(&cfg.SSH)
		c := newClient(t, cfg)
		snap, err := c.Snapshot(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		_, refused := errors.AsType[*sshdial.HostKeyError](snap.Nodes["n3"].Err)
		if refused != tc.refused || snap.Nodes["n1"].Status == nil {
			t.Errorf("%s: n3: %v, n1: %v", name, snap.Nodes["n3"].Err, snap.Nodes["n1"].Err)
		}
		if key := c.HostKeys()[n3.Addr()]; tc.refused && (key != old || c.HostKey(n3.Addr()) != old) {
			t.Errorf("%s: the key %q was remembered", name, key)
		}
	}
}

// A host that joined again with a new key is let in, though the state still has
// the old one, and the new one is what the state gets.
func TestRecordOverrulesTheState(t *testing.T) {
	t.Parallel()
	f, c := cluster(t, three)
	n3 := f.Node("n3")
	old := n3.HostKey
	n3.Rebuild()
	ctx := deadline(t)
	if _, err := c.RemoveNode(ctx, "demo", "n3", true); err != nil {
		t.Fatal(err)
	}
	must(t)(c.PutNode(ctx, "demo", n3.MeshNode(), true))

	next := newClient(t, f.ClientConfig())
	next.PinHostKey(n3.Addr(), old)
	snap, err := next.Snapshot(ctx)
	if err != nil || snap.Nodes["n3"].Status == nil {
		t.Fatalf("n3 is refused: %v, %+v", err, snap)
	}
	if got := next.HostKeys()[n3.Addr()]; got != n3.HostKey {
		t.Errorf("the key %q is remembered, want %q", got, n3.HostKey)
	}

	// A key that neither has is refused, and so is one that the state has alone.
	_, third := meshtest.NewKey(t)
	n3.SetHostKeys(third)
	n3.Cut()
	for _, pin := range []string{old, n3.HostKey} {
		c := newClient(t, f.ClientConfig())
		c.PinHostKey(n3.Addr(), pin)
		snap, err := c.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, refused := errors.AsType[*sshdial.HostKeyError](snap.Nodes["n3"].Err); !refused {
			t.Errorf("pinned to %q: n3: %v", pin, snap.Nodes["n3"].Err)
		}
	}
}
