package host

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// resolverFiles name the host's resolvers: the second those behind
// systemd-resolved, where the first has only 127.0.0.53.
func resolverFiles() []string {
	return []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}
}

// checkResolvers finds a resolver inside the cluster's pool. No route of the host
// need show it: behind its default route is where it is.
func (h *Host) checkResolvers(c *check) {
	for _, file := range resolverFiles() {
		content, err := os.ReadFile(filepath.Join("/", h.Root, file))
		if err != nil {
			continue // a host without one resolves by other means
		}
		for _, resolver := range ParseResolvers(string(content)) {
			if c.next.Cluster.AddressPool.Contains(resolver) {
				c.node(mesh.ProblemPoolOverlaps, "address", "The cluster's address_pool %s has the host's resolver %s (%s) in it: the host would find no name any more. "+
					"Choose an address_pool for the cluster that no node uses (all of RFC 1918 will do).", c.next.Cluster.AddressPool, resolver, file)
				return
			}
		}
	}
}

// ParseResolvers reads the nameserver lines of a resolv.conf(5).
func ParseResolvers(content string) []netip.Addr {
	var found []netip.Addr
	for line := range strings.Lines(content) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			found = append(found, a.Unmap())
		}
	}
	return found
}
