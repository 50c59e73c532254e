package kernel

import (
	"context"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Balancer spreads the connections to virtual servers over real servers. IPVS is
// one; nftables may become another.
type Balancer interface {
	// List shows every virtual and real server there is, and puts the timeouts.
	List(ctx context.Context, into state.State, many crowd) error
	// ListOnly puts what there is of these virtual servers, each with all its real
	// servers.
	ListOnly(ctx context.Context, into state.State, servers []state.VirtualServer) error
	// PutVirtual and PutReal make a server, or change the one that is there.
	PutVirtual(ctx context.Context, v state.VirtualServer) error
	PutReal(ctx context.Context, r state.RealServer) error
	// RemoveVirtual and RemoveReal are done when there is none (any more).
	RemoveVirtual(ctx context.Context, v state.VirtualServer) error
	RemoveReal(ctx context.Context, r state.RealServer) error
	// Bulk does ops of one action on servers of one kind (Add or Remove) at once, at
	// most maxBatch, and returns those that have to be done one by one: which may be
	// because they are done already.
	Bulk(ctx context.Context, ops []state.Op) (left []state.Op)
	// PutTimeouts sets for how long idle connections are kept.
	PutTimeouts(ctx context.Context, t state.Timeouts) error
	Close()
}
