package mesh

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Network is an overlay network: a group of services that reach each other by name, address
// and VIP, and that other networks' members do not reach.
type Network struct {
	Name string `json:"name"`
	// Hosts are the nodes whose own processes are members, sorted; EveryHost is all of them.
	Hosts []string `json:"hosts,omitempty"`
	// Removed says that the network was removed while services were in it, for which it stays
	// as it was: Terraform destroys a network before it updates the services that named it, and
	// between the two they must not lose each other. The last service to leave takes it along.
	Removed bool `json:"removed,omitempty"`
}

// EveryHost in Network.Hosts makes the processes of every node members.
const EveryHost = "*"

// Membership is how a service is in a network.
type Membership struct {
	// Aliases are further names of the service in this network, sorted.
	Aliases []string `json:"aliases,omitempty"`
}

// EndpointMode says what the name of a service in a network leads to, in Swarm's words.
type EndpointMode string

const (
	// EndpointVIP is the service's virtual address. It is kept as "" in a record.
	EndpointVIP EndpointMode = ""
	// EndpointDNSRR is the addresses of the service's containers.
	EndpointDNSRR EndpointMode = "dnsrr"
)

// NetworkSet is a set of networks: their names, sorted, with commas between them. "" is no network.
type NetworkSet string

// NewNetworkSet returns the set of these networks.
func NewNetworkSet(names ...string) NetworkSet {
	return NetworkSet(strings.Join(sortedSet(names), ","))
}

// Names are the networks of the set.
func (s NetworkSet) Names() []string {
	if s == "" {
		return nil
	}
	return strings.Split(string(s), ",")
}

// Has says that the network is in the set.
func (s NetworkSet) Has(name string) bool { return slices.Contains(s.Names(), name) }

// Meets says that some network is in both sets: their members reach each other.
func (s NetworkSet) Meets(o NetworkSet) bool { return slices.ContainsFunc(s.Names(), o.Has) }

// HasNetworks says that the nodes need what networks need.
func (r *Record) HasNetworks() bool { return len(r.Networks) > 0 }

// presentNetworks are the names of those that were not removed, sorted.
func (r *Record) presentNetworks() []string {
	return slices.DeleteFunc(r.NetworkNames(), func(name string) bool { return !r.HasNetwork(name) })
}

// NetworkNames returns the names of the networks, sorted.
func (r *Record) NetworkNames() []string { return slices.Sorted(maps.Keys(r.Networks)) }

// NetworkSet is the networks of the service.
func (s *Service) NetworkSet() NetworkSet {
	if len(s.Networks) == 1 { // as it mostly is, and asked of every service of a record
		for name := range s.Networks {
			return NetworkSet(name)
		}
	}
	return NetworkSet(strings.Join(slices.Sorted(maps.Keys(s.Networks)), ","))
}

// HostNetworks are the networks that the processes of the node are members of: those that
// name it, and those of services with a process of the node as an endpoint. A network knows a
// host, not its single processes.
func (r *Record) HostNetworks(node string) NetworkSet {
	var names []string
	for name, n := range r.Networks {
		if slices.Contains(n.Hosts, EveryHost) || slices.Contains(n.Hosts, node) {
			names = append(names, name)
		}
	}
	for _, s := range r.Services {
		if len(s.Networks) > 0 && s.hasProcessOn(node) {
			names = slices.AppendSeq(names, maps.Keys(s.Networks))
		}
	}
	return NewNetworkSet(names...)
}

func (s *Service) hasProcessOn(node string) bool {
	for _, e := range s.Endpoints {
		if e.Container == nil && e.Node == node {
			return true
		}
	}
	return false
}

// hasProcesses says that an endpoint of the service is a process of a host.
func (s *Service) hasProcesses() bool {
	for _, e := range s.Endpoints {
		if e.Container == nil {
			return true
		}
	}
	return false
}

// Members are the services of the network, by name.
func (r *Record) Members(network string) []*Service {
	var members []*Service
	for _, name := range slices.Sorted(maps.Keys(r.Services)) {
		if r.Services[name].in(network) {
			members = append(members, r.Services[name])
		}
	}
	return members
}

// HasMemberOf says that a container of the node, or its own processes, are members of one of
// the networks.
func (r *Record) HasMemberOf(node string, networks NetworkSet) bool {
	if r.HostNetworks(node).Meets(networks) {
		return true
	}
	for _, s := range r.Services {
		if !s.NetworkSet().Meets(networks) {
			continue
		}
		for _, e := range s.Endpoints {
			if e.Node == node && e.Container != nil {
				return true
			}
		}
	}
	return false
}

// VIPByPort says that the service's VIP leads to its endpoints by declared ports (VIPPorts).
// Otherwise it leads there on every port, as the client asked for it.
func (s *Service) VIPByPort() bool { return len(s.VIPPorts) > 0 }

// PutNetwork creates a network or changes its hosts. One that was removed and that services
// are still in is there again.
func (r *Record) PutNetwork(n *Network) error {
	put := &Network{Name: n.Name, Hosts: sortedSet(n.Hosts)}
	if err := r.checkNetwork(put); err != nil {
		return err
	}
	for _, host := range put.Hosts {
		if host != EveryHost && r.Nodes[host] == nil {
			return put.fail("hosts", "The network names node %q, which the cluster %s does not have (it has %v). "+
				"Refer to the node's resource (routingmesh_node.….name), so that Terraform creates it first.", host, r.Cluster.Name, r.NodeNames())
		}
	}
	return r.replaceNetwork(put)
}

// replaceNetwork puts the network in place of the one of its name; a refusal changes nothing.
func (r *Record) replaceNetwork(n *Network) error {
	before := r.Networks
	r.Networks = maps.Clone(before)
	if r.Networks == nil {
		r.Networks = map[string]*Network{}
	}
	r.Networks[n.Name] = n
	err := r.allocateNetworks(nil)
	if err != nil {
		r.Networks = before
	}
	return err
}

func (n *Network) fail(attr, format string, args ...any) error {
	return &Error{Object: NetworkRef(n.Name), Attribute: attr, Detail: fmt.Sprintf(format, args...)}
}

// checkNetwork has the rules of a network that are not about others.
func (r *Record) checkNetwork(n *Network) error {
	if err := CheckName(n.Name); err != nil {
		return n.fail("name", "%v.", err)
	}
	if slices.Contains(n.Hosts, EveryHost) && len(n.Hosts) > 1 {
		return n.fail("hosts", `"*" stands for every node: leave the other names out.`)
	}
	for _, host := range n.Hosts {
		if host == EveryHost {
			continue
		}
		if err := CheckName(host); err != nil {
			return n.fail("hosts", "A host of the network is a node that no cluster can have: %v.", err)
		}
	}
	return nil
}

// RemoveNetwork removes a network, at once or when the last service has left it (Removed).
func (r *Record) RemoveNetwork(name string) error {
	n := r.Networks[name]
	if n == nil {
		return nil
	}
	removed := *n
	removed.Removed = true
	return r.replaceNetwork(&removed)
}

// HasNetwork says that the network is there and was not removed.
func (r *Record) HasNetwork(name string) bool {
	n := r.Networks[name]
	return n != nil && !n.Removed
}

// keptNetworks are those that stay when put (nil for none) replaces the service of its name:
// all but the removed ones that no service is in any more.
func (r *Record) keptNetworks(put *Service) map[string]*Network {
	kept := r.Networks
	for name, n := range r.Networks {
		if !n.Removed || put != nil && put.in(name) || slices.ContainsFunc(r.Members(name), func(s *Service) bool { return put == nil || s.Name != put.Name }) {
			continue
		}
		if len(kept) == len(r.Networks) {
			kept = maps.Clone(kept)
		}
		delete(kept, name)
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// in says that the service is in the network.
func (s *Service) in(network string) bool {
	_, ok := s.Networks[network]
	return ok
}

// checkNetworks has the rules of a service in networks that are not about others.
func (s *Service) checkNetworks() error {
	if s.EndpointMode != EndpointVIP && s.EndpointMode != EndpointDNSRR {
		return s.fail("endpoint_mode", `The endpoint_mode must be "vip" or "dnsrr", not %q.`, string(s.EndpointMode))
	}
	if len(s.Networks) == 0 {
		switch { // of a service in no network
		case s.EndpointMode != EndpointVIP:
			return s.fail("endpoint_mode", "An endpoint_mode is for services in networks: list the service's networks, or leave it out.")
		case len(s.VIPPorts) > 0:
			return s.fail("vip_ports", "Ports of a VIP are for services in networks: list the service's networks, or leave vip_ports out.")
		case s.VIP.IsValid():
			return s.fail("networks", "A service in no network has no VIP.")
		}
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(s.Networks)) {
		if err := CheckName(name); err != nil {
			return s.fail("networks", "%v.", err)
		}
		for _, alias := range s.Networks[name].Aliases {
			if err := CheckName(alias); err != nil {
				return s.fail("networks", "An alias in network %q: %v.", name, err)
			}
		}
	}
	if err := s.checkVIPPorts(); err != nil {
		return err
	}
	return s.checkMembersCheck()
}

// checkMembersCheck refuses a health check that does not know its port. The service's published
// ports do not count: they come after the service, and may go before it.
func (s *Service) checkMembersCheck() error {
	if s.HealthCheck == nil || s.HealthCheck.Port != 0 {
		return nil
	}
	for k := range s.VIPPorts {
		if k.Protocol == TCP {
			return nil
		}
	}
	switch {
	case s.VIPByPort():
		return s.fail("health_check", "The service's vip_ports are udp, and a health check connects by tcp: give it a port of its own, as in health_check = { port = 8080 }.")
	case s.EndpointMode == EndpointDNSRR:
		return s.fail("health_check", "Members of the service's networks reach its containers on every port, so the health check needs to know on which one they answer: health_check = { port = 8080 }.")
	}
	return s.fail("health_check", `The service's VIP leads to every port, so the health check needs to know on which one the endpoints answer: health_check = { port = 8080 }. `+
		`Or name the ports of the VIP, as in vip_ports = { "80/tcp" = 8080 }: those of tcp are checked.`)
}

func (s *Service) checkVIPPorts() error {
	for k, target := range s.VIPPorts {
		if k.VIP != 0 || k.Port == 0 || k.Protocol != TCP && k.Protocol != UDP || target == 0 {
			return s.fail("vip_ports", `The ports of a VIP are as in "80/tcp" = 8080, and not %s = %d.`, k, target)
		}
	}
	switch {
	case s.EndpointMode == EndpointDNSRR && len(s.VIPPorts) > 0:
		return s.fail("vip_ports", `With endpoint_mode = "dnsrr" the service has no VIP: leave vip_ports out, or endpoint_mode.`)
	case s.EndpointMode == EndpointDNSRR && s.hasProcesses():
		return s.fail("endpoint_mode", `With endpoint_mode = "dnsrr" a name leads to the containers themselves, and an endpoint is a process of a host, of which only declared ports are reachable. Use "vip" with vip_ports.`)
	case s.EndpointMode == EndpointVIP && s.hasProcesses() && len(s.VIPPorts) == 0:
		return s.fail("vip_ports", `An endpoint is a process of a host, and the VIP must not lead to everything else that listens there. Name the ports that it answers on, as in vip_ports = { "80/tcp" = 8080 }.`)
	}
	return nil
}

// CheckNames refuses a service whose name or alias in a network is another service's there,
// and networks that the record does not have. One that was removed can only be left.
func (r *Record) CheckNames(s *Service) error {
	if err := r.checkNetworksOf(s); err != nil {
		return err
	}
	for _, network := range slices.Sorted(maps.Keys(s.Networks)) {
		for _, name := range s.namesIn(network) {
			var taken *Service
			for _, other := range r.Services {
				if other.Name != s.Name && slices.Contains(other.namesIn(network), name) && (taken == nil || other.Name < taken.Name) {
					taken = other
				}
			}
			if taken != nil {
				return s.nameTaken(network, name, taken)
			}
		}
	}
	return nil
}

// checkAllNames is CheckNames of every service of a record that came from outside.
func (r *Record) checkAllNames() error {
	type place struct{ network, name string }
	var members []string
	for name, s := range r.Services {
		if len(s.Networks) > 0 {
			members = append(members, name)
		}
	}
	slices.Sort(members)
	owners := map[place]*Service{}
	for _, name := range members {
		s := r.Services[name]
		if err := r.checkNetworksOf(s); err != nil {
			return err
		}
		for _, network := range slices.Sorted(maps.Keys(s.Networks)) {
			for _, name := range s.namesIn(network) {
				if owner := owners[place{network, name}]; owner != nil && owner != s {
					return s.nameTaken(network, name, owner)
				}
				owners[place{network, name}] = s
			}
		}
	}
	return nil
}

func (r *Record) checkNetworksOf(s *Service) error {
	for _, network := range slices.Sorted(maps.Keys(s.Networks)) {
		if was := r.Services[s.Name]; !r.HasNetwork(network) && (r.Networks[network] == nil || was == nil || !was.in(network)) {
			return s.fail("networks", "The service names network %q, which the cluster %s does not have (it has %v). "+
				"Refer to the network's resource (routingmesh_network.….name), so that Terraform creates it first.", network, r.Cluster.Name, r.presentNetworks())
		}
	}
	return nil
}

// namesIn are the names that the service has in the network, none where it is not in it.
func (s *Service) namesIn(network string) []string {
	if m, ok := s.Networks[network]; ok {
		return append([]string{s.Name}, m.Aliases...)
	}
	return nil
}

func (s *Service) nameTaken(network, name string, by *Service) error {
	return &Error{Object: ServiceRef(s.Name), Attribute: "networks", Taken: ServiceRef(by.Name), Detail: fmt.Sprintf(
		"In network %q the name %q is service %q's already. Names and aliases are unique in a network.", network, name, by.Name)}
}

// canonicalNetworks leaves out what says nothing, as canonical does.
func (s *Service) canonicalNetworks() {
	if len(s.Networks) == 0 {
		s.Networks = nil
	}
	if len(s.VIPPorts) == 0 {
		s.VIPPorts = nil
	}
	for name, m := range s.Networks {
		s.Networks[name] = NewMembership(s.Name, m.Aliases)
	}
}

// NewMembership is that of a service with the aliases, which leave out its own name.
func NewMembership(service string, aliases []string) Membership {
	return Membership{Aliases: sortedSet(slices.DeleteFunc(slices.Clone(aliases), func(a string) bool { return a == service }))}
}

// VIPOf is the service whose VIP the address is, nil for another address.
func (r *Record) VIPOf(address netip.Addr) *Service {
	for _, s := range r.Services {
		if s.VIP == address && address.IsValid() {
			return s
		}
	}
	return nil
}
