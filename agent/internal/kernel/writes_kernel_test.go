//go:build kernel

package kernel_test

import (
	"context"
	"sync"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// writes counts the ops that go to a kernel.
type writes struct {
	*kernel.Kernel
	mu  sync.Mutex
	ops int
}

func (w *writes) Apply(ctx context.Context, ops []state.Op) []kernel.OpError {
	w.mu.Lock()
	w.ops += len(ops)
	w.mu.Unlock()
	return w.Kernel.Apply(ctx, ops)
}

func (w *writes) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ops
}

func publishedPort(port uint16) *mesh.PublishedPort {
	return &mesh.PublishedPort{Service: "web", Published: port, Target: 80, Protocol: mesh.TCP, Mode: mesh.Ingress}
}
