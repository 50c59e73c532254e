package kernel

import (
	"context"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/iptables"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// chainHandler: all ops on chains of one namespace are one run of iptables-restore.
var chainHandler = steersIf(handler{observe: (*Kernel).observeChains, program: true, batch: chainRun, together: (*Kernel).applyChains},
	func(c state.Chain) bool { return c.Table == "nat" })

func (k *Kernel) observeChains(ctx context.Context, r *view) error {
	rs, err := iptables.Save(ctx, &k.programs, r.space)
	if err != nil {
		return err
	}
	rs.Observe(r.into, r.ns)
	return nil
}

// chainRun counts the leading ops that are about chains of one namespace.
func chainRun(ops []state.Op) int {
	var ns state.NS
	for i, op := range ops {
		c, ok := op.Object().(state.Chain)
		if !ok || i > 0 && c.NS != ns {
			return i
		}
		ns = c.NS
	}
	return len(ops)
}

// applyChains does ops on chains of one namespace at once. When that fails each
// is tried by itself: one bad rule must not keep the others out.
func (k *Kernel) applyChains(ctx context.Context, ops []state.Op) (left []state.Op, failed []OpError) {
	err := k.restoreChains(ctx, ops)
	if err == nil {
		return nil, nil
	}
	if len(ops) == 1 {
		return nil, []OpError{opError(ops[0], err)}
	}
	for i := range ops {
		_, alone := k.applyChains(ctx, ops[i:i+1])
		failed = append(failed, alone...)
	}
	return nil, failed
}

func (k *Kernel) restoreChains(ctx context.Context, ops []state.Op) error {
	s, err := k.space(ops[0].Object().Key().NS)
	if err != nil {
		return err
	}
	if s == nil && ops[0].Action == state.Remove { // gone with its namespace
		return nil
	}
	if s == nil {
		_, err := k.needMesh()
		return err
	}
	tables := iptables.Tables{Run: &k.programs, Originals: k.originals}
	return tables.Apply(ctx, s, ops)
}
