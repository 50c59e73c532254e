//go:build kernel

package kernel_test

import (
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// While a scheduler is replaced, the kernel has none for some milliseconds. A connection that
// begins then waits; it is not refused. Nothing of that is left afterwards.
func TestSchedulerChange_RefusesNobody(t *testing.T) {
	s := newTrio(t)
	s.endpoints(place{2, 81, 0})
	s.serve(state.VirtualServer{Proto: "tcp", Scheduler: "rr"}, 8080, place{2, 81, 1})
	tables := s.a.mesh("nft list tables")
	var over atomic.Bool
	var asked atomic.Int64
	var clients sync.WaitGroup
	end := func() {
		over.Store(true)
		clients.Wait()
	}
	t.Cleanup(end)
	for range 4 {
		clients.Go(func() {
			for !over.Load() {
				c, err := s.connect(netip.Addr{}, s.a, 8080)
				if err != nil {
					t.Errorf("connection %d: %v", asked.Load(), err)
					return
				}
				asked.Add(1)
				c.Close()
			}
		})
	}
	for range 5 {
		for _, name := range []string{"wlc", "mh", "rr"} {
			before := asked.Load()
			s.serveOn(s.a, state.VirtualServer{Proto: "tcp", Scheduler: name}, 8080, place{2, 81, 1})
			until(t, time.Minute, "connections after the change", func() bool { return t.Failed() || asked.Load() > before+4 })
		}
	}
	end()
	if after := s.a.mesh("nft list tables"); after != tables || strings.Contains(after, "change") {
		t.Errorf("tables of the mesh's namespace: %s\nbefore: %s", after, tables)
	}
}
