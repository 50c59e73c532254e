package mesh

import (
	"fmt"
	"maps"
	"slices"
)

// PutService creates a service or changes its endpoints.
func (r *Record) PutService(s *Service) error {
	fail := func(attr, format string, args ...any) error {
		return &Error{Object: ServiceObject(s.Name), Attribute: attr, Detail: fmt.Sprintf(format, args...)}
	}
	if err := CheckName(s.Name); err != nil {
		return fail("name", "%v.", err)
	}
	seen := map[Endpoint]string{}
	for _, key := range slices.Sorted(maps.Keys(s.Endpoints)) {
		e := s.Endpoints[key]
		if r.Nodes[e.Node] == nil {
			return fail("endpoints", "Endpoint %q names node %q, which the cluster %s does not have (it has %v). "+
				"Refer to the node's resource (routingmesh_node.….name), so that Terraform makes it first.", key, e.Node, r.Cluster.Name, r.NodeNames())
		}
		if twin, ok := seen[e]; ok {
			return fail("endpoints", "Endpoints %q and %q are the same process: node %s, port %s. Give one of them its own port.", twin, key, e.Node, portText(e.Port))
		}
		seen[e] = key
	}
	r.Services[s.Name] = &Service{Name: s.Name, Endpoints: maps.Clone(s.Endpoints)}
	return nil
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
		return &Error{Object: ServiceObject(name), Detail: fmt.Sprintf(
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
