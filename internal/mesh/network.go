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

// NetworkNames returns the names of the networks, sorted.
func (r *Record) NetworkNames() []string { return slices.Sorted(maps.Keys(r.Networks)) }

// NetworkSet is the networks of the service.
func (s *Service) NetworkSet() NetworkSet {
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
		if _, ok := r.Services[name].Networks[network]; ok {
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

// PutNetwork creates a network or changes its hosts.
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
	r.Networks = maps.Clone(r.Networks)
	if r.Networks == nil {
		r.Networks = map[string]*Network{}
	}
	r.Networks[n.Name] = put
	return r.allocateNetworks(nil)
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

// RemoveNetwork removes a network that no service is in any more.
func (r *Record) RemoveNetwork(name string) error {
	if members := r.Members(name); len(members) > 0 {
		return &Error{Object: NetworkRef(name), Taken: ServiceRef(members[0].Name), Detail: fmt.Sprintf(
			"Service %q is still in network %q (perhaps from another Terraform state): remove it from the service's networks first.", members[0].Name, name)}
	}
	r.Networks = maps.Clone(r.Networks)
	delete(r.Networks, name)
	return r.allocateNetworks(nil)
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

// checkNames refuses a service whose name or alias in a network is another service's there,
// and networks that the record does not have.
func (r *Record) checkNames(s *Service) error {
	if len(s.Networks) == 0 {
		return nil
	}
	for _, network := range slices.Sorted(maps.Keys(s.Networks)) {
		if r.Networks[network] == nil {
			return s.fail("networks", "The service names network %q, which the cluster %s does not have (it has %v). "+
				"Refer to the network's resource (routingmesh_network.….name), so that Terraform creates it first.", network, r.Cluster.Name, r.NetworkNames())
		}
		names := append([]string{s.Name}, s.Networks[network].Aliases...)
		for _, other := range r.Members(network) {
			if other.Name == s.Name {
				continue
			}
			for _, name := range names {
				if name == other.Name || slices.Contains(other.Networks[network].Aliases, name) {
					return &Error{Object: ServiceRef(s.Name), Attribute: "networks", Taken: ServiceRef(other.Name), Detail: fmt.Sprintf(
						"In network %q the name %q is service %q's already. Names and aliases are unique in a network.", network, name, other.Name)}
				}
			}
		}
	}
	return nil
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
		s.Networks[name] = Membership{Aliases: sortedSet(slices.DeleteFunc(slices.Clone(m.Aliases), func(a string) bool { return a == s.Name }))}
	}
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
