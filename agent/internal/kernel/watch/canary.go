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
	networks [maxNetworkSets]uint32 // the sets of the mesh's namespace
	inode    uint64                 // of the mesh's namespace
}

const (
	maxSets        = 64
	maxNetworkSets = 4
	unknown        = ^uint32(0)
)

// setNames are the sets that every node has; byAddress has those that it has for each pair
// of VIPs that is in use, all of a pair or none.
var (
	setNames  = state.SetNames()
	byAddress = setsOfPairs()
	// networkSets are those of the mesh's namespace while the record has networks, all or none.
	networkSets = state.NetworkSets()
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
	if i := slices.IndexFunc(networkSets, func(s state.Set) bool { return s.Name == set }); i >= 0 {
		return &r.networks[i]
	}
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
	host := w.canary.Read(w.nft)
	if w.mesh == nil {
		r.Chains = host
		return r
	}
	r.inode = w.mesh.inode
	r.Services = w.mesh.canary.services()
	r.networks = w.mesh.canary.members()
	if mesh := w.mesh.canary.Read(w.nft); host != "" && mesh != "" {
		r.Chains = host + "/" + mesh
	}
	return r
}

// told says that everything could be told.
func (r Reading) told() bool {
	return r.Chains != "" && r.Services != unknown && !slices.Contains(r.sets[:], unknown) && !slices.Contains(r.networks[:], unknown)
}

// canary asks in the host's namespace.
type canary struct {
	*iptables.Canary
	sets *ipset.Conn
}

func newCanary(ns netns.Handle) (*canary, error) {
	sets, err := ipset.Open(ns, state.Host)
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
		sizes[i], _ = size(c.sets, name)
	}
	i := len(setNames)
	for _, names := range byAddress {
		for at, name := range names {
			n, there := size(c.sets, name)
			if at == 0 && !there {
				return sizes // no pair is in use from here on
			}
			sizes[i] = n
			i++
		}
	}
	return sizes
}

// size is how many members a set has; there is false without the set.
func size(sets *ipset.Conn, name string) (n uint32, there bool) {
	n, err := sets.Size(name)
	if err != nil {
		return unknown, !errors.Is(err, unix.ENOENT)
	}
	return n, true
}

// meshCanary asks in the mesh's namespace.
type meshCanary struct {
	*iptables.Canary
	servers *ipvs.Info
	sets    *ipset.Conn
}

func newMeshCanary(ns netns.Handle) (*meshCanary, error) {
	tables, err := iptables.NewCanary(ns, "nat", "raw", "mangle", "filter")
	if err != nil {
		return nil, err
	}
	sets, err := ipset.Open(ns, state.Mesh)
	if err != nil {
		tables.Close()
		return nil, err
	}
	var info *ipvs.Info
	err = netns.Do(ns, func() (err error) {
		info, err = ipvs.OpenInfo()
		return err
	})
	if err != nil {
		tables.Close()
		sets.Close()
		return nil, err
	}
	return &meshCanary{tables, info, sets}, nil
}

func (c *meshCanary) close() {
	c.Close()
	c.servers.Close()
	c.sets.Close()
}

// members asks for one set only while there are no networks.
func (c *meshCanary) members() (sizes [maxNetworkSets]uint32) {
	for i, set := range networkSets {
		n, there := size(c.sets, set.Name)
		if i == 0 && !there {
			return sizes
		}
		sizes[i] = n
	}
	return sizes
}

func (c *meshCanary) services() uint32 {
	n, err := c.servers.Services()
	if err != nil {
		return unknown
	}
	return n
}
