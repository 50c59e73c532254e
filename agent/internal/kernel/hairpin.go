package kernel

import (
	"context"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/hairpin"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// hairpinHandler: nf_tables' generation is part of the canary where iptables is nf_tables too;
// elsewhere the slow timer finds what has changed.
var hairpinHandler = newHandler((*Kernel).observeHairpin, (*Kernel).putHairpin, (*Kernel).removeHairpin)

func (k *Kernel) observeHairpin(_ context.Context, r *view) error {
	if r.ns != state.Mesh {
		return nil
	}
	return hairpin.Observe(r.space, r.into)
}

func (k *Kernel) putHairpin(_ context.Context, _ state.Object, h state.Hairpin) error {
	mesh, err := k.needMesh()
	if err != nil {
		return err
	}
	return hairpin.Put(mesh, h)
}

func (k *Kernel) removeHairpin(context.Context, state.Hairpin) error {
	mesh, err := k.openMesh()
	if err != nil || mesh == nil {
		return err
	}
	return hairpin.Remove(mesh)
}
