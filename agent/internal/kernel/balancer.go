package kernel

import (
	"context"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Balancer spreads the connections to virtual servers over real servers. IPVS is
// one; nftables may become another.
type Balancer interface {
	// List puts every virtual and real server there is, and the timeouts.
	List(ctx context.Context, into state.State) error
	// PutVirtual and PutReal make a server, or change the one that is there.
	PutVirtual(ctx context.Context, v state.VirtualServer) error
	PutReal(ctx context.Context, r state.RealServer) error
	// RemoveVirtual and RemoveReal are done when there is none (any more).
	RemoveVirtual(ctx context.Context, v state.VirtualServer) error
	RemoveReal(ctx context.Context, r state.RealServer) error
	// PutTimeouts sets for how long idle connections are kept.
	PutTimeouts(ctx context.Context, t state.Timeouts) error
	Close()
}
