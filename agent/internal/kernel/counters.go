package kernel

import (
	"context"
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/ipvs"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Server is an IPVS service with what it has counted, Destination one of its
// destinations. Load is a destination's connections of this moment.
type (
	Server      = ipvs.Server
	Destination = ipvs.Destination
	Load        = ipvs.Load
)

// Servers reads the IPVS services of the mesh's namespace with their counters, sorted by
// address; none where there is no namespace, or no IPVS.
func (k *Kernel) Servers(ctx context.Context) ([]Server, error) {
	if there, err := netns.IsMounted(k.namespaceFile()); err != nil || !there {
		return nil, err
	}
	var servers []Server
	err := k.withMesh(func(ns netns.Handle) (err error) {
		servers, err = ipvs.Servers(ctx, ns)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the counters of IPVS: %w", err)
	}
	return servers, nil
}

// Loads reads the connections of every destination in the mesh's namespace, by the key
// of its state.RealServer; a destination that is not in it is not there. None where there
// is no namespace, or no IPVS.
func (k *Kernel) Loads(ctx context.Context) (map[state.Key]Load, error) {
	if there, err := netns.IsMounted(k.namespaceFile()); err != nil || !there {
		return nil, err
	}
	var loads map[state.Key]Load
	var complete bool
	err := k.InMesh(func() (err error) {
		loads, complete, err = ipvs.Loads()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the connections of IPVS: %w", err)
	}
	if !complete {
		return k.askedLoads(ctx)
	}
	return loads, nil
}

// askedLoads asks by netlink, which takes a request for each service.
func (k *Kernel) askedLoads(ctx context.Context) (map[state.Key]Load, error) {
	servers, err := k.Servers(ctx)
	if err != nil {
		return nil, err
	}
	loads := map[state.Key]Load{}
	for _, s := range servers {
		for _, d := range s.Destinations {
			loads[state.RealServer{Proto: string(s.Proto), Server: s.Addr, Addr: d.Addr}.Key()] = Load{Active: d.Active, Inactive: d.Inactive}
		}
	}
	return loads, nil
}
