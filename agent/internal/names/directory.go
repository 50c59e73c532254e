package names

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/compile"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Directory is what a record has of names, for those who ask on one node.
type Directory struct {
	rec    *mesh.Record
	host   netip.Addr // H: the host's processes, and containers that have no link yet
	zone   string     // without the final dot
	pool   netip.Prefix
	serial uint32
	askers map[netip.Addr]*view
	// known are the names that some network has, addresses those that have a name.
	known     map[string]bool
	addresses map[netip.Addr]ref
}

// view is what the members of a set of networks see.
type view struct {
	names    map[string]ref
	services map[string]bool
}

// ref is what a name leads to.
type ref struct {
	service *mesh.Service
	tasks   bool // to its containers, not to its VIP
}

// New returns the directory of a node; nil for a record without networks, and for a host that
// is no node.
func New(rec *mesh.Record, node string) *Directory {
	if rec == nil || !rec.HasNetworks() || rec.Nodes[node] == nil {
		return nil
	}
	self := rec.Nodes[node]
	d := &Directory{
		rec: rec, host: self.HostAddress(), zone: rec.Cluster.Name + "." + private, pool: rec.Cluster.AddressPool, serial: uint32(rec.Generation), // it may wrap
		askers: map[netip.Addr]*view{}, known: map[string]bool{}, addresses: map[netip.Addr]ref{},
	}
	views := map[mesh.NetworkSet]*view{}
	at := func(set mesh.NetworkSet) *view {
		if views[set] == nil {
			views[set] = newView(rec, set)
		}
		return views[set]
	}
	d.askers[d.host] = at(rec.HostNetworks(node))
	for _, s := range rec.Services {
		if len(s.Networks) == 0 {
			continue
		}
		d.note(s)
		for _, e := range s.Endpoints {
			if e.Container != nil && e.Node == node {
				for slot := range e.SlotAddresses(self) {
					d.askers[slot] = at(s.NetworkSet())
				}
			}
		}
	}
	return d
}

// note keeps the names and addresses of the service, whichever members see them.
func (d *Directory) note(s *mesh.Service) {
	add := func(name string) { d.known[name], d.known[tasks+"."+name] = true, true }
	add(s.Name)
	for _, m := range s.Networks {
		for _, alias := range m.Aliases {
			add(alias)
		}
	}
	if s.VIP.IsValid() {
		d.addresses[s.VIP] = ref{service: s}
	}
	for _, e := range s.Endpoints {
		if host := d.rec.Nodes[e.Node]; host != nil && e.Container != nil {
			for slot := range e.SlotAddresses(host) {
				d.addresses[slot] = ref{s, true}
			}
		}
	}
}

// newView lists what the members of the networks see. A service's own name goes before an
// alias of another one in another network, and a network's aliases before those of the next.
func newView(rec *mesh.Record, set mesh.NetworkSet) *view {
	v := &view{names: map[string]ref{}, services: map[string]bool{}}
	add := func(name string, s *mesh.Service) {
		if _, taken := v.names[name]; !taken {
			v.names[name], v.names[tasks+"."+name] = ref{service: s}, ref{s, true}
		}
	}
	for name, s := range rec.Services {
		if s.NetworkSet().Meets(set) {
			v.services[name] = true
			add(name, s)
		}
	}
	for _, network := range set.Names() {
		for name := range v.services {
			s := rec.Services[name]
			for _, alias := range s.Networks[network].Aliases { // unique in the network
				add(alias, s)
			}
		}
	}
	return v
}

// instances are the addresses that a service's names lead to.
type instances struct {
	vip []netip.Addr
	// running are the processes and containers that run, ready those that get connections.
	running, ready []netip.Addr
}

// Under is the table under the conditions of the moment; nil of no directory.
func (d *Directory) Under(now compile.Conditions) *Table {
	if d == nil {
		return nil
	}
	t := &Table{Directory: d, askers: d.askers, instances: map[string]instances{}}
	if len(now.Leaving) > 0 {
		t.askers = maps.Clone(d.askers)
		for slot, networks := range now.Leaving {
			if t.askers[slot] == nil {
				t.askers[slot] = newView(d.rec, networks)
			}
		}
	}
	failing := map[endpointAt]bool{}
	for check, fails := range now.Unhealthy {
		if fails {
			failing[endpointAt{check.Service, check.Addr.Addr()}] = true
		}
	}
	for name, s := range d.rec.Services {
		if len(s.Networks) > 0 {
			t.instances[name] = d.instancesOf(s, now.Absent, failing)
		}
	}
	return t
}

type endpointAt struct {
	service string
	at      netip.Addr
}

// instancesOf goes by the rules of published ports: what fails is left out while something
// else serves, and so is what is on a node that is not heard; what is empty always is. Those
// of weight 0, and of nodes that drain, run, and get no new connections.
func (d *Directory) instancesOf(s *mesh.Service, absent map[netip.Addr]bool, failing map[endpointAt]bool) (is instances) {
	if s.VIP.IsValid() {
		is.vip = []netip.Addr{s.VIP}
	}
	var doubtful, serving, ready addresses
	var running addresses
	for _, e := range s.Endpoints {
		host := d.rec.Nodes[e.Node]
		if host == nil {
			continue
		}
		serves := host.Serving() && e.Share() > 0
		for address := range e.Addresses(host) {
			empty, unheard := absent[address]
			switch {
			case empty:
				continue
			case unheard:
				doubtful.add(address, true)
			default:
				running.add(address, true)
				ready.add(address, serves && !failing[endpointAt{s.Name, address}])
			}
			serving.add(address, serves)
		}
	}
	is.running, is.ready = running.orElse(doubtful), ready.orElse(serving)
	return is
}

// addresses are a list of them.
type addresses []netip.Addr

func (l *addresses) add(a netip.Addr, is bool) {
	if is {
		*l = append(*l, a)
	}
}

// orElse is the list, or the other one where there is none, sorted.
func (l addresses) orElse(other addresses) []netip.Addr {
	if len(l) == 0 {
		l = other
	}
	slices.SortFunc(l, netip.Addr.Compare)
	return slices.Compact(l)
}
