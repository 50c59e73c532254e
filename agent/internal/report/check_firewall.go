package report

import (
	"context"

	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/firewall"
	"github.com/routingmesh/terraform-provider-routingmesh/agent/internal/node"
)

// firewalls looks at what other people's rules do with the mesh's packets.
func (c *checker) firewalls(ctx context.Context) error {
	const check = "firewalls"
	firewalld, err := node.Firewalld(ctx, c.Layout, nil, c.Log)
	if err != nil {
		return err
	}
	firewalld.Keep(c.stored.Record, c.stored.Node)
	foreign := &firewall.Foreign{Firewalld: firewalld, Record: firewalld.Kept}
	var texts []string
	for _, warning := range append(firewalld.Warnings(), foreign.Warnings()...) {
		texts = append(texts, warning.Text)
	}
	if fault := firewalld.Check().Fault; fault != "" && c.status == nil { // else it is one of the problems
		texts = append(texts, "firewalld "+fault+".")
	}
	c.report.failures(check, "no rule of the host drops the mesh's packets", texts)
	for _, note := range foreign.Notes() {
		c.report.add(check, unsure, "%s", note)
	}
	return nil
}
