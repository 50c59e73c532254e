package mesh

import (
	"fmt"
	"maps"
	"slices"
)

// PutService creates a service or changes its endpoints.
func (r *Record) PutService(s *Service) error {
	fail := func(attr, format string, args ...any) error {
		return &Error{Object: ServiceRef(s.Name), Attribute: attr, Detail: fmt.Sprintf(format, args...)}
	}
	if err := CheckName(s.Name); err != nil {
		return fail("name", "%v.", err)
	}
	if err := s.checkBalance(); err != nil {
		return err
	}
	type process struct {
		node string
		port uint16
	}
	seen := map[process]string{}
	for _, key := range slices.Sorted(maps.Keys(s.Endpoints)) {
		e := s.Endpoints[key]
		if r.Nodes[e.Node] == nil {
			return fail("endpoints", "Endpoint %q names node %q, which the cluster %s does not have (it has %v). "+
				"Refer to the node's resource (routingmesh_node.….name), so that Terraform makes it first.", key, e.Node, r.Cluster.Name, r.NodeNames())
		}
		this := process{e.Node, e.Port}
		if twin, ok := seen[this]; ok {
			return fail("endpoints", "Endpoints %q and %q are the same process: node %s, port %s. Give one of them its own port.", twin, key, e.Node, portText(e.Port))
		}
		seen[this] = key
	}
	r.Services[s.Name] = s.clone().canonical()
	return nil
}

func (s *Service) clone() *Service {
	c := *s
	c.Endpoints = maps.Clone(s.Endpoints)
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
	return nil
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
