package reconcile

import (
	"context"
	"errors"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// fakeFirewall is a fakeFile that is told things.
type fakeFirewall struct {
	fakeFile
	kept    string
	told    int
	stuck   error
	flushes uint64
}

func (f *fakeFirewall) Keep(rec *mesh.Record, node string) {
	f.kept = node
	if node != "" {
		f.fault = "is not told" // what it needs may have changed
	}
}

func (f *fakeFirewall) Repair(ctx context.Context) error {
	f.told++
	return f.fakeFile.Repair(ctx)
}

func (f *fakeFirewall) Leave(context.Context) (int, error) { return f.told, f.stuck }

func (f *fakeFirewall) Flushes() uint64 { return f.flushes }

// TestFirewall_ToldAndLeft: a firewall service follows the record, is looked after
// like a file, and takes back what it was told when the mesh leaves.
func TestFirewall_ToldAndLeft(t *testing.T) {
	f := &fakeFirewall{}
	r, _, _ := newWatched(newFakeKernel(), Options{Firewall: f})
	expect(t, "problems", texts(r.Commit(t.Context(), record(t, 0), "n1")), "")
	if f.kept != "n1" || f.fault != "" || f.told != 1 {
		t.Errorf("after a commit: %+v", f)
	}
	f.fault = "has forgotten it"
	_, problems := r.Status(t.Context())
	expect(t, "drift", texts(problems), "node/n1: The systemd unit /etc/unit has forgotten it.\n")
	r.Repair(t.Context())
	if f.fault != "" || r.Repairs() != 1 {
		t.Errorf("after a repair: %+v, %d repairs", f, r.Repairs())
	}
	f.stuck = errors.New("no answer")
	if _, err := r.Clear(t.Context()); err == nil || err.Error() != "no answer" {
		t.Errorf("a firewall that does not answer: %v", err)
	}
	f.stuck = nil
	if n, err := r.Clear(t.Context()); err != nil || n != 2 {
		t.Errorf("took back %d, %v; want what it was told twice", n, err)
	}
}

// TestFirewall_AReloadIsNoFight: a firewall that is reloaded again and again takes our
// rules each time, and each time they are put back at once.
func TestFirewall_AReloadIsNoFight(t *testing.T) {
	f, k := &fakeFirewall{}, newFakeKernel()
	r, _, _ := newWatched(k, Options{Firewall: f})
	r.Commit(t.Context(), record(t, 0), "n1")
	for reload := range 3 * quarantineAfter {
		f.flushes++
		delete(k.has, member)
		f.fault = "has forgotten it"
		r.Repair(t.Context())
		if _, problems := r.Status(t.Context()); len(problems) > 0 || f.fault != "" {
			t.Fatalf("after reload %d: %s, fault %q", reload+1, texts(problems), f.fault)
		}
	}
	for range quarantineAfter { // without a reload it is one
		delete(k.has, member)
		r.Repair(t.Context())
	}
	delete(k.has, member)
	r.Repair(t.Context())
	if _, problems := r.Status(t.Context()); len(problems) != 1 {
		t.Errorf("nobody is fought with: %s", texts(problems))
	}
}
