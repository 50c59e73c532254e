package reconcile

import (
	"context"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// fakeNames keeps what it was told last, and what the kernel had by then.
type fakeNames struct {
	kernel     *fakeKernel
	rec        *mesh.Record
	node       string
	conditions compile.Conditions
	objects    int
}

func (f *fakeNames) Follow(rec *mesh.Record, node string, now compile.Conditions) {
	f.rec, f.node, f.conditions, f.objects = rec, node, now, len(f.kernel.has)
}

// unreadKernel says when it is looked at.
type unreadKernel struct {
	*fakeKernel
	read func()
}

func (k unreadKernel) Differences(ctx context.Context, scope kernel.Scope, desired state.State) ([]state.Op, error) {
	k.read()
	return k.fakeKernel.Differences(ctx, scope, desired)
}

// TestNames_FollowTheKernel: a name leads to a new VIP once the kernel has it, to what checks
// and slots leave, and to nothing of a host that is left.
func TestNames_FollowTheKernel(t *testing.T) {
	f := &fakeNames{}
	r, k, h, _, _ := checkedReconciler(Options{Names: f})
	f.kernel = k
	rec := webOf(t, nil)
	r.Commit(t.Context(), rec, "n1")
	if f.rec != rec || f.node != "n1" || f.objects == 0 || f.objects != len(k.has) {
		t.Errorf("after a commit: node %q, told when the kernel had %d objects of %d", f.node, f.objects, len(k.has))
	}
	h.is(true, 1)
	r.verdicts(t.Context())
	if len(f.conditions.Unhealthy) != 1 {
		t.Errorf("after a verdict: %v", f.conditions)
	}
	next, _, _, _, _ := checkedReconciler(Options{Names: f})
	f.rec, next.Kernel = nil, unreadKernel{k, func() {
		if f.rec != rec {
			t.Error("an agent that starts answers nobody until its first pass is over")
		}
	}}
	next.Resume(t.Context(), rec, "n1")
	if _, err := r.Clear(t.Context()); err != nil || f.rec != nil || f.node != "" {
		t.Errorf("after the host was left: %v, node %q", err, f.node)
	}
}

// TestHostsFile_ToldAndLeft: the hosts file follows the record as a firewall does.
func TestHostsFile_ToldAndLeft(t *testing.T) {
	f := &fakeFirewall{}
	r, _, _ := newWatched(newFakeKernel(), Options{HostsFile: f})
	expect(t, "problems", texts(r.Commit(t.Context(), record(t, 0), "n1")), "")
	if f.kept != "n1" || f.fault != "" || f.told != 1 {
		t.Errorf("after a commit: %+v", f)
	}
	f.fault = "was edited"
	_, problems := r.Status(t.Context())
	expect(t, "drift", texts(problems), "node/n1: The systemd unit /etc/unit was edited.\n")
	_, err := r.Clear(t.Context())
	if n, again := r.Clear(t.Context()); err != nil || again != nil || n != 1 { // nothing is left in the kernel
		t.Errorf("took back %d, %v, %v", n, err, again)
	}
}
