package meshclient

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/meshclient/sshdial"
)

// hostEndpoints makes the endpoints of Config.Hosts, in its order.
func hostEndpoints(r *sshdial.Router, entries []string) ([]*sshdial.Endpoint, error) {
	if len(entries) == 0 {
		return nil, &sshdial.ConfigError{Attribute: "hosts", Detail: "There must be at least one host: the SSH addresses of one, three or five hosts of the cluster."}
	}
	hosts := make([]*sshdial.Endpoint, 0, len(entries))
	seen := map[string]string{}
	for _, entry := range entries {
		ep, err := r.Host(entry)
		if err != nil {
			return nil, err
		}
		// A host counted twice would hold a majority by itself.
		route := ep.CanonicalRoute()
		if twin, ok := seen[route]; ok {
			return nil, &sshdial.ConfigError{Attribute: "hosts", Detail: fmt.Sprintf("%q and %q are the same host (%s): name every host once.", twin, entry, ep.Address())}
		}
		seen[route] = entry
		hosts = append(hosts, ep)
	}
	return hosts, nil
}

// nodeEndpoint makes the endpoint of a node as its record describes it.
func (c *Client) nodeEndpoint(n *mesh.Node) (*sshdial.Endpoint, error) {
	ep, err := c.router.Own(sshdial.OwnSettings{
		Name: n.Name, User: n.SSH.User, Host: cmp.Or(n.SSH.Host, n.Address.String()), Port: n.SSH.Port,
		HostKey: n.SSH.HostKey, HostKeySource: "host_key of node " + n.Name,
		BastionHost: n.SSH.BastionHost, BastionPort: n.SSH.BastionPort, BastionUser: n.SSH.BastionUser,
	})
	if bad, ok := errors.AsType[*sshdial.OwnSettingsError](err); ok {
		e := &mesh.Error{Object: mesh.NodeRef(n.Name), Attribute: "ssh", Detail: bad.Detail}
		if bad.BadHost {
			e.Summary = "Invalid SSH host"
		}
		return nil, e
	}
	return ep, err
}

// NodeEndpoint is how a node is logged in to, by its record and the settings that all
// hosts share.
func (c *Client) NodeEndpoint(n *mesh.Node) (*sshdial.Endpoint, error) { return c.nodeEndpoint(n) }
