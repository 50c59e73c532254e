package daemon

import (
	"log/slog"
	"sync"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/probe"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/selftest"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// newSelfTest tests by the record that the kernel has been brought to: a port of a
// commit that is under way would fail. Until that has ended, the one before holds.
func (a *agent) newSelfTest(k *kernel.Kernel, prober *probe.Prober, log *slog.Logger) *selftest.Tester {
	var mu sync.Mutex
	var last *mesh.Record
	var node string
	return selftest.New(selftest.Options{
		Kernel: k, Prober: prober, Conditions: a.reconciler.Conditions, Log: log,
		Record: func() (*mesh.Record, string) {
			mu.Lock()
			defer mu.Unlock()
			if rec, self := a.server.Applied(a.reconciler.Stats().Generation); rec != nil {
				last, node = rec, self
			}
			return last, node
		},
		Addresses: host.Addresses,
		Broken:    func() bool { return a.reconciler.Stats().Broken != "" },
	})
}
