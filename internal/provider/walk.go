package provider

import (
	"fmt"
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// walk is what one Configure has seen planned: the cluster that this walk's
// resources add up to, as a scratch record, so that mesh's own rules judge it
// before anything exists. Resources are planned in any order, ten at a time,
// and the first of two that exclude each other passes: the second is told.
//
// A walk ends with its Configure. The apply walk plans again into a new one.
type walk struct {
	// sshPort is the provider's ssh.port, 0 when not set.
	sshPort uint16

	mu       sync.Mutex
	clusters map[string]*plannedCluster
	// vague has the kinds of which something of an unknown cluster is planned: then nothing
	// can be said to name a node or a network that does not exist.
	vague map[mesh.RefKind]bool
	fresh int
}

// plannedCluster is one cluster as this walk plans it.
type plannedCluster struct {
	// planned has what this walk's resources put in.
	planned *mesh.Record
	// settings tells that planned.Cluster is the cluster's own.
	settings bool
	// created tells that this walk makes the cluster, so that nothing of it can
	// be elsewhere.
	created bool
	// vague is as walk.vague, for this cluster.
	vague map[mesh.RefKind]bool
	// owners has which instance holds an object, held the reverse.
	owners map[mesh.Ref]string
	held   map[string]mesh.Ref
	// leaving has the objects that this walk removes or renames.
	leaving map[mesh.Ref]bool
	// observed is the record as the nodes have it, once a Read has seen it. It
	// has objects of other Terraform states, too, and some that this very plan
	// may remove further on: what speaks against it is a warning, no error.
	observed *mesh.Record
	// addresses are those of the hosts that have answered a Read, by node.
	addresses map[string][]netip.Addr
}

func newWalk() *walk {
	return &walk{clusters: map[string]*plannedCluster{}, vague: map[mesh.RefKind]bool{}}
}

// Placeholders where the cluster's settings are not known: a pool that holds
// no node's address and has room for every node.
var anyPool = netip.MustParsePrefix("0.0.0.0/8")

const anyPrefixLength = 29

func (w *walk) cluster(name string) *plannedCluster {
	c := w.clusters[name]
	if c == nil {
		c = &plannedCluster{
			planned: &mesh.Record{
				Cluster: mesh.Cluster{Name: name, AddressPool: anyPool, NodePrefixLength: anyPrefixLength, PublishedPortRange: mesh.DefaultPortRange},
				Nodes:   map[string]*mesh.Node{}, Services: map[string]*mesh.Service{}, Ports: map[mesh.PortKey]*mesh.PublishedPort{},
			},
			owners: map[mesh.Ref]string{}, held: map[string]mesh.Ref{}, leaving: map[mesh.Ref]bool{}, vague: map[mesh.RefKind]bool{},
		}
		w.clusters[name] = c
	}
	return c
}

// observe takes in the record that a Read of this walk has seen.
func (w *walk) observe(r *mesh.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.cluster(r.Cluster.Name)
	c.observed = r
	if !c.settings {
		c.planned.Cluster = r.Cluster
	}
}

// observeHosts takes in which addresses the nodes have, of those that have answered.
func (w *walk) observeHosts(cluster string, addresses map[string][]netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cluster(cluster).addresses = addresses
}

// leave says that the walk takes an object out of the cluster.
func (w *walk) leave(cluster string, o mesh.Ref) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cluster(cluster).leaving[o] = true
}

// unknown says that a node or a network is planned whose name or cluster ("") is not
// known yet.
func (w *walk) unknown(cluster string, kind mesh.RefKind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if cluster == "" {
		w.vague[kind] = true
		return
	}
	w.cluster(cluster).vague[kind] = true
}

// unseen says that not all of the cluster's nodes or networks are in sight, so that one
// which is not seen may exist all the same. Called with mu held.
func (w *walk) unseen(c *plannedCluster, kind mesh.RefKind) bool {
	return w.vague[kind] || c.vague[kind] || !c.created && c.observed == nil
}

// instance is who plans: the id that the resource has in the state, or
// something new for one that is to be created. A replacement is planned
// twice and is one instance.
func (w *walk) instance(id string) string {
	if id != "" {
		return id
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fresh++
	return "new " + strconv.Itoa(w.fresh)
}

// claim makes instance the holder of an object and lets go of what it held
// before, as when a replacement is planned a second time.
func (c *plannedCluster) claim(o mesh.Ref, instance string) bool {
	if holder, taken := c.owners[o]; taken && holder != instance {
		return false
	}
	if c.held[instance] != o {
		c.release(instance)
	}
	c.owners[o], c.held[instance] = instance, o
	return true
}

func (c *plannedCluster) release(instance string) {
	o, ok := c.held[instance]
	if !ok {
		return
	}
	delete(c.held, instance)
	delete(c.owners, o)
	switch o.Kind {
	case mesh.KindNode:
		delete(c.planned.Nodes, o.Name)
	case mesh.KindService:
		delete(c.planned.Services, o.Name)
	case mesh.KindNetwork:
		delete(c.planned.Networks, o.Name)
	case mesh.KindPort:
		service, key, _ := strings.Cut(o.Name, "/")
		if k, err := mesh.ParsePortKey(key); err == nil {
			c.unplan(service, k)
		}
	}
}

// portOfService names a published port in a walk: one number may be of several services.
func portOfService(service string, k mesh.PortKey) mesh.Ref {
	return mesh.Ref{Kind: mesh.KindPort, Name: service + "/" + k.Plain().String()}
}

func (c *plannedCluster) unplan(service string, k mesh.PortKey) {
	if p := c.planned.PortOf(service, k); p != nil {
		delete(c.planned.Ports, p.Key())
	}
}

// nodes has the nodes that are planned, and those that other states have put
// into the record, but none that leaves.
func (c *plannedCluster) nodes() map[string]*mesh.Node {
	nodes := maps.Clone(c.planned.Nodes)
	if c.observed != nil {
		for name, n := range c.observed.Nodes {
			if nodes[name] == nil && !c.leaving[mesh.NodeRef(name)] {
				nodes[name] = n
			}
		}
	}
	return nodes
}

// networks has the networks that are planned, and those that other states have put into
// the record, but none that leaves.
func (c *plannedCluster) networks() map[string]*mesh.Network {
	if c.observed == nil || !c.observed.HasNetworks() {
		return maps.Clone(c.planned.Networks)
	}
	networks := map[string]*mesh.Network{}
	for name, n := range c.observed.Networks {
		if c.observed.HasNetwork(name) && !c.leaving[mesh.NetworkRef(name)] {
			networks[name] = n
		}
	}
	maps.Copy(networks, c.planned.Networks)
	return networks
}

// scratch is a record to ask mesh about a service or a network. What it gives out is kept in
// planned.Addressing. In the walk of an apply that leaves the cluster as it is nobody says what
// its pool is: then nothing is given out.
func (c *plannedCluster) scratch() *mesh.Record {
	r := &mesh.Record{Cluster: c.planned.Cluster, Nodes: c.nodes(), Services: c.planned.Services, Ports: c.planned.Ports,
		Networks: c.networks(), Addressing: c.planned.Addressing}
	if r.Addressing == nil && c.observed != nil {
		r.Addressing = c.observed.Addressing
	}
	if !c.settings && c.observed == nil {
		r.Cluster.NodePrefixLength = 0
	}
	return r
}

// service is the service as this walk plans it, or as it is, or with no more than its name.
func (c *plannedCluster) service(name string) *mesh.Service {
	if s := c.planned.Services[name]; s != nil {
		return s
	}
	if c.observed != nil && c.observed.Services[name] != nil && !c.leaving[mesh.ServiceRef(name)] {
		return c.observed.Services[name]
	}
	return &mesh.Service{Name: name}
}

// twice is the error of two resources that would manage the same object.
func twice(o mesh.Ref, attribute, what string) error {
	return &mesh.Error{Object: o, Attribute: attribute, Detail: fmt.Sprintf(
		"Two resources of this configuration are %s, and would overwrite each other. Give one of them another %s, or remove it.", what, attribute)}
}
