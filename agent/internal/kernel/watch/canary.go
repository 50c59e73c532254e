package watch

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/ipset"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/iptables"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/ipvs"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/kernel/netns"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
)

// Reading is what the canary says of what has no events. Two that are equal mean that
// nothing was added or removed; what could not be told is "" or unknown.
type Reading struct {
	Chains   string // of both namespaces
	Services uint32 // how many IPVS has
	sets     [maxSets]uint32
	inode    uint64 // of the mesh's namespace
}

const (
	maxSets = 64
	unknown = ^uint32(0)
)

// setNames are the sets that every node has; byAddress has those that it has for each pair
// of VIPs that is in use, all of a pair or none.
var (
	setNames  = state.SetNames()
	byAddress = setsOfPairs()
)

func setsOfPairs() (pairs [][]string) {
	before := 0
	for n := 1; n <= state.MaxPairs; n++ {
		var names []string
		sets := state.SetsByAddress(n)
		for _, set := range sets[before:] {
			names = append(names, set.Name)
		}
		pairs, before = append(pairs, names), len(sets)
	}
	return pairs
}

// Members is the number of members of a set, nil if it is not one that is watched.
func (r *Reading) Members(set string) *uint32 {
	i := slices.Index(setNames, set)
	if pair, ok := state.PairOfSet(set); ok && i < 0 {
		i = len(setNames)
		for _, names := range byAddress[:pair] {
			i += len(names)
		}
		i += slices.Index(byAddress[pair], set)
	}
	if i < 0 {
		return nil
	}
	return &r.sets[i]
}

// read asks the kernel. The lock is held.
func (w *Watch) read() Reading {
	r := Reading{sets: w.canary.members(), Services: unknown}
	host := w.canary.Read(w.nft, w.options.Host)
	if w.mesh == nil {
		r.Chains = host
		return r
	}
	r.inode = w.mesh.inode
	r.Services = w.mesh.canary.services()
	if mesh := w.mesh.canary.Read(w.nft, nil); host != "" && mesh != "" {
		r.Chains = host + "/" + mesh
	}
	return r
}

// told says that everything could be told.
func (r Reading) told() bool {
	return r.Chains != "" && r.Services != unknown && !slices.Contains(r.sets[:], unknown)
}

// canary asks in the host's namespace.
type canary struct {
	*iptables.Canary
	sets *ipset.Conn
}

func newCanary(ns netns.Handle) (*canary, error) {
	sets, err := ipset.Open(ns)
	if err != nil {
		return nil, err
	}
	tables, err := iptables.NewCanary(ns, "nat", "filter")
	if err != nil {
		sets.Close()
		return nil, err
	}
	return &canary{tables, sets}, nil
}

func (c *canary) close() {
	c.Close()
	c.sets.Close()
}

func (c *canary) members() (sizes [maxSets]uint32) {
	for i, name := range setNames {
		n, err := c.sets.Size(name)
		if err != nil {
			n = unknown
		}
		sizes[i] = n
	}
	i := len(setNames)
	for _, names := range byAddress {
		for at, name := range names {
			n, err := c.sets.Size(name)
			if at == 0 && errors.Is(err, unix.ENOENT) {
				return sizes // no pair is in use from here on
			}
			if err != nil {
				n = unknown
			}
			sizes[i] = n
			i++
		}
	}
	return sizes
}

// meshCanary asks in the mesh's namespace.
type meshCanary struct {
	*iptables.Canary
	servers *ipvs.Info
}

func newMeshCanary(ns netns.Handle) (*meshCanary, error) {
	tables, err := iptables.NewCanary(ns, "nat", "raw")
	if err != nil {
		return nil, err
	}
	var info *ipvs.Info
	err = netns.Do(ns, func() (err error) {
		info, err = ipvs.OpenInfo()
		return err
	})
	if err != nil {
		tables.Close()
		return nil, err
	}
	return &meshCanary{tables, info}, nil
}

func (c *meshCanary) close() {
	c.Close()
	c.servers.Close()
}

func (c *meshCanary) services() uint32 {
	n, err := c.servers.Services()
	if err != nil {
		return unknown
	}
	return n
}
