package kernel

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/ipset"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// InPart says whether ObservePart can read the object.
func InPart(key state.Key) bool {
	return key.Kind < state.Kinds && handlers[key.Kind].many
}

// ObservePart returns what there is of the objects in the kernel, and of the IPVS
// services among them, or that destinations among them belong to, all destinations.
// It costs what these are, whatever else there is, and runs no program. Keys for
// which InPart is false are an error.
func (k *Kernel) ObservePart(ctx context.Context, objects state.State) (state.State, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.meshKnown = false
	into := state.State{}
	servers, sets := map[state.VirtualServer]bool{}, map[state.Set][]state.SetMember{}
	for key, o := range objects {
		switch o := o.(type) {
		case state.VirtualServer:
			servers[state.VirtualServer{Proto: o.Proto, Addr: o.Addr}] = true
		case state.RealServer:
			servers[state.VirtualServer{Proto: o.Proto, Addr: o.Server}] = true
		case state.SetMember:
			of := state.Set{NS: o.NS, Name: o.Set}
			sets[of] = append(sets[of], o)
		default:
			return nil, fmt.Errorf("%s cannot be observed alone: %v", o, key)
		}
	}
	ports := state.PortSets{}
	for set, members := range sets {
		err := k.inSets(set.NS, func(c *ipset.Conn) error { return c.Find(set.Name, members, all{into, ports}.Member) })
		if err != nil {
			return nil, err
		}
	}
	ports.Put(into)
	mesh, err := k.openMesh()
	if err != nil || mesh == nil {
		return into, err
	}
	if err := k.balancer.ListOnly(ctx, into, slices.Collect(maps.Keys(servers))); err != nil {
		return nil, err
	}
	return into, nil
}
