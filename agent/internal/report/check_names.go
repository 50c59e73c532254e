package report

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/host"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/state"
	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// names tells which containers of this node do not ask the mesh for names, though their service
// is in networks. They may reach the others by address and do well without, so it is no more
// than a hint. in are the containers that have links to the mesh.
func (c *checker) names(ctx context.Context, in map[netip.Addr]state.Process, err error) {
	const check = "names"
	rec := c.stored.Record
	if !rec.HasNetworks() {
		return
	}
	if err != nil {
		c.report.add(check, unsure, "The containers of this node cannot be listed: %v.", err)
		return
	}
	asking, resolver := 0, rec.Resolver()
	for _, slot := range slices.SortedFunc(maps.Keys(in), netip.Addr.Compare) {
		service := c.serviceAt(slot)
		if service == nil || len(service.Networks) == 0 {
			continue
		}
		nameservers, err := host.ContainerResolvers(ctx, c.Path("proc"), in[slot])
		switch {
		case err != nil: // it has ended, or does without
		case host.LeadToMesh(nameservers, resolver):
			asking++
		default:
			c.report.add(check, unsure, "The container of service %s at %s finds no names of its networks: its /etc/resolv.conf leads to %s, and not to the mesh's resolver %s. "+
				"Start it with `--dns %[4]s` if it is to use names.", service.Name, slot, listOf(nameservers), resolver)
		}
	}
	if asking > 0 {
		c.report.add(check, fine, "%d containers of this node ask the mesh's resolver %s for names", asking, resolver)
	}
}

// serviceAt is the service whose slot of this node it is.
func (c *checker) serviceAt(slot netip.Addr) *mesh.Service {
	rec, self := c.stored.Record, c.stored.Node
	for _, s := range rec.Services {
		for _, e := range s.Endpoints {
			if e.Node == self && slices.Contains(slices.Collect(e.SlotAddresses(rec.Nodes[self])), slot) {
				return s
			}
		}
	}
	return nil
}

func listOf(addresses []netip.Addr) string {
	if len(addresses) == 0 {
		return "no nameserver"
	}
	var texts []string
	for _, a := range addresses[:min(len(addresses), 3)] { // more are not asked either
		texts = append(texts, fmt.Sprint(a))
	}
	return strings.Join(texts, ", ")
}
