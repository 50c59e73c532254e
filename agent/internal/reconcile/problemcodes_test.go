package reconcile

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// TestProblemCodes_OutliveTheirWords: what the kernel says of a refused op is in the
// text, and not in the identity.
func TestProblemCodes_OutliveTheirWords(t *testing.T) {
	k := newFakeKernel()
	r, _ := newReconciler(k)
	member := state.SetMember{Set: "routingmesh-tcp", Port: 8080}
	ids := map[mesh.ProblemID]bool{}
	for _, refusal := range []error{errors.New("no memory"), errors.New("busy")} {
		k.refuses[member.Key()] = refusal
		problems := r.Commit(t.Context(), record(t, 0), "n1")
		if len(problems) != 1 || problems[0].Code != mesh.ProblemMissing || problems[0].Part == "" {
			t.Fatalf("problems %+v", problems)
		}
		ids[problems[0].ID()] = true
	}
	if len(ids) != 1 {
		t.Errorf("one problem is %v", ids)
	}
	clear(k.refuses)
	r.Commit(t.Context(), record(t, 0), "n1")
	k.has.Put(state.RealServer{Proto: "tcp", Server: netip.MustParseAddrPort("10.255.0.1:8080"), Addr: netip.MustParseAddrPort("10.255.1.9:80"), Weight: 1})
	if _, problems := r.Status(t.Context()); len(problems) != 1 || problems[0].Code != mesh.ProblemExtra {
		t.Errorf("problems %+v", problems)
	}
	k.blind = errors.New("no netlink")
	if _, problems := r.Status(t.Context()); len(problems) != 1 || problems[0].Code != mesh.ProblemKernelUnread {
		t.Errorf("problems %+v", problems)
	}
}
