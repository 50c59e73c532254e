package mesh

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// PutService creates a service or changes its endpoints.
func (r *Record) PutService(s *Service) error {
	if err := s.check(map[process]string{}); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(s.Endpoints)) {
		if node := s.Endpoints[key].Node; r.Nodes[node] == nil {
			return s.fail("endpoints", "Endpoint %q names node %q, which the cluster %s does not have (it has %v). "+
				"Refer to the node's resource (routingmesh_node.….name), so that Terraform makes it first.", key, node, r.Cluster.Name, r.NodeNames())
		}
	}
	if err := r.CheckNames(s); err != nil {
		return err
	}
	if err := s.checkRanges(r); err != nil {
		return err
	}
	if err := r.checkPreserved(s); err != nil {
		return err
	}
	put := s.clone().canonical()
	if err := r.allocateSlots(put); err != nil {
		return err
	}
	if err := r.allocateNetworks(put); err != nil {
		return err
	}
	r.Services[s.Name] = put
	return nil
}

func (s *Service) fail(attr, format string, args ...any) error {
	return &Error{Object: ServiceRef(s.Name), Attribute: attr, Detail: fmt.Sprintf(format, args...)}
}

// process is what an endpoint stands for. container is "" for a process of the host.
type process struct {
	node      string
	port      uint16
	container string
}

// check has the rules of a service that are not about others. The node of an endpoint may
// have left. seen is for its own use: a record has thousands of services.
func (s *Service) check(seen map[process]string) error {
	if err := CheckName(s.Name); err != nil {
		return s.fail("name", "%v.", err)
	}
	if err := s.checkBalance(); err != nil {
		return err
	}
	if err := s.checkNetworks(); err != nil {
		return err
	}
	clear(seen)
	for key, e := range s.Endpoints {
		if key == "" || len(key) > maxEndpointName || !isText(key) || strings.ContainsAny(key, "\n\t") {
			return s.fail("endpoints", "The name of an endpoint must be 1–%d bytes without control characters, not %.80q.", maxEndpointName, key)
		}
		if err := CheckName(e.Node); err != nil {
			return s.fail("endpoints", "Endpoint %q names a node that no cluster can have: %v.", key, err)
		}
		if err := e.checkContainer(); err != nil {
			return s.fail("endpoints", "Endpoint %q: %v.", key, err)
		}
		this := process{node: e.Node, port: e.Port}
		if e.Container != nil {
			this.container = e.Container.String()
		}
		if twin, ok := seen[this]; ok {
			first, second := min(twin, key), max(twin, key)
			if e.Container != nil {
				return s.fail("endpoints", "Endpoints %q and %q are the same containers of node %s. Leave one of them out, and give the other more slots.", first, second, e.Node)
			}
			return s.fail("endpoints", "Endpoints %q and %q are the same process: node %s, port %s. Give one of them its own port.", first, second, e.Node, portText(e.Port))
		}
		seen[this] = key
	}
	return nil
}

// maxEndpointName is that of a Linux file name.
const maxEndpointName = 255

func (s *Service) clone() *Service {
	c := *s
	c.Endpoints = maps.Clone(s.Endpoints)
	c.Networks, c.VIPPorts = maps.Clone(s.Networks), maps.Clone(s.VIPPorts)
	if s.Affinity != nil {
		a := *s.Affinity
		c.Affinity = &a
	}
	if s.HealthCheck != nil {
		h := *s.HealthCheck
		c.HealthCheck = &h
	}
	return &c
}

// canonical leaves out what is the default, so that equal services have equal
// records. It changes s.
func (s *Service) canonical() *Service {
	if s.Scheduler == DefaultScheduler {
		s.Scheduler = ""
	}
	for key, e := range s.Endpoints {
		if e.Weight != nil && *e.Weight == DefaultWeight {
			e.Weight = nil
			s.Endpoints[key] = e
		}
	}
	s.canonicalNetworks()
	return s
}

func portText(p uint16) string {
	if p == 0 {
		return "as published"
	}
	return fmt.Sprint(p)
}

// RemoveService removes a service that publishes no port any more.
func (r *Record) RemoveService(name string) error {
	if ports := r.ServicePorts(name); len(ports) > 0 {
		return &Error{Object: ServiceRef(name), Detail: fmt.Sprintf(
			"Service %q still publishes %s (perhaps from another Terraform state): remove its ports first.", name, ports[0].Key())}
	}
	delete(r.Services, name)
	return r.allocateNetworks(nil)
}

// LiveEndpoints returns the keys of the endpoints whose node is in the
// cluster, sorted; an endpoint on a node that has left is passed over.
func (r *Record) LiveEndpoints(s *Service) []string {
	var keys []string
	for _, k := range slices.Sorted(maps.Keys(s.Endpoints)) {
		if r.Nodes[s.Endpoints[k].Node] != nil {
			keys = append(keys, k)
		}
	}
	return keys
}
