package kernel

import (
	"context"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/ipvs"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/watch"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Balancer spreads the connections to virtual servers over real servers. IPVS is
// one; nftables may become another.
type Balancer interface {
	// List shows every virtual and real server there is, and puts the timeouts.
	List(ctx context.Context, into state.State, many ipvs.Sink) error
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
	// most nlmsg.MaxBatch, and returns those that have to be done one by one: which may be
	// because they are done already.
	Bulk(ctx context.Context, ops []state.Op) (left []state.Op)
	// PutTimeouts sets for how long idle connections are kept.
	PutTimeouts(ctx context.Context, t state.Timeouts) error
	Close()
}

// One call lists all three kinds.
var (
	virtualServerHandler = steersIf(newHandler((*Kernel).observeBalancer,
		func(k *Kernel, ctx context.Context, _ state.Object, v state.VirtualServer) error {
			return k.balance(true, func(b Balancer) error { return b.PutVirtual(ctx, v) })
		},
		func(k *Kernel, ctx context.Context, v state.VirtualServer) error {
			return k.balance(false, func(b Balancer) error { return b.RemoveVirtual(ctx, v) })
		}).ofMany((*Kernel).balanceTogether).
		countedBy(func(r *watch.Reading, _ state.Object) *uint32 { return &r.Services }),
		func(v state.VirtualServer) bool { return v.Proto == "udp" })

	realServerHandler = steersIf(newHandler(nil,
		func(k *Kernel, ctx context.Context, _ state.Object, r state.RealServer) error {
			return k.balance(true, func(b Balancer) error { return b.PutReal(ctx, r) })
		},
		func(k *Kernel, ctx context.Context, r state.RealServer) error {
			return k.balance(false, func(b Balancer) error { return b.RemoveReal(ctx, r) })
		}).alongWith(state.KindVirtualServer).ofMany((*Kernel).balanceTogether),
		func(r state.RealServer) bool { return r.Proto == "udp" })

	timeoutsHandler = newHandler(nil,
		func(k *Kernel, ctx context.Context, _ state.Object, t state.Timeouts) error {
			return k.balance(true, func(b Balancer) error { return b.PutTimeouts(ctx, t) })
		},
		func(*Kernel, context.Context, state.Timeouts) error { return nil }, // they go with the namespace
	).alongWith(state.KindVirtualServer)
)

func (k *Kernel) observeBalancer(ctx context.Context, r *view) error {
	if r.ns != state.Mesh {
		return nil
	}
	return k.balancer.List(ctx, r.into, r.many)
}

func (k *Kernel) balanceTogether(ctx context.Context, ops []state.Op) (left []state.Op, failed []OpError) {
	if mesh, err := k.openMesh(); err != nil || mesh == nil {
		return ops, nil
	}
	return k.balancer.Bulk(ctx, ops), nil
}

// balance does something with the balancer; where its namespace has gone, so has
// what was to be removed.
func (k *Kernel) balance(needed bool, do func(Balancer) error) error {
	mesh, err := k.openMesh()
	if err == nil && mesh == nil && needed {
		_, err = k.needMesh()
	}
	if err != nil || mesh == nil {
		return err
	}
	return do(k.balancer)
}
