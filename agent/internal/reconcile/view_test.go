package reconcile

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

func TestStatsAreOfTheLastPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, k, _, _, _ := checkedReconciler(Options{})
		if r.Stats() != (Stats{}) {
			t.Errorf("before a record: %+v", r.Stats())
		}
		rec := webOf(t, nil)
		k.slow = time.Second
		r.Commit(t.Context(), rec, "n1") // observes twice
		first := Stats{Generation: 1, Applied: 1, LastApply: 2 * time.Second, LastApplyAt: time.Now()}
		if r.Stats() != first {
			t.Errorf("after a commit: %+v, want %+v", r.Stats(), first)
		}
		next := after(t, rec, without3)
		next.Services["web"].DrainSeconds = 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.Commit(t.Context(), next, "n1")
		}()
		time.Sleep(500 * time.Millisecond)
		if r.Stats() != first { // nor does it wait
			t.Errorf("while a commit is applied: %+v", r.Stats())
		}
		<-done
		if s := r.Stats(); s.Generation != 2 || s.Applied != 2 || s.LastApply < time.Second {
			t.Errorf("after the second: %+v", s)
		}
		delete(k.has, member)
		delete(k.has, natChain)
		k.refuses[member] = errors.New("no memory")
		r.Repair(t.Context())
		if s := r.Stats(); s.Repairs != 1 || s.Problems != 1 || s.Broken != "" {
			t.Errorf("after a repair of all but one port: %+v", s)
		}
		delete(k.refuses, member)
		idle := state.Sysctl{NS: state.Mesh, Name: state.ConntrackPrefix + "udp_timeout"}.Key()
		if k.has[idle] == nil {
			t.Fatalf("nothing asks for %v", idle)
		}
		delete(k.has, idle)
		k.refuses[idle] = errors.New("no such file")
		r.Repair(t.Context())
		if s := r.Stats(); s.Problems != 1 || s.Broken != "" {
			t.Errorf("after a repair of all but an idle timeout: %+v", s)
		}
		delete(k.refuses, idle)
		delete(k.has, natChain)
		k.refuses[natChain] = errors.New("no memory")
		r.Repair(t.Context())
		if s := r.Stats(); s.Problems != 1 || !strings.Contains(s.Broken, "The chain nat ROUTINGMESH") {
			t.Errorf("after a repair of all but a chain: %+v", s)
		}
		k.blind = errors.New("no")
		r.Repair(t.Context())
		if s := r.Stats(); s.Problems != 1 || !strings.Contains(s.Broken, "cannot read the kernel") {
			t.Errorf("of a kernel that cannot be read: %+v", s)
		}
	})
}
