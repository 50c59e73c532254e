package host

import (
	"context"
	"fmt"

	"github.com/routingmesh/terraform-provider-routingmesh/internal/mesh"
)

// Finding is the outcome of one check of the host.
type Finding struct {
	Check    string   // what was looked at
	Good     string   // what to say of it when there is no problem
	Problems []string // what is wrong, with what to do
	Notes    []string // what is worth knowing and harms nothing
}

// Examine runs the checks of a join again, whatever has been checked before: for
// who asks what is wrong with a host. Without a record, or on a host that is no
// node, those that need none.
func (h *Host) Examine(ctx context.Context, rec *mesh.Record, node string) []Finding {
	findings := []Finding{{Check: "requirements", Good: "kernel modules, programs and iptables are there, and work"}}
	if h.Requirements != nil {
		findings[0].Problems = h.Requirements(ctx)
	}
	if rec == nil || rec.Nodes[node] == nil {
		return findings
	}
	self, c := rec.Nodes[node], rec.Cluster
	type look struct {
		check, good string
		run         func(*check)
	}
	looks := []look{
		{"names", "nobody else has a name, a table or a priority of the mesh's", func(c *check) { h.checkTaken(ctx, c) }},
		{"address", fmt.Sprintf("%s is the host's own", self.Address), h.checkOwnAddress},
		{"underlay MTU", fmt.Sprintf("the links that lead from %s to the other nodes carry the overlay's %d bytes and their header", self.Address, rec.MTU()), h.checkUnderlayMTU},
		{"address pool", fmt.Sprintf("%s overlaps no route, address or resolver of the host", c.AddressPool), h.checkPool},
		{"VXLAN port", fmt.Sprintf("UDP port %d, VNI %d: nobody else has it", c.VXLANPort, c.VNI), h.checkOverlay},
		{"published ports", fmt.Sprintf("no other process listens on any of the %d that are published", len(rec.Ports)), h.checkListeners},
	}
	looks = append(looks, look{"saved rules", "no file that nftables loads at boot has the mesh's rules, which it could not load", h.checkSavedRules})
	if len(agentAddresses(rec, self)) > 0 {
		looks = append(looks, look{"own addresses", "no other process listens where the agent answers", h.checkAgentAddresses})
	}
	for _, look := range looks {
		one := &check{next: rec, self: self}
		look.run(one)
		f := Finding{Check: look.check, Good: look.good, Notes: one.notes}
		for _, p := range one.problems {
			f.Problems = append(f.Problems, p.Text)
		}
		findings = append(findings, f)
	}
	return findings
}
