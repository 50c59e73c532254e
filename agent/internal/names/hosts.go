package names

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Host is a VIP as the processes of a host find it without asking R.
type Host struct {
	VIP netip.Addr
	// Name is the one that no other program has, Short are the service's name and its aliases.
	Name  string
	Short []string
}

// Hosts lists the VIPs that the processes of the node reach, by the services' names. The
// addresses of a service without a VIP change all the time, so it is not among them.
func Hosts(rec *mesh.Record, node string) []Host {
	if rec == nil || rec.Nodes[node] == nil {
		return nil
	}
	set := rec.HostNetworks(node)
	if set == "" {
		return nil
	}
	v, short := newView(rec, set), map[string][]string{}
	for name, r := range v.names {
		if !r.tasks && r.service.VIP.IsValid() && name != r.service.Name {
			short[r.service.Name] = append(short[r.service.Name], name)
		}
	}
	var hosts []Host
	for _, name := range slices.Sorted(maps.Keys(v.services)) {
		if s := rec.Services[name]; s.VIP.IsValid() {
			slices.SortFunc(short[name], strings.Compare)
			hosts = append(hosts, Host{s.VIP, name + "." + rec.Cluster.Name + "." + private, append([]string{name}, short[name]...)})
		}
	}
	return hosts
}
